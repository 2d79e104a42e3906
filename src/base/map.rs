//! Hash maps whose iteration order is a function of their content's history alone.
//!
//! The standard map draws a random key per process, so two runs of one seed would differ; `clippy.toml` bans it in
//! favour of these. Keys here are ids that this broker made up. What a client chose (topic names, client ids) is kept
//! in ordered maps, in which no choice of keys makes look-ups slow.

use std::hash::{BuildHasherDefault, Hasher};

/// A hash map over ids.
#[allow(clippy::disallowed_types, reason = "this is the substitute")]
pub type Map<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<IdHasher>>;
/// A hash set over ids.
#[allow(clippy::disallowed_types, reason = "this is the substitute")]
pub type Set<K> = std::collections::HashSet<K, BuildHasherDefault<IdHasher>>;

/// A multiply-and-rotate hash for small fixed-size keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        // 2^64 divided by the golden ratio, made odd: consecutive ids land far apart.
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}
