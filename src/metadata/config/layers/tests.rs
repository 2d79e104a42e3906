use super::*;
use crate::metadata::config::topic_configs;
use crate::metadata::delta::Delta;
use crate::metadata::record::MetadataRecord;

fn configs(pairs: &[(&str, &str)]) -> Configs {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// An image with these configs of broker 1 and of all brokers.
fn image(broker: &[(&str, &str)], default: &[(&str, &str)]) -> Image {
    let record = |resource: ConfigResource, (name, value): &(&str, &str)| MetadataRecord::Config {
        resource,
        name: (*name).to_owned(),
        value: Some((*value).to_owned()),
    };
    let broker = broker.iter().map(|pair| record(ConfigResource::Broker(1), pair));
    let default = default.iter().map(|pair| record(ConfigResource::DefaultBroker, pair));
    let records: Vec<_> = broker.chain(default).collect();
    Delta::apply(&Image::empty(), &records, 0, 0).unwrap().0
}

fn retention(
    broker: &[(&str, &str)],
    default: &[(&str, &str)],
    statics: &[(&str, &str)],
    topic: &[(&str, &str)],
) -> i64 {
    let (image, statics) = (image(broker, default), configs(statics));
    let layers = Layers::new(&image, &statics, 1);
    match layers.resource_value(topic_configs::find("retention.ms").unwrap(), &configs(topic)) {
        Some(Value::Whole(number)) => number,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_strongest_layer_wins_and_within_it_the_first_synonym() {
    assert_eq!(retention(&[], &[], &[], &[]), 604_800_000);
    assert_eq!(retention(&[], &[], &[("log.retention.hours", "2")], &[]), 7_200_000);
    let statics = [("log.retention.hours", "2"), ("log.retention.minutes", "3")];
    assert_eq!(retention(&[], &[], &statics, &[]), 180_000);
    let statics = [("log.retention.minutes", "3"), ("log.retention.ms", "4")];
    assert_eq!(retention(&[], &[], &statics, &[]), 4);
    assert_eq!(retention(&[], &[("log.retention.ms", "5")], &statics, &[]), 5);
    assert_eq!(retention(&[("log.retention.ms", "6")], &[("log.retention.ms", "5")], &statics, &[]), 6);
    let topic = [("retention.ms", "7")];
    assert_eq!(retention(&[("log.retention.ms", "6")], &[("log.retention.ms", "5")], &statics, &topic), 7);
}

#[test]
fn no_bound_is_no_bound_in_every_unit_and_nothing_overflows() {
    assert_eq!(retention(&[], &[], &[("log.retention.hours", "-1")], &[]), -1);
    assert_eq!(retention(&[], &[], &[("log.retention.minutes", "-1")], &[]), -1);
    assert_eq!(retention(&[], &[], &[("log.retention.hours", "2147483647")], &[]), 2_147_483_647 * 3_600_000);
    let synonym = Synonym { name: "log.retention.ms", factor: 3_600_000 };
    assert_eq!(broker_value(&synonym, "9223372036854775807"), Some(Value::Whole(i64::MAX)));
}

#[test]
fn a_stored_value_that_no_longer_parses_counts_as_unset() {
    assert_eq!(retention(&[], &[("log.retention.ms", "5")], &[], &[("retention.ms", "x")]), 5);
    assert_eq!(retention(&[("log.retention.ms", "x")], &[("log.retention.ms", "5")], &[], &[]), 5);
}

#[test]
fn a_stronger_layer_hides_the_synonyms_of_a_weaker_one() {
    let (image, statics) = (image(&[("log.retention.ms", "6")], &[]), configs(&[("log.retention.minutes", "3")]));
    let layers = Layers::new(&image, &statics, 1);
    assert_eq!(layers.value("log.retention.ms"), Some(Value::Whole(6)));
    assert_eq!(layers.value("log.retention.minutes"), None);
    assert_eq!(layers.value("log.retention.hours"), Some(Value::Whole(168)));
    let other = Layers::new(&image, &statics, 2);
    assert_eq!(other.value("log.retention.minutes"), Some(Value::Whole(3)));
}

#[test]
fn broker_values_are_typed() {
    let (image, statics) = (Image::empty(), configs(&[("num.partitions", "6")]));
    let layers = Layers::new(&image, &statics, 1);
    assert_eq!(layers.whole("num.partitions"), 6);
    assert_eq!(layers.whole("socket.request.max.bytes"), 104_857_600);
    assert!(layers.boolean("auto.create.topics.enable"));
    assert_eq!(layers.value("broker.rack"), None);
}

#[test]
#[should_panic(expected = "'num.partition' is no broker config")]
fn a_name_that_does_not_exist_is_a_mistake_of_the_program() {
    let (image, statics) = (Image::empty(), Configs::new());
    Layers::new(&image, &statics, 1).whole("num.partition");
}
