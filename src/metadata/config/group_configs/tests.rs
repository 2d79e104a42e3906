use super::{GROUP_CONFIGS, find, validate, whole};
use crate::metadata::config::layers::Layers;
use crate::metadata::image::{Configs, Image};

fn configs(set: &[(&str, &str)]) -> Configs {
    set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn refused(set: &[(&str, &str)]) -> String {
    let (image, statics) = (Image::empty(), Configs::new());
    validate(&Layers::new(&image, &statics, 1), &configs(set)).unwrap_err()
}

#[test]
fn all_are_found_and_their_defaults_are_the_brokers() {
    let (image, statics) = (Image::empty(), Configs::new());
    let layers = Layers::new(&image, &statics, 1);
    assert_eq!(GROUP_CONFIGS.len(), 17);
    assert_eq!(validate(&layers, &Configs::new()), Ok(()));
    for known in GROUP_CONFIGS {
        let definition = &known.config.definition;
        assert_eq!(find(definition.name), Some(known), "they are in the order of their names");
        let value = layers.resource_value(&known.config, &Configs::new()).unwrap();
        assert_eq!(Some(value.to_string().as_str()), definition.default, "{}", definition.name);
        assert_eq!(validate(&layers, &configs(&[(definition.name, &value.to_string())])), Ok(()));
    }
}

#[test]
fn what_lies_outside_of_the_brokers_bounds_is_refused_in_kafkas_words() {
    let timeout = "consumer.session.timeout.ms";
    assert_eq!(
        refused(&[(timeout, "1")]),
        "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms"
    );
    assert_eq!(
        refused(&[(timeout, "60001")]),
        "consumer.session.timeout.ms must be less than or equal to group.consumer.max.session.timeout.ms"
    );
    assert_eq!(
        refused(&[("streams.num.standby.replicas", "3")]),
        "streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas"
    );
    assert_eq!(refused(&[("nonsense", "1")]), "Unknown group config name: nonsense");
    assert!(refused(&[("consumer.heartbeat.interval.ms", "x")]).contains("Not a number of type INT"));
    for reset in ["nowhere", "by_duration:-PT1S", "by_duration:P", "by_duration:PT", "by_duration:", "by_duration:P1S"]
    {
        assert!(refused(&[("share.auto.offset.reset", reset)]).contains("must be either"), "{reset}");
    }
    let (image, statics) = (Image::empty(), Configs::new());
    for reset in ["latest", "earliest", "by_duration:PT1H", "by_duration:P2D", "by_duration:P1DT2H3M4.5S"] {
        let set = configs(&[("share.auto.offset.reset", reset)]);
        assert_eq!(validate(&Layers::new(&image, &statics, 1), &set), Ok(()), "{reset}");
    }
}

#[test]
fn a_session_outlasts_a_heartbeat() {
    let (image, statics) = (Image::empty(), configs(&[("group.consumer.min.session.timeout.ms", "1000")]));
    let layers = Layers::new(&image, &statics, 1);
    let set = configs(&[("consumer.session.timeout.ms", "5000"), ("consumer.heartbeat.interval.ms", "5000")]);
    assert_eq!(
        validate(&layers, &set).unwrap_err(),
        "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms"
    );
}

#[test]
fn what_was_set_under_other_bounds_is_moved_between_those_of_now() {
    let image = Image::empty();
    let statics = configs(&[("group.consumer.max.session.timeout.ms", "50000")]);
    let layers = Layers::new(&image, &statics, 1);
    let set = configs(&[("consumer.session.timeout.ms", "60000")]);
    assert_eq!(whole(&layers, &set, "consumer.session.timeout.ms"), 50_000);
    assert_eq!(whole(&layers, &Configs::new(), "consumer.session.timeout.ms"), 45_000);
}
