//! How much memory a request can make the decoders reserve, measured by a counting allocator: its own binary, because a
//! program has one allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};

use flumen::protocol::frame::{SIZE_FIELD_BYTES, request_header};
use flumen::protocol::message::{BODY_BYTES_MAX, decode_request};
use flumen::protocol::{client, fetch, produce};
use flumen::record::{BatchBuilder, Compression, HEADER_BYTES, LENGTH_PREFIX_BYTES, Rules, validate};
use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::protocol::Request;

#[path = "it/fuzz/mutate.rs"]
mod mutate;
#[path = "../src/protocol/tests/samples.rs"]
mod samples;

/// Mutations of each sample.
const MUTATIONS: usize = 60;

/// Counts the bytes that live and the most that ever did. The counts are of the whole process, so one test measures.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system allocator as it is; the counters do not touch the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller's promises about the layout are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the address came from `alloc` with this layout.
        unsafe { System.dealloc(address, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that lived during `work` beyond those before it.
fn peak_bytes<T>(work: impl FnOnce() -> T) -> usize {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    drop(work());
    PEAK.load(Ordering::Relaxed) - before
}

/// What a request of a few hundred bytes may reserve: a length that claims to be a tag (up to 16,383) times the largest
/// element, a few levels deep.
const SMALL_REQUEST_PEAK_BYTES_MAX: usize = 4 << 20;

/// Claims impossible numbers of elements at every position of every sample, and mutates each in any way.
struct Lengths {
    decodings: usize,
    peak_bytes: usize,
    mutator: mutate::Mutator,
}

impl samples::Visitor for Lengths {
    fn visit<R: Request + PartialEq + Debug>(&mut self, version: i16, request: R) {
        let frame = client::encode_request(version, 1, None, &request).expect("encodes");
        let frame = &frame[SIZE_FIELD_BYTES..];
        let body_at = request_header(frame).expect("a header").body_at;
        let lengths: [&[u8]; 5] = [
            &[0x7f, 0xff, 0xff, 0xff],
            &[0, 0x10, 0, 0],
            &[0, 0, 0x3f, 0xff],
            &[0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0xff, 0x7f],
        ];
        for at in body_at..frame.len() {
            for length in lengths {
                let mut body = frame[body_at..at].to_vec();
                body.extend_from_slice(length);
                body.extend_from_slice(&frame[(at + length.len()).min(frame.len())..]);
                let peak = peak_bytes(|| decode_request::<R>(version, &body));
                assert!(peak < SMALL_REQUEST_PEAK_BYTES_MAX, "{} {version}: {peak} bytes for {body:02x?}", R::KEY);
                self.peak_bytes = self.peak_bytes.max(peak);
                self.decodings += 1;
            }
        }
        for _ in 0..MUTATIONS {
            let mut body = frame[body_at..].to_vec();
            self.mutator.mutate(&mut body, 0, frame);
            let peak = peak_bytes(|| decode_request::<R>(version, &body));
            assert!(peak < SMALL_REQUEST_PEAK_BYTES_MAX, "{} {version}: {peak} bytes for {body:02x?}", R::KEY);
            self.decodings += 1;
        }
    }
}

/// What walking a mutated batch of a few hundred bytes may reserve, beyond what its records decompress to.
const SMALL_BATCH_PEAK_BYTES_MAX: usize = 20 << 20;

/// Mutates the records of small batches of every codec, with right lengths and checksums, and has all of them walked.
fn walk_mutated_batches() {
    let mut mutator = mutate::Mutator::new(3);
    let rules = Rules { walk_compressed: true, ..Rules::default() };
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let mut builder = BatchBuilder::new().compression(Compression::from_name(codec).expect("a codec"));
        for number in 0..10 {
            builder.append(number, Some(b"key"), Some("value ".repeat(number as usize).as_bytes()), &[]);
        }
        let batch = builder.build(0);
        for _ in 0..1500 {
            let mut changed = batch.clone();
            mutator.mutate(&mut changed, HEADER_BYTES, &batch);
            let length = (changed.len() - LENGTH_PREFIX_BYTES) as i32;
            changed[8..12].copy_from_slice(&length.to_be_bytes());
            let crc = crc32c::crc32c(&changed[21..]);
            changed[17..21].copy_from_slice(&crc.to_be_bytes());
            let peak = peak_bytes(|| validate(&changed, &rules, 100));
            assert!(peak < SMALL_BATCH_PEAK_BYTES_MAX, "{codec}: {peak} bytes for {changed:02x?}");
        }
    }
}

/// A Produce body of version 3 or 9 with as many empty topics as are allowed.
fn empty_topics(version: i16) -> Vec<u8> {
    let acks_and_timeout = [0, 1, 0, 0, 0, 1];
    if version >= 9 {
        let topics = [1, 1, 0].repeat(1 << 20);
        [&[0][..], &acks_and_timeout, &[0x81, 0x80, 0x40], &topics, &[0]].concat()
    } else {
        let topics = vec![0; 6 << 20];
        [&[0xff, 0xff][..], &acks_and_timeout, &(1i32 << 20).to_be_bytes(), &topics].concat()
    }
}

#[test]
fn requests_cannot_reserve_much_more_than_they_bring() {
    let mut lengths = Lengths { decodings: 0, peak_bytes: 0, mutator: mutate::Mutator::new(7) };
    samples::visit_all(&mut lengths);
    assert!(lengths.decodings > 10_000, "{} decodings", lengths.decodings);
    assert!(lengths.peak_bytes > 1000, "the allocator counts");
    walk_mutated_batches();

    // As many topics without a name as Metadata 1 allows: two bytes each on the wire.
    let mut body = (1i32 << 20).to_be_bytes().to_vec();
    body.resize(4 + 2 * (1 << 20), 0);
    let peak = peak_bytes(|| decode_request::<MetadataRequest>(1, &body).expect("legal"));
    assert!(peak < 45 * body.len(), "{peak} bytes for {}", body.len());
    // One more is refused before any is reserved, and so is a body above the limit.
    body.splice(..4, ((1i32 << 20) + 1).to_be_bytes());
    body.extend_from_slice(&[0, 0]);
    let peak = peak_bytes(|| decode_request::<MetadataRequest>(1, &body).expect_err("too many"));
    assert!(peak < body.len() + 4096, "{peak}");
    let long = vec![0; BODY_BYTES_MAX + 1];
    assert!(peak_bytes(|| decode_request::<MetadataRequest>(1, &long).expect_err("too long")) < 4096);

    for version in [3, 9] {
        let body = empty_topics(version);
        let peak = peak_bytes(|| produce::decode_request(version, &body, 0).expect("legal"));
        assert!(peak < 15 * body.len(), "{peak} bytes for {}", body.len());
    }
    // The same topics, cut short: nothing is reserved for what is not there.
    let cut = &empty_topics(9)[..1000];
    assert!(peak_bytes(|| produce::decode_request(9, cut, 0).expect_err("cut")) < 4096);
    let mut fetch_body = vec![0; 16 + 1 + 8];
    fetch_body.extend_from_slice(&i32::MAX.to_be_bytes());
    assert!(peak_bytes(|| fetch::decode_request(11, &fetch_body, 0).expect_err("cut")) < 4096);
}
