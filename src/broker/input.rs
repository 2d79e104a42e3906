//! Received bytes, cut into request frames without copying what lies within one chunk. No I/O.

use std::collections::VecDeque;

use crate::base::block::Slice;

/// Bytes of the size that stands before every frame.
pub const SIZE_PREFIX_BYTES: usize = 4;

/// Received chunks that were not yet cut into frames.
#[derive(Default)]
pub struct Input {
    chunks: VecDeque<Slice>,
    /// Bytes of the front chunk that were consumed.
    at: usize,
    prefix: [u8; SIZE_PREFIX_BYTES],
    prefix_bytes: usize,
}

/// What comes next in the input.
#[derive(Debug)]
pub enum Next {
    /// A whole frame, within one chunk, without its size.
    Frame(Slice),
    /// The size of a frame that does not lie within one chunk (or is still to come); [`Input::fill`] gathers it.
    Announced([u8; SIZE_PREFIX_BYTES]),
    /// The input ends within the size of a frame, or before it.
    Nothing,
}

impl Input {
    /// Appends a received chunk.
    pub fn push(&mut self, chunk: Slice) {
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// Whether a frame has begun and is not complete.
    pub fn is_within_frame(&self) -> bool {
        self.prefix_bytes > 0 || !self.chunks.is_empty()
    }

    /// The next frame or the announcement of one. A size outside `1..=size_max` is announced, never cut, so that its
    /// bytes can be judged.
    pub fn next(&mut self, size_max: usize) -> Next {
        while self.prefix_bytes < SIZE_PREFIX_BYTES {
            let Some(front) = self.chunks.front() else { return Next::Nothing };
            self.prefix[self.prefix_bytes] = front[self.at];
            self.prefix_bytes += 1;
            self.advance(1);
        }
        let Ok(size) = usize::try_from(i32::from_be_bytes(self.prefix)) else { return Next::Announced(self.prefix) };
        match self.chunks.front() {
            Some(front) if size > 0 && size <= size_max && front.len() - self.at >= size => {
                let frame = front.slice(self.at..self.at + size);
                self.advance(size);
                self.prefix_bytes = 0;
                Next::Frame(frame)
            }
            _ => Next::Announced(self.prefix),
        }
    }

    /// Copies bytes of the announced frame to the front of `into`; tells how many there were. The frame then counts
    /// as taken, the caller receives its rest.
    pub fn fill(&mut self, into: &mut [u8]) -> usize {
        self.prefix_bytes = 0;
        let mut filled = 0;
        while filled < into.len() {
            let Some(front) = self.chunks.front() else { break };
            let count = (front.len() - self.at).min(into.len() - filled);
            into[filled..filled + count].copy_from_slice(&front[self.at..self.at + count]);
            filled += count;
            self.advance(count);
        }
        filled
    }

    fn advance(&mut self, bytes: usize) {
        self.at += bytes;
        if self.chunks.front().is_some_and(|front| front.len() == self.at) {
            self.chunks.pop_front();
            self.at = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::block::{Pool, Use};

    fn chunk(bytes: &[u8]) -> Slice {
        let pool = Pool::new(1 << 20);
        let mut block = pool.try_block(bytes.len(), Use::Receive).unwrap();
        block[..bytes.len()].copy_from_slice(bytes);
        block.into_slice(bytes.len())
    }

    fn frame(next: Next) -> Vec<u8> {
        match next {
            Next::Frame(frame) => frame.to_vec(),
            other => panic!("{other:?} is no frame"),
        }
    }

    #[test]
    fn frames_within_a_chunk_share_it() {
        let mut input = Input::default();
        input.push(chunk(b"\0\0\0\x03abc\0\0\0\x01d\0\0"));
        assert_eq!(frame(input.next(100)), b"abc");
        assert_eq!(frame(input.next(100)), b"d");
        assert!(matches!(input.next(100), Next::Nothing));
        assert!(input.is_within_frame());
        input.push(chunk(b"\0\x02e"));
        assert!(matches!(input.next(100), Next::Announced([0, 0, 0, 2])));
        let mut gathered = [0; 2];
        assert_eq!(input.fill(&mut gathered), 1);
        assert_eq!(gathered, *b"e\0");
        assert!(!input.is_within_frame());
    }

    #[test]
    fn sizes_beyond_the_bound_are_announced() {
        let mut input = Input::default();
        input.push(chunk(b"\xff\xff\xff\xffabc"));
        assert!(matches!(input.next(100), Next::Announced([0xff, 0xff, 0xff, 0xff])));
        let mut input = Input::default();
        input.push(chunk(b"\0\0\0\x03abc"));
        assert!(matches!(input.next(2), Next::Announced(_)));
        let mut input = Input::default();
        input.push(chunk(b"\0\0\0\0abc"));
        assert!(matches!(input.next(2), Next::Announced([0, 0, 0, 0])));
    }

    /// However the bytes are cut into chunks, the same frames come out.
    #[test]
    fn chunk_borders_do_not_matter() {
        let stream = b"\0\0\0\x05hello\0\0\0\x01!\0\0\0\x07flumen.";
        for cut in 1..stream.len() {
            let mut input = Input::default();
            let mut frames = Vec::new();
            let mut gathering: Option<(Vec<u8>, usize)> = None;
            for piece in stream.chunks(cut) {
                input.push(chunk(piece));
                loop {
                    if let Some((mut bytes, filled)) = gathering.take() {
                        let more = input.fill(&mut bytes[filled..]);
                        if filled + more < bytes.len() {
                            gathering = Some((bytes, filled + more));
                            break;
                        }
                        frames.push(bytes);
                    }
                    match input.next(100) {
                        Next::Frame(frame) => frames.push(frame.to_vec()),
                        Next::Announced(size) => gathering = Some((vec![0; i32::from_be_bytes(size) as usize], 0)),
                        Next::Nothing => break,
                    }
                }
            }
            assert_eq!(frames, [&b"hello"[..], b"!", b"flumen."], "cut every {cut}");
        }
    }
}
