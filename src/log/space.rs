//! The free space of the disk that all reactors of a broker write to, and what of it is spoken for.
//!
//! Free space is looked at now and then; in between, whatever is about to take some is counted here first. What only
//! journals hold counts as taken, for write-back has yet to find room for it in the segments, and so does what is being
//! reserved on disk. All reactors count in one place: what one of them takes, the others cannot have.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::ids::ReactorId;

/// The account of the disk's space that all reactors keep together.
#[derive(Debug)]
pub struct DiskSpace {
    /// What is left of the free space when all that is spoken for has been taken; a copy to be read without waiting.
    left: AtomicU64,
    account: Mutex<Account>,
}

#[derive(Debug)]
struct Account {
    free_bytes: u64,
    /// The look that told so.
    told_by: u64,
    /// Looks begun.
    looks: u64,
    parts: BTreeMap<ReactorId, Part>,
}

/// What one reactor has yet to find room for.
#[derive(Debug, Default)]
struct Part {
    owed: u64,
    /// What is being reserved on disk at the moment.
    reserving: u64,
    /// All that was ever taken.
    taken: u64,
}

/// A look at free space that is under way.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    number: u64,
    reactor: ReactorId,
    owed: u64,
    taken: u64,
}

impl Default for DiskSpace {
    fn default() -> DiskSpace {
        let account = Account { free_bytes: u64::MAX, told_by: 0, looks: 0, parts: BTreeMap::new() };
        DiskSpace { left: AtomicU64::new(u64::MAX), account: Mutex::new(account) }
    }
}

impl DiskSpace {
    /// Bytes that would be free if all that is spoken for were taken.
    pub fn left_bytes(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Begins a look of `reactor`, of whose bytes `dirty` are not in segments; to be called before the file system is
    /// asked: what goes to disk meanwhile is owed until the next look, which is sure to see that it is taken.
    pub fn begin_look(&self, reactor: ReactorId, dirty: u64) -> Look {
        self.change(|account| {
            account.looks += 1;
            let number = account.looks;
            let part = account.part(reactor);
            Look { number, reactor, owed: dirty + part.reserving, taken: part.taken }
        })
    }

    /// Ends a look that found `free` bytes. Where looks of several reactors overlap, the one that began last is believed:
    /// an older one has not seen what was taken since.
    pub fn end_look(&self, look: Look, free: u64) {
        self.change(|account| {
            if look.number > account.told_by {
                (account.free_bytes, account.told_by) = (free, look.number);
            }
            let part = account.part(look.reactor);
            part.owed = look.owed + (part.taken - look.taken);
        });
    }

    /// Counts bytes that `reactor` will have to find room for.
    pub fn take(&self, reactor: ReactorId, bytes: u64) {
        self.change(|account| account.part(reactor).take(bytes));
    }

    /// Counts bytes that `reactor` is about to reserve on disk; [`DiskSpace::reserved`] is to follow.
    pub fn reserve(&self, reactor: ReactorId, bytes: u64) {
        self.change(|account| account.part(reactor).reserve(bytes));
    }

    /// As [`DiskSpace::reserve`], but only if `beyond` is left all the same; tells whether it is.
    pub fn reserve_beyond(&self, beyond: u64, reactor: ReactorId, bytes: u64) -> bool {
        self.change(|account| {
            let enough = account.left() >= beyond.saturating_add(bytes);
            if enough {
                account.part(reactor).reserve(bytes);
            }
            enough
        })
    }

    /// Notes that what was to be reserved is, or will not be: the next look sees which.
    pub fn reserved(&self, reactor: ReactorId, bytes: u64) {
        self.change(|account| account.part(reactor).reserving -= bytes);
    }

    fn change<T>(&self, change: impl FnOnce(&mut Account) -> T) -> T {
        let mut account = self.account.lock().expect("the account is never left mid-change");
        let result = change(&mut account);
        self.left.store(account.left(), Ordering::Relaxed);
        result
    }
}

impl Account {
    fn part(&mut self, reactor: ReactorId) -> &mut Part {
        self.parts.entry(reactor).or_default()
    }

    fn left(&self) -> u64 {
        self.parts.values().fold(self.free_bytes, |left, part| left.saturating_sub(part.owed))
    }
}

impl Part {
    fn take(&mut self, bytes: u64) {
        self.owed += bytes;
        self.taken += bytes;
    }

    fn reserve(&mut self, bytes: u64) {
        self.take(bytes);
        self.reserving += bytes;
    }
}

#[cfg(test)]
mod tests;
