use super::*;
use crate::model::ids::Uuid;
use std::collections::BTreeSet;

fn broker(id: i32, rack: Option<&str>, fenced: bool) -> Arc<BrokerRegistration> {
    Arc::new(BrokerRegistration { id, epoch: 1, endpoints: Vec::new(), rack: rack.map(str::to_owned), fenced })
}

fn unracked(ids: impl Iterator<Item = i32>) -> Vec<Arc<BrokerRegistration>> {
    ids.map(|id| broker(id, None, false)).collect()
}

fn place(brokers: &[Arc<BrokerRegistration>], count: usize, replication_factor: usize) -> Vec<Vec<i32>> {
    Placer::new(brokers.iter()).place(Uuid::from_u128(7), 0, count, replication_factor).unwrap()
}

#[test]
fn one_broker_hosts_everything() {
    assert_eq!(place(&unracked(1..2), 3, 1), [[1], [1], [1]]);
}

#[test]
fn replicas_are_distinct_and_evenly_spread() {
    for brokers in 2..9 {
        let registered = unracked(0..brokers);
        for replication_factor in 1..=brokers as usize {
            let count = (brokers * (brokers - 1)) as usize;
            let placed = place(&registered, count, replication_factor);
            let (mut leads, mut hosts) = (BTreeMap::new(), BTreeMap::new());
            for replicas in &placed {
                assert_eq!(replicas.iter().collect::<BTreeSet<_>>().len(), replication_factor);
                *leads.entry(replicas[0]).or_insert(0) += 1;
                replicas.iter().for_each(|id| *hosts.entry(*id).or_insert(0) += 1);
            }
            assert!(leads.values().all(|led| *led == brokers - 1), "{leads:?}");
            let even = (count * replication_factor) as i32 / brokers;
            assert!(hosts.values().all(|hosted| *hosted == even), "{hosts:?}");
        }
    }
}

#[test]
fn the_partitions_of_one_leader_have_different_followers() {
    let placed = place(&unracked(0..4), 12, 2);
    let pairs: BTreeSet<_> = placed.iter().collect();
    assert_eq!(pairs.len(), 12);
}

#[test]
fn replicas_of_a_partition_stand_in_different_racks() {
    let racks = ["a", "b", "c"];
    let brokers: Vec<_> = (0..7).map(|id| broker(id, Some(racks[(id / 3) as usize]), false)).collect();
    for replicas in place(&brokers, 50, 3) {
        let used: BTreeSet<_> = replicas.iter().map(|id| id / 3).collect();
        assert_eq!(used.len(), 3, "{replicas:?}");
    }
    for replicas in place(&brokers, 50, 5) {
        let used: BTreeSet<_> = replicas.iter().map(|id| id / 3).collect();
        assert_eq!((used.len(), replicas.len()), (3, 5));
    }
}

#[test]
fn more_partitions_continue_where_the_first_ended() {
    let brokers = unracked(0..5);
    let placer = Placer::new(brokers.iter());
    let topic = Uuid::from_u128(99);
    let all = placer.place(topic, 0, 20, 3).unwrap();
    assert_eq!(placer.place(topic, 8, 12, 3).unwrap(), all[8..]);
}

#[test]
fn fenced_brokers_follow_only_where_others_are_too_few() {
    let brokers = [broker(1, None, true), broker(2, None, false), broker(3, None, false)];
    for replicas in place(&brokers, 6, 2) {
        assert!(!replicas.contains(&1));
    }
    for replicas in place(&brokers, 6, 3) {
        assert_eq!(replicas[2], 1);
    }
}

#[test]
fn too_few_brokers_are_told() {
    let refused = |brokers: &[Arc<BrokerRegistration>], replication_factor| {
        Placer::new(brokers.iter()).place(Uuid::nil(), 0, 1, replication_factor).unwrap_err()
    };
    assert_eq!(
        refused(&unracked(0..1), 3),
        "The target replication factor of 3 cannot be reached because only 1 broker(s) are registered."
    );
    assert_eq!(refused(&[broker(1, None, true)], 1), "All brokers are currently fenced.");
    assert_eq!(refused(&[], 1), "All brokers are currently fenced.");
    assert!(refused(&unracked(0..1), 0).contains("must be positive"));
}
