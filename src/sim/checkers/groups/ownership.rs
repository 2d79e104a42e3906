//! No partition has two owners: what a member was told it holds nobody else is given in the same generation, and nobody at all
//! before that member gave it up or may have been taken for dead. A member that keeps its time is never forgotten, not over
//! a crash either; one generation has one assignment. And when nothing fails any more, every partition has an owner.

use std::collections::{BTreeMap, BTreeSet};

use super::Loaded;
use crate::base::time::{Duration, Instant};
use crate::model::error_code::ErrorCode;
use crate::model::ids::PartitionId;
use crate::sim::checkers::Checker;
use crate::sim::history::groups::{GroupEvent, GroupNumber, Joiner, MemberNumber};
use crate::sim::history::{Event, Moment};

/// See the module.
#[derive(Default)]
pub struct Ownership {
    members: BTreeMap<MemberNumber, Member>,
    /// The leader's decision that is in force, by group and generation.
    decisions: BTreeMap<(GroupNumber, i32), u64>,
    loaded: Loaded,
}

struct Member {
    joiner: Joiner,
    generation: i32,
    holds: BTreeSet<PartitionId>,
    /// What it held before it was told that.
    held: BTreeSet<PartitionId>,
    /// When the broker has last said that it is well, by when that was asked.
    well: Option<Instant>,
    /// It ended, or its client did.
    is_gone: bool,
    /// Another one has its static name, or may take it at any time.
    is_replaced: bool,
}

impl Member {
    /// Whether it may have been taken for dead, or for too slow, at `at`.
    fn may_be_overdue(&self, at: Instant) -> bool {
        self.well.is_none_or(|well| at >= well + self.joiner.patience)
    }
}

impl Ownership {
    fn joins(&mut self, number: MemberNumber, joiner: &Joiner) {
        for (other, known) in &mut self.members {
            if *other == number || known.joiner.group != joiner.group {
                continue;
            }
            known.is_gone |= known.joiner.client == joiner.client;
            known.is_replaced |= joiner.instance.is_some() && known.joiner.instance == joiner.instance;
        }
        let new = || Member {
            joiner: joiner.clone(),
            generation: -1,
            holds: BTreeSet::new(),
            held: BTreeSet::new(),
            well: None,
            is_gone: false,
            is_replaced: false,
        };
        let was_known = self.members.contains_key(&number);
        let member = self.members.entry(number).or_insert_with(new);
        // The answer to its first request was lost, and perhaps that request is still on its way: to the group it is another member
        // of its static name when it comes.
        member.is_replaced |= was_known && joiner.is_nameless && joiner.instance.is_some();
        member.joiner = joiner.clone();
    }

    fn assigned(
        &mut self,
        number: MemberNumber,
        generation: i32,
        decision: u64,
        (asked_at, at): (Instant, Instant),
        holds: &BTreeSet<PartitionId>,
    ) -> Result<(), String> {
        let Some(joiner) = self.members.get(&number).map(|member| member.joiner.clone()) else { return Ok(()) };
        if let Some(foreign) = holds.iter().find(|place| !joiner.wants.contains(place)) {
            return Err(format!("member {number} was assigned {foreign}, to which it does not subscribe"));
        }
        if joiner.is_classic && decision != 0 {
            let known = *self.decisions.entry((joiner.group, generation)).or_insert(decision);
            if known != decision {
                return Err(format!(
                    "generation {generation} of group {} has two assignments: {known:x} and {decision:x}",
                    joiner.group
                ));
            }
        }
        for (other, known) in self.members.iter_mut().filter(|(other, _)| **other != number) {
            if known.joiner.group != joiner.group {
                continue;
            }
            // Of two that join at once either may be the last, whoever asked first: a request may be long on its way.
            known.is_replaced |= joiner.instance.is_some() && known.joiner.instance == joiner.instance;
            if known.is_gone || known.is_replaced {
                continue;
            }
            // An answer that was long on its way; whether it was given too late, the fences tell. One of the new protocol was so long
            // only if whom it is for may have been taken for dead meanwhile.
            let was_late = joiner.is_classic || at >= asked_at + joiner.patience;
            if was_late && known.generation > generation {
                continue;
            }
            let Some(place) = known.holds.intersection(holds).next() else { continue };
            if known.generation == generation && joiner.is_classic {
                return Err(format!("members {other} and {number} both hold {place} in generation {generation}"));
            }
            if !known.may_be_overdue(at) {
                return Err(format!(
                    "member {number} was assigned {place} in generation {generation} at {at:?}, and member {other} holds it \
                     since generation {}, and was well at {:?}",
                    known.generation, known.well
                ));
            }
        }
        Ok(())
    }

