//! The provided buffers that chunks are received into.
//!
//! The kernel picks a buffer only when bytes are there, so idle connections hold none. Each buffer is a block of the
//! reactor's pool. A small chunk is copied out, many to a block, and its buffer goes straight back: a request of a
//! hundred bytes then holds a hundred bytes and costs no trip to the pool. A larger chunk takes its block along and a
//! fresh one takes its place; when the pool refuses, the ring runs low, and then the kernel answers `ENOBUFS`.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use crate::base::block::{Appender, BLOCK_ALIGN, Block, Pool, Slice, Use};
use crate::io::{Error, Result};

/// The one group of buffers of a ring.
pub(super) const GROUP: u16 = 0;
/// Size of a buffer, and so of the largest chunk, in bytes.
const BUFFER_BYTES: usize = 16 << 10;
/// Chunks up to this many bytes are copied out.
const COPIED_BYTES_MAX: usize = 2 << 10;
/// Blocks that copied chunks share.
const COPY_BLOCK_BYTES: usize = 16 << 10;
/// Entries of the ring: the most buffers that a reactor offers to the kernel.
const ENTRIES: u16 = 1024;
/// The fewest entries to work with when memory may not be locked.
const ENTRIES_MIN: u16 = 16;
/// Buffers at the start; doubled whenever the kernel finds none.
const BUFFERS_AT_START: u16 = 32;
/// The share of the pool's limit that idle buffers may take, but at least [`BUFFERS_MIN`] buffers.
const POOL_SHARE: usize = 16;
const BUFFERS_MIN: u16 = 4;

/// The buffers of one ring.
pub(super) struct BufferRing {
    entries: Entries,
    tail: u16,
    /// By buffer id: the block that the kernel may fill.
    blocks: Vec<Option<Block>>,
    /// Ids that have no block.
    missing: Vec<u16>,
    buffers_max: u16,
    copies: Option<Appender>,
}

/// The memory shared with the kernel.
struct Entries {
    base: NonNull<BufRingEntry>,
    /// A power of two; 0 once the memory is given up.
    count: u16,
}

impl Entries {
    fn layout(count: u16) -> Layout {
        Layout::from_size_align(usize::from(count) * size_of::<BufRingEntry>(), BLOCK_ALIGN).expect("a few pages")
    }

    fn new(count: u16) -> Entries {
        assert!(count.is_power_of_two());
        // SAFETY: the layout's size is above zero.
        let base = unsafe { alloc_zeroed(Entries::layout(count)) };
        let Some(base) = NonNull::new(base.cast()) else { std::alloc::handle_alloc_error(Entries::layout(count)) };
        Entries { base, count }
    }

    /// Writes the entry at ring position `at`; the kernel sees it after [`Entries::publish`].
    fn set(&mut self, at: u16, id: u16, block: &mut Block) {
        let index = usize::from(at & (self.count - 1));
        // SAFETY: the index is below `count`, and the kernel reads entries only up to the published tail, which lies
        // behind this one (there are never more buffers than entries).
        let entry = unsafe { &mut *self.base.as_ptr().add(index) };
        entry.set_addr(block.as_mut_ptr() as u64);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(id);
    }

    fn publish(&self, tail: u16) {
        // SAFETY: the base points to an initialised entry, whose reserved field is the ring's tail; the kernel only
        // reads it, and this side touches it only here, atomically.
        unsafe {
            let field = BufRingEntry::tail(self.base.as_ptr());
            AtomicU16::from_ptr(field.cast_mut()).store(tail, Ordering::Release);
        }
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        if self.count == 0 {
            return;
        }
        // SAFETY: allocated with this layout, and the kernel has no receive left that would look at it.
        unsafe { dealloc(self.base.as_ptr().cast(), Entries::layout(self.count)) };
    }
}

impl BufferRing {
    pub(super) fn new(submitter: &Submitter<'_>, pool: &Pool) -> Result<BufferRing> {
        let entries = register(submitter)?;
        let share = pool.limit_bytes() / POOL_SHARE / BUFFER_BYTES;
        let buffers_max = share.clamp(usize::from(BUFFERS_MIN), usize::from(entries.count)) as u16;
        let mut buffers =
            BufferRing { entries, tail: 0, blocks: Vec::new(), missing: Vec::new(), buffers_max, copies: None };
        buffers.add(BUFFERS_AT_START.min(buffers_max));
        buffers.refill(pool);
        Ok(buffers)
    }

