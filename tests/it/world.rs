//! Runs of the whole broker in the simulated world.

use flumen::sim::run::{Outcome, Script, play};

/// Seeds of every weather, the same each time; `flumen-sim` plays fresh ones.
const CORPUS: std::ops::Range<u64> = 8..12;

fn assert_kept(seed: u64, outcome: &Outcome) {
    if let Some(violation) = &outcome.violation {
        panic!("seed {seed}: {violation}\nplay it with: flumen-sim --seed {seed}");
    }
    assert!(outcome.counts.acked > 20 && outcome.counts.read > 20, "seed {seed} did little: {:?}", outcome.counts);
    assert!(outcome.counts.starts >= 2, "the broker is always started again: {:?}", outcome.counts);
}

#[test]
fn the_corpus_breaks_no_promise() {
    for seed in CORPUS {
        assert_kept(seed, &play(&Script::of(seed)));
    }
}

#[test]
fn one_seed_is_one_run_of_the_broker() {
    let (first, again, other) = (play(&Script::of(2)), play(&Script::of(2)), play(&Script::of(4)));
    assert_eq!((first.hash, first.events), (again.hash, again.events));
    assert_ne!(first.hash, other.hash);
}
