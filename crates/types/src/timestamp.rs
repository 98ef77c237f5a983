//! Hybrid logical time (Kulkarni et al. 2014): wall clock where it advances, a counter where it does not.

use std::fmt;

/// Milliseconds since the Unix epoch in the upper 48 bits, a counter in the lower 16. Total order; along one
/// log strictly increasing whatever the wall clocks do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The wall-clock part.
    pub fn unix_ms(self) -> u64 {
        self.0 >> 16
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.unix_ms(), self.0 & 0xFFFF)
    }
}

/// Gives out timestamps, each greater than all given out or observed before.
#[derive(Debug, Default)]
pub struct HybridClock {
    last: Timestamp,
}

impl HybridClock {
    /// The next timestamp when the wall clock reads `now_ms`. A clock that jumps back does not take time along.
    pub fn tick(&mut self, now_ms: u64) -> Timestamp {
        self.last = Timestamp((now_ms << 16).max(self.last.0 + 1));
        self.last
    }

    /// A timestamp seen from elsewhere: later ticks are greater than it.
    pub fn observe(&mut self, seen: Timestamp) {
        self.last = self.last.max(seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back_when_the_wall_clock_does() {
        let mut clock = HybridClock::default();
        let first = clock.tick(1_000);
        let second = clock.tick(10);
        assert!(second > first);
        clock.observe(Timestamp(5_000 << 16));
        assert!(clock.tick(20).unix_ms() >= 5_000);
    }
}