    fn add(&mut self, count: u16) {
        for _ in 0..count {
            self.missing.push(self.blocks.len() as u16);
            self.blocks.push(None);
        }
    }

    /// Gives every buffer a block, as far as the pool allows.
    pub(super) fn refill(&mut self, pool: &Pool) {
        if self.missing.is_empty() {
            return;
        }
        while let Some(id) = self.missing.pop() {
            let Some(block) = pool.try_block(BUFFER_BYTES, Use::Receive) else {
                self.missing.push(id);
                break;
            };
            self.provide(id, block);
        }
        self.entries.publish(self.tail);
    }

    /// After the kernel found no buffer: whether it will find one now.
    pub(super) fn replenish(&mut self, pool: &Pool) -> bool {
        let buffers = self.blocks.len() as u16;
        if self.missing.is_empty() && buffers < self.buffers_max {
            self.add(buffers.min(self.buffers_max - buffers));
        }
        self.refill(pool);
        self.missing.len() < self.blocks.len()
    }

    /// The first `bytes` of buffer `id`, which the kernel has filled.
    pub(super) fn take(&mut self, id: u16, bytes: usize, pool: &Pool) -> Slice {
        let block = self.blocks[usize::from(id)].take().expect("the kernel fills only what it was given");
        if let Some(copy) = self.copy(&block[..bytes], pool) {
            self.provide(id, block);
            self.entries.publish(self.tail);
            return copy;
        }
        self.missing.push(id);
        self.refill(pool);
        block.into_slice(bytes)
    }

    /// Returns buffer `id` unused.
    pub(super) fn put_back(&mut self, id: u16) {
        let block = self.blocks[usize::from(id)].take().expect("the kernel names only what it was given");
        self.provide(id, block);
        self.entries.publish(self.tail);
    }

    fn provide(&mut self, id: u16, mut block: Block) {
        self.entries.set(self.tail, id, &mut block);
        self.tail = self.tail.wrapping_add(1);
        self.blocks[usize::from(id)] = Some(block);
    }

    /// A small chunk in a shared block; `None` for large ones and when there is no memory.
    fn copy(&mut self, chunk: &[u8], pool: &Pool) -> Option<Slice> {
        if chunk.len() > COPIED_BYTES_MAX {
            return None;
        }
        if self.copies.as_ref().is_none_or(|copies| copies.room() < chunk.len()) {
            self.copies = Some(pool.try_block(COPY_BLOCK_BYTES, Use::Receive)?.into_appender(0));
        }
        let copies = self.copies.as_mut()?;
        copies.reserve(chunk.len()).copy_from_slice(chunk);
        Some(copies.share(chunk.len()))
    }

    /// Leaks the buffers: the kernel may still look at them and write to them.
    pub(super) fn give_up(&mut self) {
        self.entries.count = 0;
        Vec::leak(std::mem::take(&mut self.blocks));
    }
}

/// Registers a ring of buffers, as large as the process may have it.
fn register(submitter: &Submitter<'_>) -> Result<Entries> {
    let mut count = ENTRIES;
    loop {
        let entries = Entries::new(count);
        // SAFETY: the memory is page-aligned, holds `count` entries, and lives until the ring is closed.
        let registered =
            unsafe { submitter.register_buf_ring_with_flags(entries.base.as_ptr() as u64, count, GROUP, 0) };
        match registered {
            Ok(()) if count < ENTRIES => {
                tracing::warn!(
                    count,
                    "the limit of locked memory allows few receive buffers: {}",
                    super::MEMLOCK_REMEDY
                );
                return Ok(entries);
            }
            Ok(()) => return Ok(entries),
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && count > ENTRIES_MIN => count /= 2,
            Err(error) => {
                let why = match error.raw_os_error() {
                    Some(libc::ENOMEM) => format!("the limit of locked memory is too low: {}", super::MEMLOCK_REMEDY),
                    _ => "receive buffers could not be registered: Linux 6.1 or later is needed".to_owned(),
                };
                return Err(Error::new(error.kind(), format!("{why} ({error})")));
            }
        }
    }
}
