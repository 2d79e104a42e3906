//! What time does, and what a load and a new image bring.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::heartbeat::RECORDS_BYTES_MAX;
use super::leave;
use crate::coordinator::group::groups::{Group, Groups, merge};
use crate::coordinator::group::history::Cause;
use crate::coordinator::group::request::{Context, MembershipReply};
use crate::coordinator::machine::{DECISION_BYTES_ENOUGH, Effects, Situation, bytes_of};

impl Groups {
    /// Does what is due for each group, until that is enough for one decision; the other groups are due still.
    ///
    /// After the log was replayed all groups are due: their sessions start, and what there is nothing to is forgotten.
    pub fn on_time(&mut self, situation: &Situation<'_>) -> Effects<MembershipReply> {
        let mut effects = Effects::default();
        let mut bytes = 0;
        for id in self.due(situation.now) {
            let of_group = self.look_at(situation, &id);
            bytes += bytes_of(&of_group.records);
            merge(&mut effects, of_group);
            if bytes >= DECISION_BYTES_ENOUGH {
                break;
            }
        }
        effects
    }

    fn look_at(&mut self, situation: &Situation<'_>, id: &str) -> Effects<MembershipReply> {
        let looked = self.with(situation, id, |entry, settings, effects| {
            if let Group::Classic(group) = &mut entry.group {
                let mut context = Context::new(situation, settings, &mut entry.history);
                group.on_time(&mut context);
                merge(effects, context.effects);
                return;
            }
            let Group::Consumer(group) = &mut entry.group else { return };
            let due = group.due(situation.now);
            let Some((first, reason)) = due.first() else { return };
            let told = &group.members.get(first).expect("deadlines are of members").told;
            let reason = format!("member {first} was removed: {reason}");
            let cause = Cause::of_member(reason, first, &told.client_id, &told.client_host);
            let mut members: BTreeSet<Arc<str>> = BTreeSet::new();
            let mut bytes = 0;
            for (id, _) in due {
                bytes += group.removal_bytes(&group.members[&id]);
                if bytes > RECORDS_BYTES_MAX {
                    group.arm(situation.now);
                    break;
                }
                members.insert(id);
            }
            leave::remove(situation, entry, settings, &members, cause, effects);
        });
        looked.map(|((), effects)| effects).unwrap_or_default()
    }
}
