//! The only source of chance: xoshiro256** (Blackman, Vigna 2018), seeded by SplitMix64.
//!
//! Each part of a run draws from a generator of its own ([`Random::fork`]), so that one more draw in one part does
//! not change all others.

/// A generator. The same seed gives the same numbers on every machine.
#[derive(Debug, Clone)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// Of a seed; any number will do.
    pub fn new(seed: u64) -> Random {
        let mut mixed = seed;
        let mut next = || {
            mixed = mixed.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut out = mixed;
            out = (out ^ (out >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            out = (out ^ (out >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            out ^ (out >> 31)
        };
        Random {
            state: [next(), next(), next(), next()],
        }
    }

    /// A generator for another part of the run.
    #[must_use]
    pub fn fork(&mut self) -> Random {
        Random::new(self.bits())
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let out = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        out
    }

    /// From `low` to before `high`, which must be greater.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        assert!(low < high, "a range has room");
        let wide = u128::from(self.bits()) * u128::from(high - low);
        low + (wide >> 64) as u64
    }

    /// True this many times of a thousand.
    pub fn per_mille(&mut self, chance: u64) -> bool {
        self.range(0, 1000) < chance
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.range(0, of.len() as u64) as usize]
    }

    /// One of several by weight.
    pub fn weighted<T: Copy>(&mut self, of: &[(u64, T)]) -> T {
        let total = of.iter().map(|(weight, _)| weight).sum();
        let mut drawn = self.range(0, total);
        for (weight, value) in of {
            if drawn < *weight {
                return *value;
            }
            drawn -= weight;
        }
        unreachable!("the drawn number is less than the sum of weights")
    }

    /// A duration: mostly near `usual_us`, seldom many times that. What disks and networks do.
    pub fn latency_us(&mut self, usual_us: u64) -> u64 {
        let spread = self.range(usual_us / 2, usual_us * 3 / 2 + 1);
        match self.range(0, 1000) {
            0..=2 => spread * 40,
            3..=30 => spread * 6,
            _ => spread,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_and_another_does_not() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..8).map(|_| random.bits()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn ranges_and_weights_keep_their_bounds() {
        let mut random = Random::new(1);
        for _ in 0..10_000 {
            assert!((3..9).contains(&random.range(3, 9)));
            assert_ne!(random.weighted(&[(1, 'a'), (0, 'b'), (2, 'c')]), 'b');
        }
    }
}
