//! The simulated backend: what a reactor of a simulated process sees of the world.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::kernel::Kernel;
use crate::base::prng::Prng;
use crate::io::backend::{Backend, Wait};
use crate::io::clock::Clocks;
use crate::io::op::{Completion, Submission};

/// A simulated kernel as one reactor sees it. It never waits: it notes how long the reactor would, and the
/// [`World`](super::world::World) takes the reactor's next turn when that is over.
pub struct SimBackend {
    kernel: Rc<RefCell<Kernel>>,
    reactor: usize,
}

impl SimBackend {
    pub(super) fn new(kernel: Rc<RefCell<Kernel>>, reactor: usize) -> SimBackend {
        SimBackend { kernel, reactor }
    }
}

impl Backend for SimBackend {
    fn turn(&mut self, submissions: &mut VecDeque<Submission>, completions: &mut Vec<Completion>, wait: Wait) {
        let mut kernel = self.kernel.borrow_mut();
        for submission in submissions.drain(..) {
            kernel.submit(self.reactor, submission);
        }
        kernel.collect(self.reactor, completions, wait);
    }

    fn clocks(&self) -> Clocks {
        self.kernel.borrow().clocks(self.reactor)
    }

    fn random(&mut self, bytes: &mut [u8]) {
        self.kernel.borrow_mut().random(self.reactor, bytes);
    }

    fn order(&mut self) -> Option<Prng> {
        self.kernel.borrow_mut().order(self.reactor)
    }

    fn name(&self) -> &'static str {
        "simulated"
    }
}
