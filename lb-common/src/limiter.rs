//! A bucket of tokens in one word, for what may happen so often and no more.

use bytemuck::{Pod, Zeroable};

/// How many tokens there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// From one to the next in the long run, in nanoseconds.
    pub interval_ns: u64,
    /// At once.
    pub burst: u64,
}

/// The bucket: the time at which it will be full again.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Limiter {
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub full_ns: u64,
}

impl Limiter {
    /// Takes a token, if there is one.
    #[inline(always)]
    pub const fn take(&mut self, now_ns: u64, rate: Rate) -> bool {
        let full = if self.full_ns > now_ns { self.full_ns } else { now_ns };
        if full + rate.interval_ns > now_ns + rate.burst * rate.interval_ns {
            return false;
        }
        self.full_ns = full + rate.interval_ns;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { interval_ns: 1_000_000, burst: 50 };

    #[test]
    fn a_burst_and_then_one_in_each_interval() {
        let mut limiter = Limiter::default();
        let start = 3_600_000_000_000;
        let taken = |limiter: &mut Limiter, now| (0..1000).filter(|_| limiter.take(now, RATE)).count();
        assert_eq!(taken(&mut limiter, start), 50);
        assert_eq!(taken(&mut limiter, start + RATE.interval_ns - 1), 0);
        assert_eq!(taken(&mut limiter, start + 3 * RATE.interval_ns), 3);
        assert_eq!(taken(&mut limiter, start + 1000 * RATE.interval_ns), 50);
        let mut ticks = 0..250;
        let second: usize =
            ticks.by_ref().map(|tick| taken(&mut limiter, 2 * start + tick * 4_000_000)).sum();
        assert_eq!(second, 50 + 249 * 4, "a clock that ticks every 4 ms loses nothing");
    }
}
