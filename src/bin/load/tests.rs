//! What the generator sends is what the protocol's own codec reads, and what it checks is found when it is broken.

use flumen::base::prng::Prng;
use flumen::protocol::api::ApiKey;
use flumen::protocol::client::decode_response;
use flumen::protocol::message::{decode_request, encode_response};
use flumen::protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use flumen::protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use flumen::protocol::messages::{FetchRequest, FetchResponse, ProduceRequest, ProduceResponse, TopicName};
use flumen::protocol::{StrBytes, frame};
use flumen::record::{BatchHeader, Compression, check_stored, records};

use super::cluster::{Leading, deal};
use super::measure::{Measured, Recorder, Series, Window, Work};
use super::page;
use super::summary::{Latency, Second, Summary};
use super::template::{Producer, Stamp, Template, partition_of, set_producer};
use super::verify::{Checker, Ledger, Ranges};
use super::wire::{FETCH_VERSION, FetchFrame, PRODUCE_VERSIONS, ProduceFrame, read_fetched, read_produced};
use flumen::base::time::{Duration, Instant};

const SIZE_BYTES: usize = 4;

fn topic(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// The body of a request whose size field and header are as they should be.
fn body(bytes: &[u8], key: ApiKey, version: i16, correlation_id: i32) -> &[u8] {
    assert_eq!(i32::from_be_bytes(bytes[..SIZE_BYTES].try_into().unwrap()) as usize, bytes.len() - SIZE_BYTES);
    let frame = &bytes[SIZE_BYTES..];
    let header = frame::request_header(frame).unwrap();
    assert_eq!((header.api_key, header.api_version, header.correlation_id), (key.code(), version, correlation_id));
    &frame[header.body_at..]
}

#[test]
fn produce_requests_are_what_the_codec_reads() {
    for version in PRODUCE_VERSIONS {
        for sizes in [vec![100], vec![62, 127, 128, 20_000]] {
            let frame = ProduceFrame { version, acks: -1, topic: "t".to_owned() };
            let mut bytes = Vec::new();
            frame.put_front(&mut bytes, 7, sizes.iter().copied());
            for (at, size) in sizes.iter().enumerate() {
                ProduceFrame::put_partition(&mut bytes, at as i32 + 3, *size);
                bytes.extend(vec![at as u8; *size]);
                ProduceFrame::put_partition_end(&mut bytes, at + 1 == sizes.len());
            }
            let request: ProduceRequest = decode_request(version, body(&bytes, ApiKey::Produce, version, 7)).unwrap();
            assert_eq!((request.acks, request.transactional_id), (-1, None));
            assert_eq!(request.topic_data[0].name, topic("t"));
            for (at, data) in request.topic_data[0].partition_data.iter().enumerate() {
                assert_eq!(data.index, at as i32 + 3);
                assert_eq!(data.records.as_deref().unwrap(), vec![at as u8; sizes[at]]);
            }
            assert_eq!(request.topic_data[0].partition_data.len(), sizes.len());
        }
    }
}

#[test]
fn produce_replies_are_read_as_the_codec_writes_them() {
    for version in PRODUCE_VERSIONS {
        let partition = |index: i32| {
            PartitionProduceResponse::default()
                .with_index(index)
                .with_error_code(index as i16)
                .with_base_offset(40)
                .with_error_message((index > 0).then(|| StrBytes::from_static_str("no")))
        };
        let answer = TopicProduceResponse::default()
            .with_name(topic("t"))
            .with_partition_responses(vec![partition(0), partition(2)]);
        let response = ProduceResponse::default().with_responses(vec![answer]);
        let frame = encode_response::<ProduceRequest>(version, 9, &response).unwrap();
        let mut seen = Vec::new();
        assert_eq!(read_produced(&frame[SIZE_BYTES..], |one| seen.push(one)), Ok(9));
        assert_eq!(seen.len(), 2);
        assert_eq!((seen[0].partition, seen[0].error_code, seen[0].base_offset), (0, 0, 40));
        assert_eq!((seen[1].error_code, seen[1].message.as_deref()), (2, Some("no")));
        assert!(read_produced(&frame[SIZE_BYTES..frame.len() - 30], |_| {}).is_err(), "a reply that is cut");
    }
}

#[test]
fn fetch_requests_and_replies_go_through_the_codec() {
    let frame =
        FetchFrame { topic: "t".to_owned(), wait_ms: 500, bytes_min: 1, bytes_max: 1000, partition_bytes_max: 100 };
    for partitions in [vec![(0, 5), (9, 1 << 40)], vec![]] {
        let mut bytes = Vec::new();
        frame.put(&mut bytes, 3, (77, 2), partitions.iter().copied());
        let request: FetchRequest =
            decode_request(FETCH_VERSION, body(&bytes, ApiKey::Fetch, FETCH_VERSION, 3)).unwrap();
        assert_eq!((request.session_id, request.session_epoch, request.max_wait_ms), (77, 2, 500));
        assert_eq!((request.min_bytes, request.max_bytes), (1, 1000));
        let asked = request.topics.iter().flat_map(|topic| &topic.partitions);
        let asked: Vec<_> = asked.map(|one| (one.partition, one.fetch_offset)).collect();
        assert_eq!(asked, partitions);
    }
    let data = |index: i32, records: Option<&'static [u8]>| {
        PartitionData::default()
            .with_partition_index(index)
            .with_high_watermark(12)
            .with_records(records.map(bytes::Bytes::from_static))
    };
    let answer = FetchableTopicResponse::default()
        .with_topic(topic("t"))
        .with_partitions(vec![data(4, Some(b"abc")), data(5, None)]);
    let response = FetchResponse::default().with_session_id(8).with_responses(vec![answer]);
    let bytes = encode_response::<FetchRequest>(FETCH_VERSION, 3, &response).unwrap();
    assert!(decode_response::<FetchRequest>(FETCH_VERSION, &bytes[SIZE_BYTES..]).is_ok());
    let mut seen = Vec::new();
    let head = read_fetched(&bytes[SIZE_BYTES..], |one| seen.push(one)).unwrap();
    assert_eq!((head.correlation_id, head.error_code, head.session_id), (3, 0, 8));
    assert_eq!(
        (seen[0].partition, seen[0].high_watermark, &bytes[SIZE_BYTES..][seen[0].records.clone()]),
        (4, 12, &b"abc"[..])
    );
    assert!(seen[1].records.is_empty());
}

