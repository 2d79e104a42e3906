//! Mutated bytes against everything that decodes what comes from outside: frames and headers, every request of every
//! version, batches with every codec, records of coordinators, and a whole broker. The same bytes in each run;
//! `FLUMEN_FUZZ_ROUNDS` (a factor) and `FLUMEN_FUZZ_SEED` make it longer and other. A test that fails shows its seed.

mod broker;
mod corpus;
pub mod mutate;
mod records;

use std::fmt::Debug;

use flumen::protocol::frame::{SIZE_FIELD_BYTES, frame_length, request_header};
use flumen::protocol::message::decode_request;
use flumen::protocol::messages::{FetchRequest, ProduceRequest};
use flumen::protocol::{client, fetch, produce};
use flumen::record::walk::Header;
use flumen::record::{self, BatchBuilder, BatchHeader, Compression, Rules, batches, check_stored, records, validate};
use kafka_protocol::protocol::Request;

use corpus::{requests, samples};
use mutate::Mutator;

/// A number in the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// How many times `usual` something is to be done.
fn rounds(usual: usize) -> usize {
    usual * setting("FLUMEN_FUZZ_ROUNDS", 1) as usize
}

#[allow(clippy::print_stderr, reason = "shown when the test fails")]
fn seed() -> u64 {
    let seed = setting("FLUMEN_FUZZ_SEED", 1);
    eprintln!("FLUMEN_FUZZ_SEED={seed}");
    seed
}

