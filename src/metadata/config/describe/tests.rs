use super::*;
use crate::metadata::delta::Delta;
use crate::metadata::image::Image;
use crate::metadata::record::{ConfigResource, MetadataRecord};

fn configs(pairs: &[(&str, &str)]) -> Configs {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn find<'a>(entries: &'a [ConfigEntry], name: &str) -> &'a ConfigEntry {
    entries.iter().find(|entry| entry.name == name).unwrap_or_else(|| panic!("{name} is not listed"))
}

fn synonyms(entry: &ConfigEntry) -> Vec<(ConfigSource, &str, Option<&str>)> {
    entry.synonyms.iter().map(|synonym| (synonym.source, synonym.name.as_str(), synonym.value.as_deref())).collect()
}

#[test]
fn a_topic_without_configs_shows_what_the_broker_sets() {
    let image = Image::empty();
    let statics = configs(&[("message.max.bytes", "5000"), ("log.roll.hours", "5"), ("log.cleanup.policy", "compact")]);
    let entries = describe_topic(&Layers::new(&image, &statics, 1), &Configs::new(), Filter::All);
    let size = find(&entries, "max.message.bytes");
    assert_eq!(
        (size.value.as_deref(), size.source, size.is_default),
        (Some("5000"), ConfigSource::StaticBroker, false)
    );
    let expected = [
        (ConfigSource::StaticBroker, "message.max.bytes", Some("5000")),
        (ConfigSource::Default, "message.max.bytes", Some("1048588")),
    ];
    assert_eq!(synonyms(size), expected);
    assert_eq!(find(&entries, "cleanup.policy").value.as_deref(), Some("compact"));
    // Set in hours alone: the value holds, and the answer says default, as Kafka's does.
    let age = find(&entries, "segment.ms");
    assert_eq!((age.value.as_deref(), age.source, age.synonyms.len()), (Some("18000000"), ConfigSource::Default, 0));
}

#[test]
fn what_is_hidden_is_listed_nowhere() {
    let (image, statics) = (Image::empty(), configs(&[("ssl.key.password", "secret"), ("who.knows", "secret")]));
    let layers = Layers::new(&image, &statics, 1);
    let topic = configs(&[("internal.segment.bytes", "100")]);
    assert!(describe_topic(&layers, &topic, Filter::All).iter().all(|entry| entry.name != "internal.segment.bytes"));
    let entries = describe_broker(&layers, Filter::All);
    for name in ["ssl.key.password", "who.knows"] {
        let entry = find(&entries, name);
        assert!(entry.sensitive && entry.value.is_none() && entry.synonyms[0].value.is_none(), "{name}");
    }
}

#[test]
fn a_listeners_own_value_shows_before_what_all_have() {
    let (image, statics) =
        (Image::empty(), configs(&[("listener.name.a.max.connections", "7"), ("max.connections", "9")]));
    let entries = describe_broker(&Layers::new(&image, &statics, 1), Filter::All);
    let own = find(&entries, "listener.name.a.max.connections");
    assert_eq!((own.value.as_deref(), own.kind), (Some("7"), ConfigType::Int));
    assert_eq!(own.synonyms.len(), 3);
    assert_eq!(find(&entries, "max.connections").synonyms.len(), 2);
}

#[test]
fn cluster_wide_defaults_show_nothing_of_the_broker_asked() {
    let record = MetadataRecord::Config {
        resource: ConfigResource::DefaultBroker,
        name: "num.io.threads".to_owned(),
        value: Some("9".to_owned()),
    };
    let image = Delta::apply(&Image::empty(), &[record], 0, 0).unwrap().0;
    let statics = configs(&[("num.io.threads", "4")]);
    let entries = describe_default_broker(&Layers::new(&image, &statics, 1), Filter::All);
    assert_eq!(entries.len(), 1);
    assert_eq!(synonyms(&entries[0]), [(ConfigSource::DynamicDefaultBroker, "num.io.threads", Some("9"))]);
}

#[test]
fn a_request_may_ask_for_some_names() {
    let (image, statics) = (Image::empty(), Configs::new());
    let layers = Layers::new(&image, &statics, 1);
    let names = ["retention.ms".to_owned(), "nope".to_owned()];
    let some = describe_topic(&layers, &Configs::new(), Filter::new(Some(&names)));
    assert_eq!(some.len(), 1);
    assert!(some[0].is_default && some[0].documentation.is_some());
    assert_eq!(describe_topic(&layers, &Configs::new(), Filter::new(Some(&[]))).len(), 34);
    assert_eq!(describe_topic(&layers, &Configs::new(), Filter::new(None)).len(), 34);
    assert_eq!(describe_broker(&layers, Filter::new(Some(&names))).len(), 0);
}
