//! Bytes in a kernel's socket buffer.

use std::collections::VecDeque;

use bytes::Bytes;

/// A queue of bytes that gives out parts without copying them again.
#[derive(Default)]
pub(super) struct ByteQueue {
    pieces: VecDeque<Bytes>,
    count: usize,
}

impl ByteQueue {
    /// Bytes in the queue.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        self.count += piece.len();
        if !piece.is_empty() {
            self.pieces.push_back(piece);
        }
    }

    /// Takes up to `most` bytes that lie together.
    pub(super) fn take(&mut self, most: usize) -> Option<Bytes> {
        let front = self.pieces.front_mut()?;
        let piece = if front.len() <= most { self.pieces.pop_front()? } else { front.split_to(most) };
        self.count -= piece.len();
        Some(piece)
    }

    /// Copies bytes out, as many as there are and fit; tells how many.
    pub(super) fn copy_to(&mut self, into: &mut [u8]) -> usize {
        let mut done = 0;
        while done < into.len() {
            let Some(piece) = self.take(into.len() - done) else { break };
            into[done..done + piece.len()].copy_from_slice(&piece);
            done += piece.len();
        }
        done
    }

    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.count = 0;
    }
}
