//! Random streams from one seed: xoshiro256++ (Blackman and Vigna), seeded through splitmix64.
//!
//! A stream is split by name, so that one more draw in one stream leaves every other as it was.

/// A deterministic random stream. Not for secrets.
#[derive(Clone, Debug)]
pub struct Prng {
    state: [u64; 4],
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Prng {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Prng {
        let mut state = seed;
        Prng { state: std::array::from_fn(|_| splitmix(&mut state)) }
    }

    /// An independent stream, a function of this stream's seed state and `name` alone.
    pub fn split(&self, name: &str) -> Prng {
        let mut seed = self.state[0] ^ self.state[2].rotate_left(17);
        for byte in name.bytes() {
            seed = splitmix(&mut seed) ^ u64::from(byte);
        }
        Prng::new(seed)
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let mut state = [a, b, c ^ a, d ^ b];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= b << 17;
        state[3] = state[3].rotate_left(45);
        self.state = state;
        result
    }

    /// A number below `bound`, each equally likely (to within 2^-64 of `bound`).
    ///
    /// # Panics
    /// When `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0);
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True once in `one_in` draws on average.
    pub fn one_in(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    /// Fills `bytes` with random bits.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.bits().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Prng;

    #[test]
    fn streams_repeat_and_differ() {
        let (mut first, mut second) = (Prng::new(7), Prng::new(7));
        assert_eq!((first.bits(), first.bits()), (second.bits(), second.bits()));
        let root = Prng::new(7);
        let (mut disk, mut network) = (root.split("disk"), root.split("network"));
        assert_ne!(disk.bits(), network.bits());
        assert_eq!(root.split("disk").bits(), Prng::new(7).split("disk").bits());
    }

    #[test]
    fn below_stays_below_and_reaches_everything() {
        let mut prng = Prng::new(1);
        let mut seen = [false; 10];
        for _ in 0..1000 {
            seen[prng.below(10) as usize] = true;
        }
        assert!(seen.iter().all(|seen| *seen));
    }
}
