//! Who was fenced stays fenced: once an assignment of a later generation was told, nothing that names an earlier one is taken;
//! who was replaced by another of its static name is not taken for a member; and nobody commits what another one was given
//! since.

use std::collections::BTreeMap;

use super::Loaded;
use crate::model::ids::PartitionId;
use crate::sim::checkers::Checker;
use crate::sim::checkers::rising::Rising;
use crate::sim::history::groups::{CommitNumber, GroupEvent, GroupNumber, Joiner, MemberNumber};
use crate::sim::history::{Event, Moment};

/// See the module.
#[derive(Default)]
pub struct Fences {
    members: BTreeMap<MemberNumber, Member>,
    /// Generations of classic groups of which the assignment was told.
    generations: BTreeMap<GroupNumber, Rising>,
    given: BTreeMap<(GroupNumber, PartitionId), Vec<Given>>,
    commits: BTreeMap<CommitNumber, (GroupNumber, PartitionId)>,
    loaded: Loaded,
}

/// When a partition was given, to whom, and in which generation.
type Given = (Moment, MemberNumber, i32);

struct Member {
    joiner: Joiner,
    /// When it began to join.
    joined: Moment,
    /// When it was first assigned something: it was let in before.
    assigned: Option<Moment>,
    /// Since when it is known that it was replaced.
    replaced: Option<Moment>,
}

impl Fences {
    fn assigned(&mut self, moment: Moment, number: MemberNumber, generation: i32) {
        let Some(member) = self.members.get_mut(&number) else { return };
        member.assigned.get_or_insert(moment);
        let (joiner, joined) = (member.joiner.clone(), member.joined);
        if joiner.is_classic {
            self.generations.entry(joiner.group).or_default().note(moment, i64::from(generation));
        }
        if joiner.instance.is_some() {
            for (other, known) in &mut self.members {
                let same = known.joiner.group == joiner.group && known.joiner.instance == joiner.instance;
                // Of two that join at once either may be the last.
                if same && *other != number && known.assigned.is_some_and(|assigned| assigned < joined) {
                    known.replaced.get_or_insert(moment);
                }
            }
        }
    }

    /// Whether a heartbeat that was asked then was answered by somebody who knows the group.
    fn knows(&self, number: MemberNumber, asked: Moment) -> bool {
        self.members.get(&number).is_some_and(|member| self.loaded.since(member.joiner.group, asked))
    }

    /// Something was taken that `member` asked for at `asked` in `generation`.
    fn taken(&self, number: MemberNumber, generation: i32, asked: Moment, what: &str) -> Result<(), String> {
        let Some(member) = self.members.get(&number) else { return Ok(()) };
        let newest = self.generations.get(&member.joiner.group).map_or(0, |known| known.at(asked));
        if member.joiner.is_classic && newest > i64::from(generation) {
            return Err(format!(
                "{what} of member {number} in generation {generation} was taken, though generation {newest} was known before"
            ));
        }
        if member.replaced.is_some_and(|replaced| replaced <= asked) {
            return Err(format!("{what} of member {number} was taken, though another has its static name"));
        }
        Ok(())
    }
}

impl Checker for Fences {
    fn name(&self) -> &'static str {
        "group-fences"
    }

    fn observe(&mut self, moment: Moment, event: &Event) -> Result<(), String> {
        let members = &self.members;
        self.loaded.observe(moment, event, |member| members.get(&member).map(|known| known.joiner.group));
        let Event::Group(event) = event else { return Ok(()) };
        match event {
            GroupEvent::Joining { member, joiner } => {
                let new = || Member { joiner: joiner.clone(), joined: moment, assigned: None, replaced: None };
                self.members.entry(*member).or_insert_with(new).joiner = joiner.clone();
            }
            GroupEvent::Assigned { member, generation, asked, holds, .. } => {
                self.taken(*member, *generation, *asked, "the SyncGroup")?;
                self.assigned(moment, *member, *generation);
                if let Some(group) = self.members.get(member).map(|known| known.joiner.group) {
                    for place in holds {
                        let given = self.given.entry((group, *place)).or_default();
                        if given.last().is_none_or(|(_, last, _)| last != member) {
                            given.push((moment, *member, *generation));
                        }
                    }
                }
            }
            GroupEvent::Confirmed { member, generation, asked, .. } if self.knows(*member, *asked) => {
                self.taken(*member, *generation, *asked, "a heartbeat")?;
            }
            GroupEvent::CommitAsked { commit, group, place, .. } => {
                self.commits.insert(*commit, (*group, *place));
            }
            GroupEvent::Committed { commit, asked, member, generation } => {
                self.taken(*member, *generation, *asked, "a commit")?;
                let given = self.commits.get(commit).and_then(|key| self.given.get(key));
                let last = given.and_then(|given| given.iter().rev().find(|(since, ..)| since <= asked));
                if let Some((_, owner, since)) = last.filter(|(_, owner, since)| owner != member && since > generation)
                {
                    return Err(format!(
                        "commit {commit} of member {member} in generation {generation} was taken, though member {owner} holds \
                         the partition since generation {since}"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
