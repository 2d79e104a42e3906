//! The lasting blocks that the kernel knows by number: their pages were looked up and pinned once, and not for each write
//! that comes out of them (a fifth of what an append of 64 KiB costs, `benches/RESULTS.md`).
//!
//! A block is registered when something is first written from it. Where the limit of locked memory ends that, writes from
//! the others go on without.

use io_uring::Submitter;

use crate::base::block::{LASTING_MAX, Lasting};

/// What the kernel knows of one pool's lasting blocks.
pub(super) struct FixedBuffers {
    /// By number.
    known: [bool; LASTING_MAX as usize],
    /// No more are taken.
    refused: bool,
}

impl FixedBuffers {
    pub(super) fn new(submitter: &Submitter<'_>) -> FixedBuffers {
        let made = submitter.register_buffers_sparse(u32::from(LASTING_MAX));
        FixedBuffers { known: [false; LASTING_MAX as usize], refused: made.is_err() }
    }

    /// The kernel's index of a block of the ring's own pool; `None` when it does not know it.
    pub(super) fn index_of(&mut self, lasting: &Lasting, submitter: &Submitter<'_>) -> Option<u16> {
        let number = usize::from(lasting.number);
        if !self.known[number] && !self.refused {
            let memory = libc::iovec { iov_base: lasting.address.cast_mut().cast(), iov_len: lasting.bytes };
            // SAFETY: the memory is where it is as long as the ring's pool, which the ring holds.
            let registered = unsafe { submitter.register_buffers_update(u32::from(lasting.number), &[memory], None) };
            match registered {
                Ok(_) => self.known[number] = true,
                Err(error) => self.refuse(&error),
            }
        }
        self.known[number].then_some(lasting.number)
    }

    fn refuse(&mut self, error: &crate::io::Error) {
        self.refused = true;
        let registered = self.known.iter().filter(|known| **known).count();
        tracing::warn!(
            registered,
            "no further write buffers can be registered, and writes cost a little more: {} ({error})",
            super::MEMLOCK_REMEDY
        );
    }
}
