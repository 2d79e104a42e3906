//! The lasting blocks that the kernel knows by number: their pages were looked up and pinned once, and not for each write
//! that comes out of them (a fifth of what an append of 64 KiB costs, `benches/RESULTS.md`).
//!
//! A block is registered when it is written from in its second life: registering it touches all of its pages, and in its first
//! life most of them are new, each of them a page fault. Where the limit of locked memory ends that, writes from the others go on
//! without.

use io_uring::Submitter;

use crate::base::block::{LASTING_MAX, Lasting};

/// How well a block is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Nothing was written from its beginning yet.
    New,
    /// It was filled from its beginning once.
    Filled,
    /// The kernel knows it.
    Registered,
}

/// What the kernel knows of one pool's lasting blocks.
pub(super) struct FixedBuffers {
    /// By number.
    known: [Known; LASTING_MAX as usize],
    /// No more are taken.
    refused: bool,
}

impl FixedBuffers {
    pub(super) fn new(submitter: &Submitter<'_>) -> FixedBuffers {
        let made = submitter.register_buffers_sparse(u32::from(LASTING_MAX));
        FixedBuffers { known: [Known::New; LASTING_MAX as usize], refused: made.is_err() }
    }

    /// The kernel's index of a block of the ring's own pool that is written from the address `from` on; `None` when the kernel does
    /// not know it.
    pub(super) fn index_of(&mut self, lasting: &Lasting, from: *const u8, submitter: &Submitter<'_>) -> Option<u16> {
        let number = usize::from(lasting.number);
        match self.known[number] {
            Known::New if from == lasting.address => self.known[number] = Known::Filled,
            Known::Filled if from == lasting.address && !self.refused => self.register(lasting, submitter),
            _ => {}
        }
        (self.known[number] == Known::Registered).then_some(lasting.number)
    }

    fn register(&mut self, lasting: &Lasting, submitter: &Submitter<'_>) {
        let memory = libc::iovec { iov_base: lasting.address.cast_mut().cast(), iov_len: lasting.bytes };
        // SAFETY: the memory is where it is as long as the ring's pool, which the ring holds.
        let registered = unsafe { submitter.register_buffers_update(u32::from(lasting.number), &[memory], None) };
        match registered {
            Ok(_) => self.known[usize::from(lasting.number)] = Known::Registered,
            Err(error) => self.refuse(&error),
        }
    }

    fn refuse(&mut self, error: &crate::io::Error) {
        self.refused = true;
        let registered = self.known.iter().filter(|known| **known == Known::Registered).count();
        tracing::warn!(
            registered,
            "no further write buffers can be registered, and writes cost a little more: {} ({error})",
            super::MEMLOCK_REMEDY
        );
    }
}
