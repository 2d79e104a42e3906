//! Who waits for the high watermark: produce requests for an offset of their own, fetches for any move.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::read::Isolation;
use crate::base::oneshot;
use crate::model::error_code::ClientError;
use crate::model::offset::Offset;

/// Fetches that wait at one shard at a time; a further one is answered at once with what there is.
const WATCHES_MAX: usize = 10_000;

/// Told when an append is acknowledged, or why it never will be.
pub(super) type Release = oneshot::Sender<Result<(), ClientError>>;

/// The waiters of one shard, kept where they are released.
#[derive(Default)]
pub(super) struct Waiters {
    /// Appends by the offset that the high watermark has to reach; in the order of the log, so the front goes first.
    appends: RefCell<VecDeque<(Offset, Release)>>,
    watches: Rc<Watches>,
    /// Of consumers in `read_committed`.
    stable_watches: Rc<Watches>,
}

#[derive(Default)]
struct Watches {
    readable: Cell<Offset>,
    closed: Cell<bool>,
    wakers: RefCell<BTreeMap<u64, Waker>>,
    next: Cell<u64>,
}

impl Waiters {
    /// Parks an append until the high watermark reaches `end`.
    pub fn park(&self, end: Offset, release: Release) {
        let mut appends = self.appends.borrow_mut();
        // Duplicates wait for an offset below the newest one.
        let at = appends.partition_point(|(other, _)| *other <= end);
        appends.insert(at, (end, release));
    }

    /// Releases everything that waited for an offset up to `readable`, the high watermark, or `stable`, the last stable
    /// offset.
    pub fn advance(&self, readable: Offset, stable: Offset) {
        loop {
            let released = {
                let mut appends = self.appends.borrow_mut();
                match appends.front() {
                    Some((end, _)) if *end <= readable => appends.pop_front(),
                    _ => break,
                }
            };
            if let Some((_, release)) = released {
                release.send(Ok(()));
            }
        }
        self.watches.readable.set(readable);
        self.watches.wake();
        if stable > self.stable_watches.readable.replace(stable) {
            self.stable_watches.wake();
        }
    }

    /// Tells all appends that wait that they will not be acknowledged.
    pub fn fail(&self, error: &ClientError) {
        for (_, release) in self.appends.take() {
            release.send(Err(error.clone()));
        }
    }

    /// Ends all watches: the shard is gone.
    pub fn close(&self) {
        for watches in [&self.watches, &self.stable_watches] {
            watches.closed.set(true);
            watches.wake();
        }
    }

    pub fn watch(&self, seen: Offset, isolation: Isolation) -> Watch {
        let watches = match isolation {
            Isolation::ReadUncommitted => &self.watches,
            Isolation::ReadCommitted => &self.stable_watches,
        };
        Watch { watches: Rc::clone(watches), seen, key: None }
    }
}

impl Watches {
    fn wake(&self) {
        let wakers = self.wakers.take();
        wakers.into_values().for_each(Waker::wake);
    }
}

/// Resolves when the high watermark (or the last stable offset) has moved beyond what was seen, or the shard is gone. Bounded: when too many fetches
/// wait at the shard, it resolves at once.
pub struct Watch {
    watches: Rc<Watches>,
    seen: Offset,
    key: Option<u64>,
}

impl Future for Watch {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let watches = Rc::clone(&self.watches);
        if watches.closed.get() || watches.readable.get() > self.seen {
            return Poll::Ready(());
        }
        let mut wakers = watches.wakers.borrow_mut();
        if self.key.is_none() && wakers.len() >= WATCHES_MAX {
            return Poll::Ready(());
        }
        let key = *self.key.get_or_insert_with(|| {
            watches.next.set(watches.next.get() + 1);
            watches.next.get()
        });
        wakers.insert(key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.watches.wakers.borrow_mut().remove(&key);
        }
    }
}