fn template(compression: Compression) -> Template {
    Template::new(5, 100, &[], compression, 1_700_000_000_000, &mut Prng::new(1))
}

#[test]
fn stamps_and_producers_leave_a_batch_valid() {
    for compression in Compression::ALL {
        let mut template = template(compression);
        let mut batch = Vec::new();
        template.stamped(Stamp { source: 9, sequence: 1000, intended_ns: 77 }, &mut batch);
        set_producer(&mut batch, Producer { id: 5, epoch: 1, base_sequence: 1000 });
        check_stored(&batch).unwrap();
        let header = BatchHeader::read(&batch).unwrap();
        assert_eq!((header.producer_id(), header.producer_epoch(), header.base_sequence()), (5, 1, 1000));
        let walk = records(&batch).unwrap();
        let stamps = walk.iter().map(|record| Stamp::read(record.unwrap().value.unwrap()).unwrap());
        let sequences: Vec<_> = stamps.map(|stamp| (stamp.source, stamp.sequence, stamp.intended_ns)).collect();
        assert_eq!(sequences, (1000..1005).map(|sequence| (9, sequence, 77)).collect::<Vec<_>>());
    }
}

#[test]
fn keys_go_where_kafkas_producers_send_them() {
    // The hashes that Kafka's own tests expect of murmur2.
    for (key, hash) in [("21", -973_932_308_i32), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536)]
    {
        assert_eq!(partition_of(key.as_bytes(), 1 << 31), (hash & 0x7fff_ffff) as usize, "{key}");
    }
}

#[test]
fn partitions_are_dealt_out_without_gaps() {
    let brokers = [vec![0, 2, 4, 6], vec![1, 3, 5]].map(|partitions| Leading { address: String::new(), partitions });
    for connections in 1..20 {
        let shares = deal(&brokers, connections);
        assert_eq!(shares.len(), connections);
        assert!(shares.iter().all(|share| !share.partitions.is_empty()));
        if connections >= 2 {
            let mut all: Vec<i32> = shares.iter().flat_map(|share| share.partitions.clone()).collect();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all, [0, 1, 2, 3, 4, 5, 6], "{connections} connections");
        }
    }
}

