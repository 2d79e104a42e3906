use super::*;
use crate::base::prng::Prng;
use crate::metadata::record::{Endpoint, NO_LEADER};

fn id(number: u128) -> TopicId {
    Uuid::from_u128(number)
}

fn topic(name: &str, number: u128) -> MetadataRecord {
    MetadataRecord::Topic { name: name.into(), id: id(number) }
}

fn partition(number: u128, index: i32, leader_epoch: i32) -> MetadataRecord {
    MetadataRecord::Partition(PartitionRegistration {
        partition: PartitionId { topic: id(number), index },
        leader: if leader_epoch % 5 == 4 { NO_LEADER } else { 1 },
        leader_epoch,
        partition_epoch: leader_epoch,
        replicas: vec![1, 2],
        isr: vec![1],
    })
}

fn config(resource: ConfigResource, value: Option<&str>) -> MetadataRecord {
    MetadataRecord::Config { resource, name: "retention.ms".into(), value: value.map(str::to_owned) }
}

fn named(name: &str) -> ConfigResource {
    ConfigResource::Topic(name.into())
}

fn broker(id: i32) -> MetadataRecord {
    let endpoint = Endpoint { listener: "PLAINTEXT".into(), host: "localhost".into(), port: 9092 };
    MetadataRecord::Broker(BrokerRegistration { id, epoch: 1, endpoints: vec![endpoint], rack: None, fenced: false })
}

fn apply(image: &Image, records: &[MetadataRecord]) -> (Image, Changes) {
    Delta::apply(image, records, image.offset() + 1, 1).unwrap()
}

fn refused(image: &Image, records: &[MetadataRecord]) -> ReplayError {
    let before = image.clone();
    let error = Delta::apply(image, records, image.offset() + 1, 1).unwrap_err();
    assert_eq!(*image, before);
    error
}

fn at(number: u128, index: i32) -> PartitionId {
    PartitionId { topic: id(number), index }
}

#[test]
fn a_topic_and_its_partitions_appear_and_go() {
    let (one, changes) = apply(&Image::empty(), &[topic("a", 1), partition(1, 0, 0), partition(1, 1, 0)]);
    assert_eq!(changes.created_topics, [id(1)].into());
    assert_eq!(changes.created_partitions, [at(1, 0), at(1, 1)].into());
    assert_eq!(changes.changed_partitions, [].into());
    assert_eq!(one.topic("a").unwrap().partition_count(), 2);
    assert_eq!(one.partition(at(1, 1)).unwrap().leader, 1);
    assert_eq!(one.partition(at(1, 2)), None);
    assert_eq!(one.partition(at(1, -1)), None);
    assert_eq!((one.partition_count(), one.replica_count(1), one.replica_count(9)), (2, 2, 0));
    assert_eq!((one.offset(), one.epoch()), (0, 1));

    let (two, changes) = apply(&one, &[partition(1, 0, 1)]);
    assert_eq!(changes.changed_partitions, [at(1, 0)].into());
    assert_eq!(changes.created_partitions, [].into());
    assert_eq!(two.partition(at(1, 0)).unwrap().leader_epoch, 1);
    assert_eq!(one.partition(at(1, 0)).unwrap().leader_epoch, 0);

    let (three, changes) = apply(&two, &[MetadataRecord::RemoveTopic { id: id(1) }]);
    assert_eq!(changes.removed_topics, [(id(1), "a".into())].into());
    assert_eq!(changes.removed_partitions, [at(1, 0), at(1, 1)].into());
    assert_eq!((three.topics().len(), three.replica_count(1)), (0, 0));
}

#[test]
fn what_comes_and_goes_within_one_delta_leaves_no_change() {
    let set = config(named("a"), Some("1"));
    let records = [topic("a", 1), set, partition(1, 0, 0), MetadataRecord::RemoveTopic { id: id(1) }];
    let (image, changes) = apply(&Image::empty(), &records);
    assert_eq!(changes, Changes::default());
    assert_eq!(image.topics().len(), 0);
    assert_eq!(image.configured_resources().len(), 0);
}

#[test]
fn a_topic_made_again_under_its_name_is_another_topic_without_the_old_configs() {
    // The new topic's id sorts before and after the old one's.
    for (old, new) in [(1, 2), (2, 1)] {
        let records = [topic("a", old), partition(old, 0, 0), config(named("a"), Some("1"))];
        let (before, _) = apply(&Image::empty(), &records);
        let again = [MetadataRecord::RemoveTopic { id: id(old) }, topic("a", new), partition(new, 0, 0)];
        let (after, changes) = apply(&before, &again);
        assert_eq!(after.topic("a").unwrap().id, id(new));
        assert_eq!(after.topic_by_id(id(old)), None);
        assert_eq!(changes.removed_partitions, [at(old, 0)].into());
        assert_eq!(changes.created_partitions, [at(new, 0)].into());
        assert!(after.configs(&named("a")).is_empty());
    }
}

#[test]
fn configs_are_set_replaced_and_unset() {
    let (one, changes) = apply(&Image::empty(), &[config(ConfigResource::DefaultBroker, Some("1"))]);
    assert!(changes.broker_configs_changed(7));
    assert_eq!(one.configs(&ConfigResource::DefaultBroker)["retention.ms"], "1");
    let (two, changes) = apply(&one, &[config(ConfigResource::Broker(7), Some("2"))]);
    assert!(changes.broker_configs_changed(7) && !changes.broker_configs_changed(8));
    let (three, _) = apply(&two, &[config(ConfigResource::Broker(7), None), broker(7)]);
    assert_eq!(three.configured_resources().collect::<Vec<_>>(), [&ConfigResource::DefaultBroker]);
    assert!(three.broker(7).is_some());
}

