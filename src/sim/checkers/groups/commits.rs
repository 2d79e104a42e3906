//! A committed offset is a register: what is told was committed, and never is what was committed before something that was
//! told, or acknowledged, since. An acknowledged commit survives everything; one without a reply may count, sooner or later.

use std::collections::BTreeMap;

use crate::model::ids::PartitionId;
use crate::model::offset::Offset;
use crate::sim::checkers::Checker;
use crate::sim::history::groups::{CommitNumber, GroupEvent, GroupNumber};
use crate::sim::history::{Event, Moment};

/// See the module.
#[derive(Default)]
pub struct Commits {
    commits: BTreeMap<CommitNumber, Commit>,
    /// What is known of each register.
    seen: BTreeMap<(GroupNumber, PartitionId), Vec<Seen>>,
}

struct Commit {
    group: GroupNumber,
    place: PartitionId,
    offset: Offset,
    /// When it was known to count.
    acked: Option<Moment>,
    /// It was refused: it never counts.
    is_refused: bool,
}

/// That at some moment between two others a commit stood in a register.
#[derive(Clone, Copy, Debug)]
struct Seen {
    commit: CommitNumber,
    from: Moment,
    to: Moment,
}

impl Commits {
    /// What is known to have stood there after `acked`, and before `asked`.
    fn later(
        &self,
        key: (GroupNumber, PartitionId),
        commit: Option<CommitNumber>,
        acked: Moment,
        asked: Moment,
    ) -> Option<Seen> {
        let seen = self.seen.get(&key)?;
        seen.iter().find(|one| Some(one.commit) != commit && acked <= one.from && one.to <= asked).copied()
    }

    fn told(
        &mut self,
        moment: Moment,
        key: (GroupNumber, PartitionId),
        asked: Moment,
        commit: Option<CommitNumber>,
        offset: Offset,
    ) -> Result<(), String> {
        let (group, place) = key;
        let Some(number) = commit else {
            return match self.later(key, None, 0, asked) {
                Some(seen) => {
                    Err(format!("group {group}, {place}: no offset, though commit {} was there", seen.commit))
                }
                None => Ok(()),
            };
        };
        let Some(known) = self.commits.get(&number).filter(|known| (known.group, known.place) == key) else {
            return Err(format!("group {group}, {place}: commit {number} was never sent there"));
        };
        if known.offset != offset {
            return Err(format!("group {group}, {place}: commit {number} of {} is told as {offset}", known.offset));
        }
        if known.is_refused {
            return Err(format!("group {group}, {place}: commit {number} was refused, and stands there"));
        }
        if let Some(seen) = known.acked.and_then(|acked| self.later(key, commit, acked, asked)) {
            return Err(format!(
                "group {group}, {place}: commit {number} is told at {moment}, asked for at {asked}; it was acknowledged at {:?}, \
                 and commit {} stood there after that ({} to {})",
                known.acked, seen.commit, seen.from, seen.to
            ));
        }
        self.seen.entry(key).or_default().push(Seen { commit: number, from: asked, to: moment });
        Ok(())
    }
}

impl Checker for Commits {
    fn name(&self) -> &'static str {
        "commits"
    }

    fn observe(&mut self, moment: Moment, event: &Event) -> Result<(), String> {
        let Event::Group(event) = event else { return Ok(()) };
        match event {
            GroupEvent::CommitAsked { commit, group, place, offset } => {
                let (group, place, offset) = (*group, *place, *offset);
                self.commits.insert(*commit, Commit { group, place, offset, acked: None, is_refused: false });
            }
            GroupEvent::Committed { commit, asked, .. } => {
                if let Some(known) = self.commits.get_mut(commit) {
                    known.acked = Some(moment);
                    let seen = Seen { commit: *commit, from: *asked, to: moment };
                    self.seen.entry((known.group, known.place)).or_default().push(seen);
                }
            }
            GroupEvent::CommitRefused { commit, code } => {
                // A coordinator that is loaded again may have had it in its log.
                let is_sure = !crate::sim::checkers::is_about_coordinators(*code);
                if let Some(known) = self.commits.get_mut(commit) {
                    known.is_refused = is_sure;
                }
            }
            GroupEvent::OffsetTold { group, place, asked, commit, offset } => {
                self.told(moment, (*group, *place), *asked, *commit, *offset)?;
            }
            _ => {}
        }
        Ok(())
    }
}