#[test]
fn frames_and_headers_of_any_bytes_are_read_or_refused() {
    let all = requests();
    let mut mutator = Mutator::new(seed());
    let (mut read, mut refused) = (0, 0);
    for round in 0..rounds(40_000) {
        let mut frame = all[round % all.len()].clone();
        let other = all[(round * 7 + 3) % all.len()].clone();
        mutator.mutate(&mut frame, 0, &other);
        let Some(size) = frame.first_chunk::<SIZE_FIELD_BYTES>() else { continue };
        let length = frame_length(*size, 1 << 20);
        if let Ok(length) = length {
            assert!(length <= 1 << 20);
        }
        match request_header(&frame[SIZE_FIELD_BYTES..]) {
            Ok(header) => {
                assert!(header.body_at <= frame.len() - SIZE_FIELD_BYTES);
                read += 1;
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
    }
    assert!(read > 1000 && refused > 1000, "{read} read, {refused} refused");
}

/// Mutates the body of each sample and decodes it in its own version and its neighbours.
struct Bodies {
    mutator: Mutator,
    read: usize,
    refused: usize,
}

impl samples::Visitor for Bodies {
    fn visit<R: Request + PartialEq + Debug>(&mut self, version: i16, request: R) {
        let frame = client::encode_request(version, 1, None, &request).expect("encodes");
        let frame = &frame[SIZE_FIELD_BYTES..];
        let body_at = request_header(frame).expect("a header").body_at;
        for _ in 0..rounds(250) {
            let mut body = frame[body_at..].to_vec();
            self.mutator.mutate(&mut body, 0, frame);
            match decode_request::<R>(version, &body) {
                Ok(_) => self.read += 1,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    self.refused += 1;
                }
            }
        }
    }
}

#[test]
fn requests_of_any_bytes_are_read_or_refused() {
    let mut bodies = Bodies { mutator: Mutator::new(seed()), read: 0, refused: 0 };
    samples::visit_all(&mut bodies);
    assert!(bodies.read > 1000 && bodies.refused > 1000, "{} read, {} refused", bodies.read, bodies.refused);
}

#[test]
fn produce_and_fetch_of_any_bytes_are_read_or_refused() {
    let mut mutator = Mutator::new(seed());
    let (mut read, mut refused) = (0, 0);
    for version in 3..=18 {
        let mut frames =
            vec![client::encode_request::<FetchRequest>(version.max(4), 1, None, &corpus::fetch(version.max(4)))];
        if version <= 13 {
            frames.push(client::encode_request::<ProduceRequest>(version, 1, None, &corpus::produce(version)));
        }
        for frame in frames.into_iter().map(|frame| frame.expect("encodes")) {
            let frame = &frame[SIZE_FIELD_BYTES..];
            let header = request_header(frame).expect("a header");
            for _ in 0..rounds(1500) {
                let mut changed = frame.to_vec();
                mutator.mutate(&mut changed, header.body_at, frame);
                let decoded = match header.api_key {
                    0 => produce::decode_request(header.api_version, &changed, header.body_at).map(drop),
                    _ => fetch::decode_request(header.api_version, &changed, header.body_at).map(drop),
                };
                match decoded {
                    Ok(()) => read += 1,
                    Err(error) => {
                        assert!(error.at <= changed.len(), "{error:?}");
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(read > 1000 && refused > 1000, "{read} read, {refused} refused");
}

/// Batches with everything that a batch can have.
fn sample_batches() -> Vec<Vec<u8>> {
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    let mut all = Vec::new();
    for codec in codecs.map(|name| Compression::from_name(name).expect("a codec")) {
        for producer in [None, Some(7)] {
            let mut batch = BatchBuilder::new().compression(codec);
            if let Some(id) = producer {
                batch = batch.producer(id, 3, 100);
            }
            for number in 0..6 {
                let value = format!("value {number} ").repeat(number as usize * 5);
                let headers = [Header { key: b"a", value: Some(b"b") }, Header { key: b"null", value: None }];
                let key = (number % 2 == 0).then_some(b"key".as_slice());
                batch.append(1000 + number, key, Some(value.as_bytes()), &headers[..(number % 3) as usize]);
            }
            all.push(batch.build(0));
        }
    }
    all
}

/// Puts length and checksum right, so that what lies behind them is reached.
fn seal(batch: &mut [u8]) {
    const LENGTH_AT: usize = 8;
    const CRC_AT: usize = 17;
    if batch.len() < record::HEADER_BYTES {
        return;
    }
    let length = (batch.len() - record::LENGTH_PREFIX_BYTES) as i32;
    batch[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c(&batch[CRC_AT + 4..]);
    batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1)))
    })
}

#[test]
fn batches_of_any_bytes_are_read_or_refused() {
    let all = sample_batches();
    let mut mutator = Mutator::new(seed());
    let strict = Rules { walk_compressed: true, ..Rules::default() };
    let compacted = Rules { compacted: true, walk_compressed: true, ..Rules::default() };
    let (mut taken, mut refused, mut walked) = (0, 0, 0);
    for round in 0..rounds(30_000) {
        let mut batch = all[round % all.len()].clone();
        let from = if round % 3 == 0 { 0 } else { record::HEADER_BYTES };
        mutator.mutate(&mut batch, from, &all[(round + 1) % all.len()]);
        if round % 4 != 0 {
            seal(&mut batch);
        }
        for rules in [Rules::default(), strict, compacted] {
            match validate(&batch, &rules, 2000) {
                Ok(checked) => {
                    assert_eq!(checked.bytes, batch.len(), "what is taken is the whole batch");
                    taken += 1;
                }
                Err(error) => {
                    assert!(!error.message.is_empty());
                    refused += 1;
                }
            }
        }
        // What a disk gives back is walked in the same way.
        let mut walk = batches(&batch);
        let mut bytes = 0;
        for (header, one) in walk.by_ref().map_while(Result::ok) {
            assert_eq!(BatchHeader::read(one).map(BatchHeader::base_offset), Some(header.base_offset()));
            bytes += one.len();
        }
        assert!(bytes <= batch.len());
        if check_stored(&batch).is_ok()
            && let Ok(found) = records(&batch)
        {
            walked += found.iter().take(10_000).map_while(Result::ok).count();
        }
    }
    assert!(taken > 100 && refused > 10_000 && walked > 1000, "{taken} taken, {refused} refused, {walked} walked");
}
