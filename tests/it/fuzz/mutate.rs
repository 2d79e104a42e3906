//! Mutation of messages: lengths, counts and versions are what a decoder believes, so they are what is changed most.
//! Names nothing of the tests' binaries, so that `tests/decode_memory.rs` can use it too.

use flumen::base::prng::Prng;

/// Changes bytes, the same way for the same seed.
pub struct Mutator {
    pub random: Prng,
}

const WIDE: [i64; 12] = [0, -1, 1, -2, 127, 128, 0x3fff, 0x7fff, 0xffff, i32::MAX as i64, i32::MIN as i64, i64::MAX];
const VARINTS: [&[u8]; 7] = [
    &[0],
    &[1],
    &[0x7f],
    &[0xff, 0x7f],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
];

impl Mutator {
    pub fn new(seed: u64) -> Mutator {
        Mutator { random: Prng::new(seed) }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound.max(1) as u64) as usize
    }

    /// Changes `bytes` behind `from` in one to four ways; `other` is a message to take parts of.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>, from: usize, other: &[u8]) {
        for _ in 0..self.random.between(1, 4) {
            self.once(bytes, from, other);
        }
    }

    fn once(&mut self, bytes: &mut Vec<u8>, from: usize, other: &[u8]) {
        let length = bytes.len();
        if length <= from {
            bytes.push(self.random.bits() as u8);
            return;
        }
        let at = from + self.below(length - from);
        match self.below(10) {
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = self.random.bits() as u8,
            2 => {
                let width = [2, 4, 8][self.below(3)];
                let value = WIDE[self.below(WIDE.len())].to_be_bytes();
                overwrite(bytes, at, &value[8 - width..]);
            }
            3 => {
                // Near what was there: one more, one less, the length of what follows.
                let value = i32::from_be_bytes(std::array::from_fn(|byte| bytes.get(at + byte).copied().unwrap_or(0)));
                let near =
                    [value.wrapping_add(1), value.wrapping_sub(1), (length - at) as i32, (length - at) as i32 + 1];
                overwrite(bytes, at, &near[self.below(4)].to_be_bytes());
            }
            4 => {
                let varint = VARINTS[self.below(VARINTS.len())];
                bytes.splice(at..at + 1, varint.iter().copied());
            }
            5 => bytes.truncate(at),
            6 => {
                let count = self.below(64) + 1;
                let filler = [0, 0xff, self.random.bits() as u8][self.below(3)];
                bytes.splice(at..at, std::iter::repeat_n(filler, count));
            }
            7 => {
                let end = at + self.below(length - at) + 1;
                bytes.drain(at..end);
            }
            8 => {
                let end = (at + self.below(64) + 1).min(length);
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ if other.is_empty() => bytes[at] = 0,
            _ => {
                let start = self.below(other.len());
                let end = (start + self.below(64) + 1).min(other.len());
                bytes.splice(at..at, other[start..end].iter().copied());
            }
        }
    }
}

fn overwrite(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (to, from) in bytes[at..].iter_mut().zip(with) {
        *to = *from;
    }
}
