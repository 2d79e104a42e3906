//! Tests against the kafka-protocol crate's codecs as an independent implementation, and against damaged bytes.

mod fetch;
mod frames;
mod messages;
mod offset_ids;
mod produce;
mod samples;
mod txn_markers;

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::{Request, StrBytes};

use crate::base::prng::Prng;
use crate::model::error_code::ErrorCode;
use crate::model::ids::{TopicId, Uuid};

use super::client;
use super::frame::{FRAME_BYTES_MIN, SIZE_FIELD_BYTES, frame_length, request_header};
use super::guard::Limits;
use super::topic::{CurrentLeader, NodeEndpoint, TopicRef, TopicSpan};

const FRAME_BYTES_MAX: usize = 100 << 20;
const CORRELATION_ID: i32 = 0x0102_0304;
/// Of what both codecs read.
const LIMITS: Limits = Limits { array_length_max: 1 << 20, field_bytes_max: 1 << 20 };

/// Draws of things that stand in messages.
struct Draw(Prng);

impl Draw {
    fn new(seed: u64) -> Draw {
        Draw(Prng::new(seed))
    }

    fn yes(&mut self) -> bool {
        self.0.one_in(2)
    }

    fn count(&mut self, most: u64) -> usize {
        self.0.below(most + 1) as usize
    }

    fn i32(&mut self) -> i32 {
        let number = self.0.bits() as i32;
        *self.pick(&[0, 1, -1, 127, 128, 300, 30_000, i32::MAX, i32::MIN, number])
    }

    fn i64(&mut self) -> i64 {
        let number = self.0.bits() as i64;
        *self.pick(&[0, 1, -1, 255, i64::MAX, i64::MIN, number])
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.0.below(from.len() as u64) as usize]
    }

    /// Empty, short, of several bytes a character, or long enough for a compact length of two bytes.
    fn text(&mut self) -> String {
        (*self.pick(&["", "a", "orders", "größe-über-日本", "x".repeat(200).as_str()])).to_owned()
    }

    fn optional_text(&mut self) -> Option<String> {
        self.yes().then(|| self.text())
    }

    fn id(&mut self) -> Uuid {
        if self.0.one_in(4) { Uuid::nil() } else { Uuid::from_u128(u128::from(self.0.bits()) << 64 | 5) }
    }

    fn bytes(&mut self, most: u64) -> Bytes {
        let mut bytes = vec![0; self.count(most)];
        self.0.fill(&mut bytes);
        Bytes::from(bytes)
    }

    fn error(&mut self) -> ErrorCode {
        *self.pick(&[ErrorCode::None, ErrorCode::UnknownServerError, ErrorCode::NotLeaderOrFollower])
    }

    fn leader(&mut self) -> Option<CurrentLeader> {
        self.yes().then(|| CurrentLeader { leader_id: self.count(300) as i32, leader_epoch: self.i32() })
    }

    fn endpoints(&mut self) -> Vec<NodeEndpoint> {
        let count = self.count(2);
        let endpoint =
            |draw: &mut Draw| NodeEndpoint { node_id: 3, host: draw.text(), port: 9092, rack: draw.optional_text() };
        (0..count).map(|_| endpoint(self)).collect()
    }

    /// Tagged fields that no schema knows, in versions that have such fields.
    fn unknown_fields(&mut self, flexible: bool) -> BTreeMap<i32, Bytes> {
        let mut fields = BTreeMap::new();
        if flexible && self.0.one_in(3) {
            for _ in 0..self.count(2) {
                let tag = *self.pick(&[7, 100, 10_000]);
                fields.insert(tag, self.bytes(40));
            }
        }
        fields
    }

    /// Damages bytes the way lines, bugs and attackers do: bits, lengths, cuts and repeats.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.count(2) {
            let at = self.0.below(bytes.len() as u64 + 1) as usize;
            match self.0.below(6) {
                0 => bytes.truncate(at),
                1 => drop(bytes.splice(at..at, [0x7f, 0xff, 0xff, 0xff])),
                2 => overwrite(bytes, at, &self.0.bits().to_be_bytes()[..4]),
                3 => {
                    let length =
                        *self.pick(&[[0x7f, 0xff, 0xff, 0xff], [0xff; 4], [0, 0x10, 0, 0], [0, 0, 0xff, 0xff]]);
                    overwrite(bytes, at, &length);
                }
                4 => overwrite(bytes, at, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
                _ => {
                    let value = self.0.bits() as u8;
                    overwrite(bytes, at, &[value]);
                }
            }
        }
    }
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (place, value) in bytes.iter_mut().skip(at).zip(with) {
        *place = *value;
    }
}

fn topic_name(text: &str) -> TopicName {
    TopicName(StrBytes::from_string(text.to_owned()))
}

fn str_bytes(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A request's frame without its size field, as a client sends it, and where its body starts.
fn request_frame<R: Request>(version: i16, request: &R) -> (Vec<u8>, usize) {
    let frame = client::encode_request(version, CORRELATION_ID, Some("client-1"), request).expect("encodes");
    let size_field = frame[..SIZE_FIELD_BYTES].try_into().expect("4 bytes");
    assert_eq!(frame_length(size_field, FRAME_BYTES_MAX), Ok(frame.len() - SIZE_FIELD_BYTES));
    let frame = frame[SIZE_FIELD_BYTES..].to_vec();
    assert!(frame.len() >= FRAME_BYTES_MIN);
    let header = request_header(&frame).expect("a header");
    assert_eq!((header.api_key, header.api_version), (R::KEY, version));
    assert_eq!((header.correlation_id, header.client_id), (CORRELATION_ID, Some("client-1")));
    let body_at = header.body_at;
    (frame, body_at)
}

/// Reads a reply's frame with the crate, after a check of its size field.
fn read_reply<R: Request>(version: i16, frame: &[u8]) -> R::Response {
    let (size, rest) = frame.split_at(SIZE_FIELD_BYTES);
    assert_eq!(i32::from_be_bytes(size.try_into().expect("4 bytes")), rest.len() as i32, "the size field");
    let (correlation_id, reply) = client::decode_response::<R>(version, rest).expect("the crate reads our reply");
    assert_eq!(correlation_id, CORRELATION_ID);
    reply
}

/// Whether `topic` is the topic that the crate read, which has both forms and one of them empty.
fn is_topic(topic: TopicRef<'_>, name: &TopicName, id: TopicId) -> bool {
    match topic {
        TopicRef::Name(ours) => *ours == *name.0 && id.is_nil(),
        TopicRef::Id(ours) => ours == id && name.0.is_empty(),
    }
}

/// Topics for a reply, with `partitions` partitions each.
fn spans(names: &[String], ids: &[TopicId], by_id: bool, partitions: usize) -> Vec<TopicSpan<'static>> {
    let topics = names.iter().zip(ids).enumerate();
    topics
        .map(|(place, (name, id))| TopicSpan {
            topic: if by_id { TopicRef::Id(*id) } else { TopicRef::Name(name.clone().leak()) },
            partitions: place * partitions..(place + 1) * partitions,
        })
        .collect()
}
