//! A turnstile between tasks of one reactor: one goes through at a time, in the order of arrival.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use super::oneshot;

/// Lets one task at a time through. Its queue is bounded by the tasks there are: each waits at one place.
#[derive(Default)]
pub struct Turnstile(Rc<State>);

#[derive(Default)]
struct State {
    taken: Cell<bool>,
    waiting: RefCell<VecDeque<oneshot::Sender<Passage>>>,
}

/// The right of way, until it is dropped.
#[must_use = "dropping it lets the next task through"]
pub struct Passage(Rc<State>);

impl Turnstile {
    /// Waits for the right of way. May be dropped half way.
    pub async fn enter(&self) -> Passage {
        if !self.0.taken.replace(true) {
            return Passage(Rc::clone(&self.0));
        }
        let (sender, receiver) = oneshot::channel();
        self.0.waiting.borrow_mut().push_back(sender);
        // Whoever leaves hands the right of way over; it stays taken meanwhile.
        receiver.await.expect("nobody is forgotten: the queue lives as long as a passage")
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        loop {
            let next = self.0.waiting.borrow_mut().pop_front();
            match next {
                Some(next) if next.is_abandoned() => {}
                // If it is dropped before it looks, so is the passage, which hands it on.
                Some(next) => return next.send(Passage(Rc::clone(&self.0))),
                None => return self.0.taken.set(false),
            }
        }
    }
}

#[cfg(test)]
mod tests;
