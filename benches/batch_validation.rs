//! What it costs to look at a batch: validation, the walk over its records, the CRC, and the whole of an append's share
//! (validate, copy with CRC, stamp). That is held against what nobody is spared, the copy with its CRC.
//!
//! `cargo bench --bench batch_validation`.
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // a measurement reads the clock and prints

use std::hint::black_box;
use std::time::Instant;

use flumen::record::batch::copy_and_verify;
use flumen::record::validate::{Rules, validate, verify_crc};
use flumen::record::{BatchBuilder, Compression, TimestampType, records};

const WALL_MS: i64 = 1_700_000_000_000;
const ROUNDS: usize = 5;
const BYTES_A_ROUND: usize = 1 << 30;
/// How many times a copy with its CRC an append may take, for batches from [`LIMIT_FROM_BYTES`] on.
const LIMIT: f64 = 1.15;
const LIMIT_FROM_BYTES: usize = 16 << 10;

fn batch(records_count: usize, value_bytes: usize, compression: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new().compression(compression);
    let mut value: Vec<u8> = (0..value_bytes).map(|at| (at * 7 % 64) as u8 + b' ').collect();
    for at in 0..records_count {
        value[at % value_bytes] ^= at as u8;
        builder.append(WALL_MS + at as i64, Some(format!("key-{at}").as_bytes()), Some(&value), &[]);
    }
    builder.build(0)
}

fn measure(what: &str, shape: &str, bytes: usize, records_count: usize, mut work: impl FnMut()) -> f64 {
    let passes = (BYTES_A_ROUND / bytes).clamp(100, 1_000_000);
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        (0..passes).for_each(|_| work());
        best = best.min(start.elapsed().as_secs_f64() / passes as f64);
    }
    let a_record = best * 1e9 / records_count as f64;
    println!(
        "{shape:<24} {what:<28} {:>9.2} us/batch {a_record:>7.1} ns/record {:>7.2} GB/s",
        best * 1e6,
        bytes as f64 / best / 1e9
    );
    best
}

fn shape(records_count: usize, value_bytes: usize, compression: Compression) {
    let batch = batch(records_count, value_bytes, compression);
    let bytes = batch.len();
    let name = format!("{records_count} x {value_bytes} B {compression}");
    let rules = Rules::default();
    let run = |what: &str, work: &mut dyn FnMut()| measure(what, &name, bytes, records_count, work);
    run("validate", &mut || {
        black_box(validate(black_box(&batch), &rules, WALL_MS)).expect("a right batch");
    });
    if compression != Compression::None {
        let compacted = Rules { compacted: true, ..Rules::default() };
        run("validate, compacted topic", &mut || {
            black_box(validate(black_box(&batch), &compacted, WALL_MS)).expect("a right batch");
        });
    }
    run("verify_crc", &mut || assert!(verify_crc(black_box(&batch))));
    run("walk over records", &mut || {
        let records = records(black_box(&batch)).expect("a right batch");
        assert_eq!(records.iter().filter(|record| record.is_ok()).count(), records_count);
    });
    let mut log = vec![0; bytes];
    let copied = run("copy with CRC", &mut || assert!(copy_and_verify(black_box(&mut log), black_box(&batch))));
    for (what, timestamp_type) in
        [("append: CreateTime", TimestampType::CreateTime), ("append: LogAppendTime", TimestampType::LogAppendTime)]
    {
        let rules = Rules { timestamp_type, ..Rules::default() };
        let appended = run(what, &mut || {
            let checked = validate(black_box(&batch), &rules, WALL_MS).expect("a right batch");
            assert!(copy_and_verify(&mut log, &batch));
            checked.stamp(black_box(&mut log), 1000, 3);
        });
        let times = appended / copied;
        if bytes >= LIMIT_FROM_BYTES {
            let verdict = if times <= LIMIT { "met" } else { "missed" };
            println!("{name:<24} {what:<28} {times:>9.2} times the copy, limit {LIMIT} {verdict}");
        } else {
            println!("{name:<24} {what:<28} {times:>9.2} times the copy");
        }
    }
}

fn main() {
    shape(64, 1024, Compression::None);
    shape(600, 100, Compression::None);
    shape(1, 100, Compression::None);
    shape(600, 100, Compression::Lz4);
    shape(600, 100, Compression::Zstd);
}
