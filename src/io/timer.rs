//! Timers of one reactor: an ordered map from deadline to waker.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::task::Waker;

use crate::base::time::Instant;

/// Names a timer; the number tells timers of one deadline apart.
pub(super) type Key = (Instant, u64);

#[derive(Default)]
pub(super) struct Timers {
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    pending: BTreeMap<Key, Option<Waker>>,
    next: u64,
}

impl Timers {
    pub(super) fn insert(&self, deadline: Instant) -> Key {
        let mut inner = self.inner.borrow_mut();
        inner.next += 1;
        let key = (deadline, inner.next);
        inner.pending.insert(key, None);
        key
    }

    /// Leaves `waker` with a pending timer; false when the timer has fired.
    pub(super) fn wait(&self, key: Key, waker: &Waker) -> bool {
        match self.inner.borrow_mut().pending.get_mut(&key) {
            Some(slot) => {
                *slot = Some(waker.clone());
                true
            }
            None => false,
        }
    }

    pub(super) fn remove(&self, key: Key) {
        self.inner.borrow_mut().pending.remove(&key);
    }

    /// Fires every timer due at `now`, in order of deadline.
    pub(super) fn fire(&self, now: Instant) {
        loop {
            let waker = {
                let mut inner = self.inner.borrow_mut();
                match inner.pending.first_entry() {
                    Some(entry) if entry.key().0 <= now => entry.remove(),
                    _ => return,
                }
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.inner.borrow().pending.keys().next().map(|key| key.0)
    }
}
