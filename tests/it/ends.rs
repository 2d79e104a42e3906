//! A process of the simulated world that runs once, or ends in every way there is, and starts again.

use core::time::Duration;
use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;

use flumen::base::prng::Prng;
use flumen::io::Handle;
use flumen::sim::{MachineConfig, PowerCut, World};

/// How long a start or a stop may take, in the world's time.
const PATIENCE: Duration = Duration::from_secs(120);

/// What happens to the process.
pub struct Rounds {
    pub seed: u64,
    /// How often it ends.
    pub count: usize,
    /// The longest that it runs before it does.
    pub longest: Duration,
}

/// Starts `main`, lets it run for a while, and ends it by a stop, by a kill or by a power cut, for all rounds; at last it is
/// started once more. `starts` tells how often it has come so far that it works. Gives the hash of all that happened.
pub fn through_every_end<F: Future<Output = ()> + 'static>(
    rounds: &Rounds,
    starts: impl Fn() -> usize,
    main: impl Fn(Handle) -> F + 'static,
) -> u64 {
    let seed = rounds.seed;
    let mut world = World::new(seed);
    let machine = world.machine(&MachineConfig::default());
    let mut fate = Prng::new(seed).split("fate");
    let process = world.client(machine, main);
    for round in 1..=rounds.count {
        assert!(world.run_until(PATIENCE, |_| starts() == round), "seed {seed}: round {round} does not start");
        let longest = u64::try_from(rounds.longest.as_micros()).expect("a short time");
        world.run_for(Duration::from_micros(fate.between(1_000, longest)));
        match fate.below(5) {
            0 => {
                world.stop(process);
                assert!(world.run_until(PATIENCE, |world| !world.is_running(process)), "seed {seed}: it does not stop");
            }
            1 | 2 => world.kill(process),
            _ => {
                let policy = if fate.one_in(2) { PowerCut::default() } else { PowerCut::mixed() };
                world.power_cut(machine, policy);
                world.power_on(machine);
            }
        }
        world.restart(process);
    }
    assert!(world.run_until(PATIENCE, |_| starts() == rounds.count + 1), "seed {seed}: the last start fails");
    world.trace().hash()
}

/// Runs `main` once on a fresh machine.
pub fn once<F: Future<Output = ()> + 'static>(main: impl Fn(Handle) -> F + 'static) {
    once_on(&MachineConfig::default(), main);
}

/// Runs `main` once on a machine like this.
pub fn once_on<F: Future<Output = ()> + 'static>(machine: &MachineConfig, main: impl Fn(Handle) -> F + 'static) {
    let mut world = World::new(3);
    let machine = world.machine(machine);
    let done = Rc::new(Cell::new(false));
    let told = Rc::clone(&done);
    let process = world.client(machine, move |io| {
        let (work, told) = (main(io), Rc::clone(&told));
        async move {
            work.await;
            told.set(true);
        }
    });
    assert!(world.run_until(Duration::from_secs(60), |world| !world.is_running(process)), "it ends");
    assert!(done.get(), "it got to its end");
}