    /// What static members of the classic protocol were still to give up when others took their places: what they held before the newest
    /// generation and not in it. Those others get what is assigned already, and nobody rebalances for them (KIP-345): until somebody
    /// does, nobody owns it.
    fn given_up_by_the_replaced(&self, group: GroupNumber) -> BTreeSet<PartitionId> {
        let of_group = || self.members.values().filter(move |one| one.joiner.group == group);
        let newest = of_group().filter(|one| !one.is_gone).map(|one| one.generation).max().unwrap_or(-1);
        let given_up = |one: &Member| match newest - one.generation {
            0 => one.held.difference(&one.holds).copied().collect(),
            // Nobody told it what it has in the newest.
            1 => one.holds.clone(),
            _ => BTreeSet::new(),
        };
        of_group().filter(|one| one.joiner.is_classic && one.is_replaced).flat_map(given_up).collect()
    }

    /// What is not owned as it should be.
    fn lacks(&self) -> Option<String> {
        let groups: BTreeSet<GroupNumber> = self.members.values().map(|member| member.joiner.group).collect();
        groups.into_iter().find_map(|group| {
            let live = || self.members.values().filter(move |one| one.joiner.group == group && !one.is_gone);
            let wanted: BTreeSet<PartitionId> = live().flat_map(|one| one.joiner.wants.iter().copied()).collect();
            let owned: BTreeSet<PartitionId> = live().flat_map(|one| one.holds.iter().copied()).collect();
            let pending = self.given_up_by_the_replaced(group);
            let free = wanted.difference(&owned).filter(|place| !pending.contains(place));
            let free: Vec<String> = free.map(PartitionId::to_string).collect();
            if wanted.is_empty() {
                Some(format!("group {group} has no members"))
            } else if !free.is_empty() {
                Some(format!("nobody in group {group} owns {free:?}"))
            } else {
                None
            }
        })
    }
}

impl Checker for Ownership {
    fn name(&self) -> &'static str {
        "ownership"
    }

    fn observe(&mut self, moment: Moment, event: &Event) -> Result<(), String> {
        let members = &self.members;
        self.loaded.observe(moment, event, |member| members.get(&member).map(|known| known.joiner.group));
        let Event::Group(event) = event else { return Ok(()) };
        match event {
            GroupEvent::Joining { member, joiner } => self.joins(*member, joiner),
            GroupEvent::Assigned { member, generation, decision, asked_at, at, holds, .. } => {
                self.assigned(*member, *generation, *decision, (*asked_at, *at), holds)?;
                if let Some(known) = self.members.get_mut(member) {
                    (known.generation, known.well) = (*generation, Some(*asked_at));
                    known.held = std::mem::replace(&mut known.holds, holds.clone());
                }
            }
            GroupEvent::Keeps { member, holds } => {
                if let Some(known) = self.members.get_mut(member) {
                    known.holds.clone_from(holds);
                }
            }
            GroupEvent::Confirmed { member, generation, asked, asked_at } => {
                if let Some(known) = self.members.get_mut(member)
                    && self.loaded.since(known.joiner.group, *asked)
                {
                    (known.generation, known.well) = (*generation, Some(*asked_at));
                }
            }
            GroupEvent::Expelled { member, code, at } => {
                let Some(known) = self.members.get_mut(member) else { return Ok(()) };
                let early = known.well.is_some() && !known.may_be_overdue(*at);
                if *code == ErrorCode::UnknownMemberId && early && !known.is_replaced {
                    return Err(format!(
                        "member {member} was well at {:?} and is unknown at {at:?}: it had {:?}",
                        known.well, known.joiner.patience
                    ));
                }
                (known.is_gone, known.holds) = (true, BTreeSet::new());
            }
            GroupEvent::Gone { member } => {
                if let Some(known) = self.members.get_mut(member) {
                    (known.is_gone, known.holds) = (true, BTreeSet::new());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn awaits(&self) -> Option<String> {
        self.lacks()
    }
}

/// How long it may take until every partition has an owner once nothing fails any more: sessions that end, rebalances that
/// wait for their members, and clients that come back.
pub const OWNED_MAX: Duration = Duration::from_secs(120);