#[test]
fn what_is_missing_doubled_or_damaged_is_found() {
    let mut ledger = Ledger::default();
    ledger.acknowledged(9, 0, 1000, 5);
    ledger.acknowledged(9, 0, 1005, 5);
    assert_eq!((ledger.records(), ledger.disorder), (10, 0));
    let batch = |sequence: u64, offset: i64| {
        let mut bytes = Vec::new();
        template(Compression::None).stamped(Stamp { source: 9, sequence, intended_ns: 0 }, &mut bytes);
        bytes[..8].copy_from_slice(&offset.to_be_bytes());
        bytes
    };
    let check = |batches: &[Vec<u8>]| {
        let (mut checker, mut expected) = (Checker::default(), 0);
        for bytes in batches {
            let header = BatchHeader::read(bytes).unwrap();
            checker.batch(0, expected, header, bytes);
            expected = header.next_offset();
        }
        checker.compare(&ledger);
        checker.faults
    };
    assert_eq!(check(&[batch(1000, 0), batch(1005, 5)]), 0);
    assert_eq!(check(&[batch(1000, 0)]), 1, "an acknowledged batch is missing");
    assert_eq!(check(&[batch(1000, 0), batch(1005, 6)]), 1, "an offset is missing");
    assert!(check(&[batch(1000, 0), batch(1000, 5), batch(1005, 10)]) >= 1, "a batch is there twice");
    let mut damaged = batch(1005, 5);
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    assert!(check(&[batch(1000, 0), damaged]) >= 1, "a damaged batch");
}

#[test]
fn ranges_join_and_tell_what_is_missing() {
    let mut ranges = Ranges::default();
    ranges.add(0, 5).unwrap();
    ranges.add(5, 5).unwrap();
    ranges.add(20, 5).unwrap();
    assert_eq!(ranges.add(3, 1), Err(25));
    let mut others = Ranges::default();
    others.add(0, 22).unwrap();
    assert_eq!(ranges.first_missing_in(&others), Some((22, 25)));
    others.add(22, 10).unwrap();
    assert_eq!(ranges.first_missing_in(&others), None);
}

#[test]
fn latencies_count_by_intended_time_and_work_by_completion() {
    let at = |ms: u64| Instant(1_000_000_000 + ms * 1_000_000);
    let mut recorder = Recorder::new(Window { start: at(0), end: at(2000) }, Series::Acknowledge);
    let mut one = |intended: u64, done: u64| {
        recorder.latency(Series::Acknowledge, at(intended), at(done), 1);
        recorder.done(at(done), Work { records: 1, bytes: 10 }, false);
    };
    one(100, 110);
    one(1500, 1520);
    // Meant for the window and answered behind it: a latency, but no throughput.
    one(1990, 3990);
    let measured = recorder.finish();
    let (_, histogram) = &measured.series[0];
    assert_eq!(histogram.len(), 3);
    assert!(histogram.max() >= 1_990_000_000);
    assert_eq!((measured.total.requests, measured.total.bytes), (2, 20));
    assert_eq!(measured.intervals.len(), 2);
    assert!(measured.intervals.iter().all(|interval| interval.requests == 1));
    assert!(measured.intervals[0].p99_ns.abs_diff(Duration::from_millis(10).as_nanos() as u64) < 100_000);
    let mut sum = Measured::default();
    sum.merge(measured.clone());
    sum.merge(measured);
    assert_eq!((sum.total.requests, sum.series[0].1.len()), (4, 6));
}

#[test]
fn a_page_draws_every_run_and_loads_nothing() {
    let run = |label: &str, scale: f64| Summary {
        label: label.to_owned(),
        mode: "produce".to_owned(),
        seconds: 2.0,
        latencies: vec![Latency {
            name: "acknowledge".to_owned(),
            count: 10,
            curve: vec![(0.0, scale), (0.9, 2.0 * scale), (0.99, 30.0 * scale)],
            ..Latency::default()
        }],
        intervals: vec![Second { requests: 10, bytes: 1_000_000, p99_ms: 1.0, ..Second::default() }; 2],
        ..Summary::default()
    };
    let page = page::render(&[run("one <b>", 1.0), run("two", 0.1)]);
    assert_eq!(page.matches("<svg").count(), 4);
    assert_eq!(page.matches("<polyline").count(), 8);
    assert!(page.contains("one &lt;b&gt;") && !page.contains("one <b>"));
    assert!(!page.contains("<script") && !page.contains("http"), "nothing is loaded from elsewhere");
    assert!(!page.contains("NaN") && !page.contains("inf"));
    // An empty run is drawn, too.
    assert!(!page::render(&[Summary::default()]).contains("NaN"));
}
