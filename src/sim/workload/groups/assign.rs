//! Who gets which partition, as leaders of the classic protocol decide it: plain functions.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::prng::Prng;

/// A partition by its topic's name.
pub(super) type Named = (String, i32);

/// A member as its leader knows it.
pub(super) struct Known {
    /// Its id.
    pub id: String,
    /// Whether it may get a partition.
    pub topics: BTreeSet<String>,
    /// What it says it holds.
    pub holds: BTreeSet<Named>,
}

/// Deals everything out anew, beginning anywhere.
pub(super) fn eager(members: &[Known], all: &[Named], random: &mut Prng) -> BTreeMap<String, BTreeSet<Named>> {
    let mut dealt = nothing(members);
    let mut at = random.below(members.len() as u64) as usize;
    for one in all {
        let takers: Vec<&Known> = members.iter().filter(|member| member.topics.contains(&one.0)).collect();
        if !takers.is_empty() {
            at += 1;
            dealt.entry(takers[at % takers.len()].id.clone()).or_default().insert(one.clone());
        }
    }
    dealt
}

/// Lets everybody keep a fair share, gives what nobody holds to those who have less, and gives nobody what another has yet
/// to give up (KIP-429).
pub(super) fn cooperative(members: &[Known], all: &[Named]) -> BTreeMap<String, BTreeSet<Named>> {
    let mut dealt = nothing(members);
    let quota = all.len().div_ceil(members.len());
    let mut taken: BTreeSet<&Named> = BTreeSet::new();
    for member in members {
        let keeps = dealt.entry(member.id.clone()).or_default();
        for one in member.holds.iter().filter(|one| all.contains(one) && member.topics.contains(&one.0)) {
            // What is too much stays without an owner until it was given up.
            if taken.insert(one) && keeps.len() < quota {
                keeps.insert(one.clone());
            }
        }
    }
    for one in all.iter().filter(|one| !taken.contains(one)) {
        let takers = members.iter().filter(|member| member.topics.contains(&one.0));
        let least = takers.min_by_key(|member| dealt.get(&member.id).map_or(0, BTreeSet::len));
        if let Some(taker) = least {
            dealt.entry(taker.id.clone()).or_default().insert(one.clone());
        }
    }
    dealt
}

fn nothing(members: &[Known]) -> BTreeMap<String, BTreeSet<Named>> {
    members.iter().map(|member| (member.id.clone(), BTreeSet::new())).collect()
}
