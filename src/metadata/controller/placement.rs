//! Which brokers host the replicas of new partitions.
//!
//! Brokers stand in a ring in which neighbours are of different racks where that is possible. The leader of partition p is p
//! steps from a start that the topic's id draws; its followers are the next brokers whose racks hold fewest of the
//! partition's replicas, from a distance that grows by one each time the leaders have gone round, so that the
//! partitions that one broker leads do not all have the same followers.

use crate::metadata::record::BrokerRegistration;
use crate::model::ids::{BrokerId, TopicId};
use std::collections::BTreeMap;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// The brokers that may host new replicas, in an order that spreads them.
#[derive(Debug)]
pub struct Placer {
    /// Brokers that are not fenced, racks alternating.
    ring: Vec<Candidate>,
    /// Fenced brokers: they never lead, and follow only where there are too few others.
    fenced: Vec<Candidate>,
}

#[derive(Clone, Debug)]
struct Candidate {
    id: BrokerId,
    /// Number of the broker's rack; brokers without one share a number.
    rack: usize,
}

impl Placer {
    /// A placer over the registered brokers.
    pub fn new<'a>(brokers: impl Iterator<Item = &'a Arc<BrokerRegistration>>) -> Placer {
        let mut racks: BTreeMap<Option<&str>, Vec<&BrokerRegistration>> = BTreeMap::new();
        for broker in brokers {
            racks.entry(broker.rack.as_deref()).or_default().push(broker);
        }
        let longest = racks.values().map(Vec::len).max().unwrap_or(0);
        let (mut ring, mut fenced) = (Vec::new(), Vec::new());
        for at in 0..longest {
            for (rack, brokers) in racks.values().enumerate() {
                let Some(broker) = brokers.get(at) else { continue };
                let candidate = Candidate { id: broker.id, rack };
                if broker.fenced { fenced.push(candidate) } else { ring.push(candidate) }
            }
        }
        Placer { ring, fenced }
    }

    /// Replicas of the partitions `first..first + count` of a topic, leader first.
    ///
    /// # Errors
    /// Kafka's sentence when there are too few brokers.
    pub fn place(
        &self,
        topic: TopicId,
        first: usize,
        count: usize,
        replication_factor: usize,
    ) -> Result<Vec<Vec<BrokerId>>, String> {
        let registered = self.ring.len() + self.fenced.len();
        if replication_factor == 0 {
            return Err("Invalid replication factor 0: the replication factor must be positive.".to_owned());
        }
        if self.ring.is_empty() {
            return Err("All brokers are currently fenced.".to_owned());
        }
        if replication_factor > registered {
            return Err(format!(
                "The target replication factor of {replication_factor} cannot be reached because only {registered} \
                 broker(s) are registered."
            ));
        }
        let start = (topic.as_u128() % self.ring.len() as u128) as usize;
        Ok((first..first + count).map(|index| self.replicas(start, index, replication_factor)).collect())
    }

    fn replicas(&self, start: usize, index: usize, replication_factor: usize) -> Vec<BrokerId> {
        let size = self.ring.len();
        let leader = (start + index) % size;
        let rounds = index / size;
        // Followers in order of preference: round the ring from a distance that grows with the rounds, then the fenced.
        let distance = |step: usize| 1 + (rounds + step) % (size - 1).max(1);
        let others = (0..size - 1).map(|step| &self.ring[(leader + distance(step)) % size]);
        let mut preferred: Vec<&Candidate> = others.chain(&self.fenced).collect();
        let mut in_rack = BTreeMap::from([(self.ring[leader].rack, 1_usize)]);
        let mut replicas = vec![self.ring[leader].id];
        while replicas.len() < replication_factor {
            let least = |(at, candidate): &(usize, &&Candidate)| {
                // A fenced broker in a fresh rack is still worse than one that can join the ISR now.
                let fenced = self.fenced.iter().any(|other| other.id == candidate.id);
                (fenced, in_rack.get(&candidate.rack).copied().unwrap_or(0), *at)
            };
            let at = preferred.iter().enumerate().min_by_key(least).map(|(at, _)| at);
            let chosen = preferred.remove(at.expect("there are as many brokers as replicas"));
            *in_rack.entry(chosen.rack).or_insert(0) += 1;
            replicas.push(chosen.id);
        }
        replicas
    }
}
