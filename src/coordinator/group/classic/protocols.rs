//! Which protocol a group's members agree on.

use std::collections::{BTreeMap, BTreeSet};

use super::group::{ClassicGroup, ClassicState};

impl ClassicGroup {
    /// Whether a member that offers `protocols` of `protocol_type` fits in.
    pub fn supports<'a>(&self, protocol_type: &str, mut protocols: impl Iterator<Item = &'a str>) -> bool {
        if self.state == ClassicState::Empty {
            return !protocol_type.is_empty() && protocols.next().is_some();
        }
        let spoken_by_all = |name: &str| self.supported.get(name).copied().unwrap_or(0) == self.members.len();
        self.protocol_type.as_deref() == Some(protocol_type) && protocols.any(spoken_by_all)
    }

    /// The protocol that most members prefer among those that all speak; the first by name where votes are even.
    pub fn select_protocol(&self) -> Option<String> {
        let all = self.members.len();
        let candidates: BTreeSet<&str> =
            self.supported.iter().filter(|(_, count)| **count == all).map(|(name, _)| name.as_str()).collect();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let choice = member.protocols.iter().map(|(name, _)| name.as_str()).find(|name| candidates.contains(name));
            *votes.entry(choice?).or_default() += 1;
        }
        let most = votes.values().copied().max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name.to_owned())
    }
}
