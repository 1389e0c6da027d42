//! A small random generator whose state the caller owns, so that a seed replays a test.

/// xorshift64*: fast, and good enough to pick peers. Nothing secret comes from it.
#[derive(Debug, Clone)]
pub struct Xorshift(u64);

impl Xorshift {
    /// Starts from `seed`; every seed is allowed.
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not begin alike, and a state of zero would stay zero.
        Self((seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next_u64()) * end as u128) >> 64) as usize
    }
}

/// Mixes two words: the folded product of which wyhash is made.
pub(crate) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_below_and_reaches_everything() {
        for seed in [0, 1, u64::MAX, 0x9e37_79b9_7f4a_7c15] {
            let mut random = Xorshift::new(seed);
            let mut seen = [0u32; 7];
            for _ in 0..7000 {
                seen[random.below(7)] += 1;
            }
            assert!(
                seen.iter().all(|count| (800..1200).contains(count)),
                "seed {seed}: {seen:?}"
            );
            assert_eq!(random.below(0), 0);
        }
    }
}
