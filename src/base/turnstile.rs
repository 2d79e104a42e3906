//! A turnstile between tasks of one reactor: one goes through at a time, in the order of arrival.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::oneshot;

/// Lets one task at a time through. Its queue is bounded by the tasks there are: each waits at one place.
#[derive(Default)]
pub struct Turnstile {
    taken: Cell<bool>,
    waiting: RefCell<VecDeque<oneshot::Sender<()>>>,
}

/// The right of way, until it is dropped.
#[must_use = "dropping it lets the next task through"]
pub struct Passage<'a>(&'a Turnstile);

impl Turnstile {
    /// Waits for the right of way.
    pub async fn enter(&self) -> Passage<'_> {
        if self.taken.replace(true) {
            let (sender, receiver) = oneshot::channel();
            self.waiting.borrow_mut().push_back(sender);
            // Whoever leaves hands the right of way over; it stays taken meanwhile.
            receiver.await;
        }
        Passage(self)
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.borrow_mut();
        loop {
            match waiting.pop_front() {
                Some(next) if next.is_abandoned() => {}
                Some(next) => return next.send(()),
                None => return self.0.taken.set(false),
            }
        }
    }
}

#[cfg(test)]
mod tests;
