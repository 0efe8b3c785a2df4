//! What a run came to, in one number: the same seed must give the same one.

use statemachine::MemoryKv;

/// A running 64-bit hash of everything that was proposed and answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    pub fn add(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.word(chunk.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)));
        }
        self.word(chunks.remainder().iter().fold(1, |word, byte| (word << 8) | u64::from(*byte)));
    }

    fn word(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }

    pub fn of(bytes: &[u8]) -> u64 {
        let mut digest = Self::default();
        digest.add(bytes);
        digest.0
    }

    /// All rows of a store.
    pub fn of_rows(kv: &MemoryKv) -> u64 {
        let mut digest = Self::default();
        for (key, value) in &kv.rows {
            digest.add(key);
            digest.add(value);
        }
        digest.0
    }
}