#[test]
fn untouched_topics_are_shared_between_images() {
    let (one, _) = apply(&Image::empty(), &[topic("a", 1), partition(1, 0, 0), topic("b", 2), partition(2, 0, 0)]);
    let (two, _) = apply(&one, &[partition(2, 0, 1)]);
    assert!(Arc::ptr_eq(one.topic("a").unwrap(), two.topic("a").unwrap()));
    assert!(Arc::ptr_eq(two.topic("b").unwrap(), two.topic_by_id(id(2)).unwrap()));
    assert!(Arc::ptr_eq(&one.brokers, &two.brokers));
}

#[test]
fn topics_are_found_by_prefix() {
    let names = ["a", "b.a", "b.b", "b_c", "c"];
    let records: Vec<_> = names.iter().zip(1..).map(|(name, number)| topic(name, number)).collect();
    let (image, _) = apply(&Image::empty(), &records);
    let found = |prefix| image.topics_with_prefix(prefix).map(|topic| topic.name.to_string()).collect::<Vec<_>>();
    assert_eq!(found("b."), ["b.a", "b.b"]);
    assert_eq!(found("b"), ["b.a", "b.b", "b_c"]);
    assert_eq!(found("").len(), 5);
    assert_eq!(found("d").len(), 0);
}

#[test]
fn records_that_do_not_fit_are_refused() {
    let (image, _) = apply(&Image::empty(), &[topic("a", 1), partition(1, 0, 0)]);
    assert!(matches!(refused(&image, &[topic("a", 2)]), ReplayError::TopicExists { .. }));
    assert!(matches!(refused(&image, &[topic("b", 1)]), ReplayError::TopicExists { .. }));
    let back = [MetadataRecord::RemoveTopic { id: id(1) }, topic("a", 1)];
    assert!(matches!(refused(&image, &back), ReplayError::TopicExists { .. }));
    assert_eq!(refused(&image, &[partition(9, 0, 0)]), ReplayError::UnknownTopic { id: id(9) });
    assert_eq!(refused(&image, &[partition(1, 2, 0)]), ReplayError::PartitionGap { partition: at(1, 2), count: 1 });
    assert_eq!(refused(&image, &[partition(1, -1, 0)]), ReplayError::PartitionGap { partition: at(1, -1), count: 1 });
    assert_eq!(refused(&image, &[MetadataRecord::RemoveTopic { id: id(9) }]), ReplayError::UnknownTopic { id: id(9) });
    let gone = [MetadataRecord::RemoveTopic { id: id(1) }, partition(1, 0, 1)];
    assert_eq!(refused(&image, &gone), ReplayError::UnknownTopic { id: id(1) });
    let unknown = [config(named("z"), Some("1"))];
    assert_eq!(refused(&image, &unknown), ReplayError::UnknownTopicName { name: "z".into() });
    assert_eq!(refused(&image, &[MetadataRecord::UnregisterBroker { id: 3 }]), ReplayError::UnknownBroker { id: 3 });
    let back = [10, 9].map(|next_producer_id| MetadataRecord::ProducerIds { next_producer_id });
    assert_eq!(refused(&image, &back), ReplayError::ProducerIdsGoBack { have: 10, record: 9 });
    let clusters = [1, 2].map(|number| MetadataRecord::ClusterId { id: id(number) });
    assert!(matches!(refused(&image, &clusters), ReplayError::OtherCluster { .. }));
}

/// A random record that may or may not fit.
fn random_record(random: &mut Prng) -> MetadataRecord {
    let number = u128::from(random.below(6)) + 1;
    let name = ["a", "b", "c", "d.e", "d_e"][random.below(5) as usize];
    match random.below(12) {
        0 | 1 => topic(name, number),
        2..=5 => partition(number, random.below(4) as i32, random.below(100) as i32),
        6 => MetadataRecord::RemoveTopic { id: id(number) },
        7 => config(named(name), Some("5").filter(|_| random.below(2) == 0)),
        8 => config(ConfigResource::Broker(number as i32), Some("5").filter(|_| random.below(2) == 0)),
        9 => broker(number as i32),
        10 => MetadataRecord::UnregisterBroker { id: number as i32 },
        _ => MetadataRecord::ProducerIds { next_producer_id: random.below(100) as i64 },
    }
}

#[test]
fn batching_does_not_matter_and_a_snapshot_makes_the_same_image() {
    for seed in 0..200 {
        let mut random = Prng::new(seed);
        let (mut single, mut batched) = (Image::empty(), Image::empty());
        let mut batch = Vec::new();
        for offset in 0..200 {
            let record = random_record(&mut random);
            // A topic id is used once in a delta, and the batch may hold its removal: such records are left out.
            let mut trial = batch.clone();
            trial.push(record.clone());
            if Delta::apply(&batched, &trial, offset, 0).is_err() {
                continue;
            }
            single = Delta::apply(&single, &[record], offset, 0).unwrap().0;
            batch = trial;
            if random.below(10) == 0 {
                batched = Delta::apply(&batched, &batch, offset, 0).unwrap().0;
                batch.clear();
                assert_eq!(single, batched, "seed {seed}, offset {offset}");
                let snapshot = Delta::apply(&Image::empty(), &single.to_records(), offset, 0).unwrap().0;
                assert_eq!(snapshot, single, "seed {seed}, offset {offset}");
            }
        }
    }
}
