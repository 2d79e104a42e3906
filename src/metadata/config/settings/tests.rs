use super::*;
use crate::metadata::image::Image;

fn resolve(topic: &[(&str, &str)]) -> TopicSettings {
    let configs: Configs = topic.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let (image, statics) = (Image::empty(), Configs::new());
    TopicSettings::resolve(&Layers::new(&image, &statics, 1), &configs)
}

#[test]
fn defaults_are_kafkas() {
    let settings = resolve(&[]);
    assert!(settings.delete && !settings.compact && !settings.write_caching && !settings.preallocate);
    assert_eq!(settings.retention_ms, Some(604_800_000));
    assert_eq!(settings.retention_bytes, None);
    assert_eq!((settings.segment_bytes, settings.max_message_bytes), (1 << 30, 1_048_588));
    assert_eq!((settings.compression, settings.timestamp_type), (Compression::Producer, TimestampType::CreateTime));
    assert_eq!(settings.flush_interval(), None);
}

#[test]
fn what_the_topic_sets_is_what_it_runs_with() {
    let settings = resolve(&[
        ("cleanup.policy", "compact"),
        ("retention.ms", "-1"),
        ("retention.bytes", "7"),
        ("compression.type", "zstd"),
        ("compression.zstd.level", "9"),
        ("message.timestamp.type", "LogAppendTime"),
        ("write.caching", "true"),
        ("flush.ms", "100"),
        ("segment.bytes", "2097152"),
    ]);
    assert!(settings.compact && !settings.delete);
    assert_eq!((settings.retention_ms, settings.retention_bytes), (None, Some(7)));
    assert_eq!((settings.compression, settings.timestamp_type), (Compression::Zstd(9), TimestampType::LogAppendTime));
    assert_eq!(settings.flush_interval(), Some(Duration::from_millis(100)));
    assert_eq!(settings.segment_bytes, 2 << 20);
    assert_eq!(resolve(&[("internal.segment.bytes", "100"), ("segment.bytes", "2097152")]).segment_bytes, 100);
    assert_eq!(resolve(&[("flush.ms", "100")]).flush_interval(), None);
    let neither = resolve(&[("cleanup.policy", "")]);
    assert!(!neither.compact && !neither.delete);
}

#[test]
fn a_segments_age_allows_for_jitter_and_compaction_lag() {
    let plain = resolve(&[("segment.ms", "1000"), ("segment.jitter.ms", "400")]);
    assert_eq!([0, 300, 5000, -1].map(|jitter| plain.segment_age_max_ms(jitter)), [1000, 700, 600, 1000]);
    let jittery = resolve(&[("segment.ms", "1000"), ("segment.jitter.ms", "5000")]);
    assert_eq!(jittery.segment_age_max_ms(5000), 1);
    let compacted = resolve(&[("cleanup.policy", "compact"), ("max.compaction.lag.ms", "300")]);
    assert_eq!(compacted.segment_age_max_ms(0), 300);
}
