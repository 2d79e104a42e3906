//! Which names topics may have.

use crate::metadata::image::Image;
use crate::model::error_code::{ClientError, ErrorCode};

/// Longest topic name, so that a partition's directory fits a file name.
pub const TOPIC_NAME_LENGTH_MAX: usize = 249;

/// Kafka's own metadata topic, which exists under no other name.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// Whether a topic may have this name.
///
/// # Errors
/// INVALID_TOPIC_EXCEPTION with Kafka's sentence.
pub fn validate_topic_name(name: &str) -> Result<(), ClientError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let reason = if name.is_empty() {
        "the empty string is not allowed".to_owned()
    } else if name == "." || name == ".." {
        format!("'{name}' is not allowed")
    } else if name.chars().count() > TOPIC_NAME_LENGTH_MAX {
        format!("the length of '{name}' is longer than the max allowed length {TOPIC_NAME_LENGTH_MAX}")
    } else if !name.bytes().all(allowed) {
        format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
    } else {
        return Ok(());
    };
    Err(ClientError::new(ErrorCode::InvalidTopicException, format!("Topic name is invalid: {reason}")))
}

/// An existing topic whose name differs from `name` only in dots and underscores, which Kafka refuses because metrics of the
/// two could not be told apart.
pub fn colliding_topic<'a>(image: &'a Image, name: &str) -> Option<&'a str> {
    let special = |byte: u8| byte == b'.' || byte == b'_';
    let same = |(a, b): (u8, u8)| a == b || (special(a) && special(b));
    // Names that collide share everything before their first dot or underscore.
    let prefix = &name[..name.bytes().position(special)?];
    let mut candidates = image.topics_with_prefix(prefix).map(|topic| &*topic.name);
    candidates.find(|other| other.len() == name.len() && *other != name && other.bytes().zip(name.bytes()).all(same))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::delta::Delta;
    use crate::metadata::record::MetadataRecord;
    use crate::model::ids::Uuid;

    fn refusal(name: &str) -> String {
        let error = validate_topic_name(name).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidTopicException);
        error.message
    }

    #[test]
    fn names_follow_kafkas_rules() {
        for good in ["a", "A.b_c-9", "...", "__consumer_offsets", &"x".repeat(249)] {
            assert_eq!(validate_topic_name(good), Ok(()), "{good}");
        }
        assert_eq!(refusal(""), "Topic name is invalid: the empty string is not allowed");
        assert_eq!(refusal("."), "Topic name is invalid: '.' is not allowed");
        assert_eq!(refusal(".."), "Topic name is invalid: '..' is not allowed");
        let long = "x".repeat(250);
        let expected =
            format!("Topic name is invalid: the length of '{long}' is longer than the max allowed length 249");
        assert_eq!(refusal(&long), expected);
        for bad in ["a b", "ü", "a/b", "a\0"] {
            let expected = format!(
                "Topic name is invalid: '{bad}' contains one or more characters other than ASCII alphanumerics, \
                 '.', '_' and '-'"
            );
            assert_eq!(refusal(bad), expected);
        }
    }

    #[test]
    fn dots_and_underscores_collide() {
        let topics = ["a.b", "a-b", "plain", "x_y.z"];
        let records: Vec<_> = topics
            .iter()
            .zip(1..)
            .map(|(name, id)| MetadataRecord::Topic { name: (*name).into(), id: Uuid::from_u128(id) })
            .collect();
        let image = Delta::apply(&Image::empty(), &records, 0, 0).unwrap().0;
        assert_eq!(colliding_topic(&image, "a_b"), Some("a.b"));
        assert_eq!(colliding_topic(&image, "a.b"), None);
        assert_eq!(colliding_topic(&image, "x.y_z"), Some("x_y.z"));
        assert_eq!(colliding_topic(&image, "a.c"), None);
        assert_eq!(colliding_topic(&image, "plain"), None);
        assert_eq!(colliding_topic(&image, "_a.b"), None);
    }
}
