//! What time does, and what a load and a new image bring.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::leave;
use crate::coordinator::group::groups::{Group, Groups, merge};
use crate::coordinator::group::history::Cause;
use crate::coordinator::group::request::{Context, MembershipReply};
use crate::coordinator::machine::{Effects, Situation};

impl Groups {
    /// Does what is due for each group.
    pub fn on_time(&mut self, situation: &Situation<'_>) -> Effects<MembershipReply> {
        let mut effects = Effects::default();
        for id in self.due(situation.now) {
            merge(&mut effects, self.look_at(situation, &id));
        }
        effects
    }

    /// The log has been replayed: sessions start now, and what there is nothing to is forgotten.
    pub fn loaded(&mut self, situation: &Situation<'_>) -> Effects<MembershipReply> {
        let mut effects = Effects::default();
        for id in self.ids() {
            merge(&mut effects, self.look_at(situation, &id));
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
            let members: BTreeSet<Arc<str>> = due.into_iter().map(|(id, _)| id).collect();
            leave::remove(situation, entry, settings, &members, cause, effects);
        });
        looked.map(|((), effects)| effects).unwrap_or_default()
    }
}
