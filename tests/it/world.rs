//! Runs of the whole broker in the simulated world: the same seeds each time. `flumen-sim` plays fresh ones.

use flumen::sim::run::{Outcome, Script, play};

/// Seeds that once broke a promise, named by what they showed, and a few of every weather besides.
const CORPUS: [(u64, &str); 13] = [
    (0, "crashes under load"),
    (1, "a storm"),
    (3, "a partition deleted while its producer retries"),
    (7, "index files that a power cut took before a clean stop"),
    (16, "a segment begun by an append that a crash took"),
    (25, "idle logs whose buffers take all memory"),
    (30, "memory short under faults"),
    (33, "memory short with acks=0"),
    (38, "memory short with several producers"),
    (80, "space reserved ahead by an append that a crash took"),
    (81, "disks that fail"),
    (82, "a network that cuts"),
    (131, "a topic deleted while its reactor writes a checkpoint"),
];

fn assert_kept(seed: u64, name: &str, outcome: &Outcome) {
    if let Some(violation) = &outcome.violation {
        panic!("seed {seed} ({name}): {violation}\nplay it with: flumen-sim --seed {seed}");
    }
    assert!(outcome.counts.acked > 20 && outcome.counts.read > 20, "seed {seed} did little: {:?}", outcome.counts);
    assert!(outcome.counts.starts >= 2, "the broker is always started again: {:?}", outcome.counts);
}

#[test]
fn the_corpus_breaks_no_promise() {
    for (seed, name) in CORPUS {
        assert_kept(seed, name, &play(&Script::of(seed)));
    }
}

#[test]
fn one_seed_is_one_run_of_the_broker() {
    let (first, again, other) = (play(&Script::of(2)), play(&Script::of(2)), play(&Script::of(4)));
    assert_eq!((first.hash, first.events), (again.hash, again.events));
    assert_ne!(first.hash, other.hash);
}
