//! The conformance suite over the simulated backend, from a few seeds.

use core::time::Duration;
use std::cell::RefCell;
use std::future::Future;
use std::path::PathBuf;
use std::rc::Rc;

use flumen::io::Handle;
use flumen::io::mesh::Mesh;
use flumen::sim::{MachineConfig, ProcessConfig, World};

use crate::backend::{Harness, POOL_BYTES};

/// Virtual time that no case needs.
const CASE_TIME_MAX: Duration = Duration::from_secs(600);
const GIBIBYTE: u64 = 1 << 30;

#[derive(Clone, Copy)]
struct Simulated {
    seed: u64,
}

impl Simulated {
    fn run<M, T, F>(&self, config: ProcessConfig, main: impl Fn(Handle, Mesh<M>) -> F + 'static) -> Vec<T>
    where
        M: Send + 'static,
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let mut world = World::new(self.seed);
        let mounts = vec![("/".into(), 16 * GIBIBYTE), ("/scratch".into(), GIBIBYTE), ("/small".into(), 8 << 20)];
        let machine = world.machine(&MachineConfig { mounts, ..MachineConfig::default() });
        let results: Rc<RefCell<Vec<Option<T>>>> = Rc::new(RefCell::new((0..config.reactors).map(|_| None).collect()));
        let (kept, main) = (Rc::clone(&results), Rc::new(main));
        let process = world.process(machine, config, move |io, port| {
            let (kept, main) = (Rc::clone(&kept), Rc::clone(&main));
            async move {
                let result = main(io.clone(), Mesh::join(&io, port)).await;
                kept.borrow_mut()[usize::from(io.reactor_id())] = Some(result);
            }
        });
        assert!(world.run_until(CASE_TIME_MAX, |world| !world.is_running(process)), "the case ends");
        results.borrow_mut().drain(..).map(|result| result.expect("each reactor had a result")).collect()
    }
}

impl Harness for Simulated {
    fn one_with_pool<T, F>(&self, pool_bytes: usize, main: impl FnOnce(Handle) -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let main = RefCell::new(Some(main));
        let config = ProcessConfig { pool_bytes, ..ProcessConfig::default() };
        let results = self.run::<(), _, _>(config, move |io, _| main.borrow_mut().take().expect("called once")(io));
        results.into_iter().next().expect("one reactor, one result")
    }

    fn many<M, T, F>(&self, reactors: usize, main: impl Fn(Handle, Mesh<M>) -> F + Send + Sync + 'static) -> Vec<T>
    where
        M: Send + 'static,
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        self.run(ProcessConfig { reactors, pool_bytes: POOL_BYTES, ..ProcessConfig::default() }, main)
    }

    fn scratch(&self) -> PathBuf {
        "/scratch".into()
    }

    fn small_disk(&self) -> Option<(PathBuf, Box<dyn Send>)> {
        Some(("/small".into(), Box::new(())))
    }
}

/// The suite from several seeds: what one order of events hides another may show.
macro_rules! seeds {
    ($($name:ident = $seed:expr,)*) => {
        $(
            mod $name {
                conformance!(super::Simulated { seed: $seed });
            }
        )*
    };
}

seeds! {
    seed_1 = 1,
    seed_2 = 2,
    seed_3 = 3,
    seed_4 = 4,
}
