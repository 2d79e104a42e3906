//! How fast a batch is copied and its CRC-32C taken: memcpy alone, the CRC alone, and both in the one pass that an
//! append makes (`record::crc`); with the crc32c crate as the yardstick.
//!
//! `cargo bench --bench crc_copy`. "hot" works on bytes in the cache, "cold" walks 256 MiB, so that every source byte
//! comes from memory. The one pass is held against the slower of its two parts, which it cannot beat.
#![allow(clippy::disallowed_methods, clippy::print_stdout)] // a measurement reads the clock and prints

use std::hint::black_box;
use std::time::Instant;

use flumen::record::crc::{Crc32c, copy_crc32c, crc32c};

const HOT_BYTES: usize = 1 << 30;
const COLD_SOURCE_BYTES: usize = 256 << 20;
const COLD_TARGET_BYTES: usize = 64 << 20;
const ROUNDS: usize = 4;
/// What of the slower part's speed one pass over both has at least, for batches from [`LIMIT_FROM_BYTES`] on.
const LIMIT: f64 = 0.7;
const LIMIT_FROM_BYTES: usize = 16 << 10;

/// Best of the rounds, in GB/s, for `passes` calls of `work` on `bytes` each.
fn best(passes: usize, bytes: usize, mut work: impl FnMut(usize) -> u32) -> f64 {
    let round = |_| {
        let start = Instant::now();
        let sum = (0..passes).fold(0, |sum, pass| sum ^ work(pass));
        black_box(sum);
        (passes * bytes) as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    (0..ROUNDS).map(round).fold(0.0, f64::max)
}

fn print(what: &str, bytes: usize, speed: f64) {
    println!("{what:<34} {bytes:>8} B {speed:>8.2} GB/s");
}

/// Prints the speed of one pass, held against that of its parts.
fn print_against(what: &str, bytes: usize, speed: f64, parts: [f64; 2]) {
    let share = speed / parts[0].min(parts[1]);
    let (limit, verdict) = match bytes >= LIMIT_FROM_BYTES {
        true => (LIMIT.to_string(), if share >= LIMIT { "met" } else { "missed" }),
        false => ("-".to_owned(), ""),
    };
    println!("{what:<34} {bytes:>8} B {speed:>8.2} GB/s, {share:.2} of the slower part, limit {limit} {verdict}");
}

fn hot(bytes: usize) {
    let source = vec![7; bytes];
    let mut target = vec![0; bytes];
    let passes = HOT_BYTES / bytes;
    let summed = best(passes, bytes, |_| crc32c(black_box(&source)));
    print("hot  crc (crc-fast)", bytes, summed);
    print("hot  crc (crc32c crate)", bytes, best(passes, bytes, |_| crc32c::crc32c(black_box(&source))));
    let copied = best(passes, bytes, |_| {
        black_box(&mut target[..]).copy_from_slice(black_box(&source));
        0
    });
    print("hot  memcpy", bytes, copied);
    let both = best(passes, bytes, |_| copy_crc32c(black_box(&mut target), black_box(&source)));
    print_against("hot  copy_crc32c", bytes, both, [summed, copied]);
}

fn cold(bytes: usize) {
    let source = vec![3; COLD_SOURCE_BYTES];
    let mut target = vec![0; COLD_TARGET_BYTES];
    let passes = COLD_SOURCE_BYTES / bytes;
    let from = |pass: usize| &source[pass * bytes..][..bytes];
    let to = |pass: usize| (pass % (COLD_TARGET_BYTES / bytes)) * bytes;
    let summed = best(passes, bytes, |pass| crc32c(from(pass)));
    print("cold crc (crc-fast)", bytes, summed);
    print("cold crc (crc32c crate)", bytes, best(passes, bytes, |pass| crc32c::crc32c(from(pass))));
    let copied = best(passes, bytes, |pass| {
        target[to(pass)..][..bytes].copy_from_slice(from(pass));
        0
    });
    print("cold memcpy", bytes, copied);
    let both = best(passes, bytes, |pass| copy_crc32c(&mut target[to(pass)..][..bytes], from(pass)));
    print_against("cold copy_crc32c", bytes, both, [summed, copied]);
    let twice = best(passes, bytes, |pass| {
        let mut crc = Crc32c::new();
        crc.update(from(pass));
        target[to(pass)..][..bytes].copy_from_slice(from(pass));
        crc.value()
    });
    print("cold crc, then memcpy", bytes, twice);
    let yardstick = best(passes, bytes, |pass| {
        let mut crc = 0;
        for (to, from) in target[to(pass)..][..bytes].chunks_mut(16 << 10).zip(from(pass).chunks(16 << 10)) {
            to.copy_from_slice(from);
            crc = crc32c::crc32c_append(crc, to);
        }
        crc
    });
    print("cold copy and crc (crc32c crate)", bytes, yardstick);
}

fn main() {
    for bytes in [128, 1 << 10, 16 << 10, 1 << 20] {
        hot(bytes);
    }
    for bytes in [16 << 10, 1 << 20] {
        cold(bytes);
    }
}
