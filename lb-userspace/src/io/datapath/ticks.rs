//! How the program tells the time: by the kernel's count of timer ticks, which it reads without a call. Here it is found
//! out what the clock says at each.

use std::{thread, time::Duration};

use anyhow::Context as _;
use aya::{
    EbpfLoader,
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use bytemuck::{Pod, Zeroable};
use nix::time::{ClockId, clock_getres};

use super::OBJECT;

/// `CLOCK_MONOTONIC` is `base_ns + count * tick_ns`, wrapping, when the count is reached; a constant for as long as the host
/// runs (`tick_do_update_jiffies64` in `kernel/time/tick-sched.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Ticks {
    tick_ns: u64,
    base_ns: u64,
}

/// The count and the exact clock at one moment.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct Sample {
    count: u64,
    now_ns: u64,
}

/// Together these last longer than two ticks of 10 ms, the longest there are.
const SAMPLES: u32 = 48;
const APART: Duration = Duration::from_micros(500);

impl Ticks {
    /// Watches the count for some ticks, by a program of the object.
    ///
    /// # Errors
    /// The kernel's, which refuses the program.
    pub(super) fn learn() -> anyhow::Result<Self> {
        let tick = Duration::from(clock_getres(ClockId::CLOCK_MONOTONIC_COARSE)?);
        let mut ebpf = EbpfLoader::new().load(OBJECT).context("loading the program that reads the clock")?;
        let program: &mut Xdp =
            ebpf.program_mut("clock").context("the object has no program clock")?.try_into()?;
        program.load().context("the kernel refuses the program that reads the clock")?;
        let mut samples = Vec::new();
        for _ in 0..SAMPLES {
            let mut bytes = [0; size_of::<Sample>()];
            program.test_run(TestRunOptions {
                data_in: Some(&[0; size_of::<Sample>()]),
                data_out: Some(&mut bytes),
                ..TestRunOptions::new()
            })?;
            samples.push(bytemuck::must_cast(bytes));
            thread::sleep(APART);
        }
        Ok(Self::of(tick.as_nanos() as u64, &samples))
    }

    /// The sample soonest after its tick says when the tick was.
    fn of(tick_ns: u64, samples: &[Sample]) -> Self {
        let since = |sample: &Sample| sample.now_ns.wrapping_sub(sample.count.wrapping_mul(tick_ns));
        let base_ns = samples.iter().map(since).min_by_key(|base| *base as i64).unwrap_or_default();
        Self { tick_ns, base_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_soonest_after_its_tick_decides() {
        let sample = |count, now_ns| Sample { count, now_ns };
        let samples =
            [sample(100, 5_003_000), sample(101, 9_000_100), sample(101, 9_003_900), sample(103, 17_500_000)];
        let Ticks { tick_ns, base_ns } = Ticks::of(4_000_000, &samples);
        let at = |count: u64| base_ns.wrapping_add(count.wrapping_mul(tick_ns));
        assert_eq!((at(101), at(102)), (9_000_100, 13_000_100));
    }

    /// The count begins near the largest number of 32 bits, so that ticks before the boot are below zero.
    #[test]
    fn a_clock_that_began_after_the_count_is_below_zero_at_its_beginning() {
        let count = u64::from(u32::MAX) - 300 * 250 + 1000;
        let ticks = Ticks::of(4_000_000, &[Sample { count, now_ns: 4_000_000_000 }]);
        assert_eq!(ticks.base_ns.wrapping_add(count.wrapping_mul(ticks.tick_ns)), 4_000_000_000);
    }
}
