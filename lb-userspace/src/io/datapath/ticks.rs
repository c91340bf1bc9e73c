//! How the program tells the time: by the kernel's count of timer ticks, which it reads without a call. Here it is found
//! out what the clock says at each.

use std::{sync::OnceLock, thread, time::Duration};

use anyhow::Context as _;
use aya::{
    EbpfLoader,
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use bytemuck::{Pod, Zeroable};
use nix::time::{ClockId, clock_getres};

use super::OBJECT;

/// `CLOCK_MONOTONIC` is `base_ns + count * tick_ns`, wrapping, when the count is reached. Where timers are exact to the
/// nanosecond that is so for as long as the host runs, because the kernel then counts by that clock
/// (`tick_do_update_jiffies64` in `kernel/time/tick-sched.c`). Elsewhere it may count interrupts, which is another clock.
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
/// The resolution of a clock whose timers are exact.
const EXACT: Duration = Duration::from_nanos(1);

/// What every program of this process is loaded with.
static LEARNED: OnceLock<Ticks> = OnceLock::new();

impl Ticks {
    /// The count is no clock here: the program asks for the time by a call.
    const NONE: Self = Self { tick_ns: 0, base_ns: 0 };

    /// Those of this host, which are learned once.
    ///
    /// # Errors
    /// The kernel's, which lets no program be loaded or run.
    pub(super) fn of_host() -> anyhow::Result<Self> {
        if let Some(known) = LEARNED.get() {
            return Ok(*known);
        }
        let learned = Self::learn().context("finding out what the kernel's clock says at each tick")?;
        Ok(*LEARNED.get_or_init(|| learned))
    }

    /// Watches the count for some ticks, by a program of the object.
    fn learn() -> anyhow::Result<Self> {
        if Duration::from(clock_getres(ClockId::CLOCK_MONOTONIC)?) != EXACT {
            return Ok(Self::NONE);
        }
        let tick = Duration::from(clock_getres(ClockId::CLOCK_MONOTONIC_COARSE)?);
        Ok(Self::from_samples(tick.as_nanos() as u64, &samples()?))
    }

    /// The sample soonest after its tick says when the tick was.
    fn from_samples(tick_ns: u64, samples: &[Sample]) -> Self {
        let base_ns = samples.iter().map(|sample| sample.base_ns(tick_ns)).min_by_key(|base| *base as i64);
        Self { tick_ns, base_ns: base_ns.unwrap_or_default() }
    }
}

impl Sample {
    /// The base by which the clock would be exact at this moment.
    const fn base_ns(&self, tick_ns: u64) -> u64 {
        self.now_ns.wrapping_sub(self.count.wrapping_mul(tick_ns))
    }
}

/// Takes samples, by a program of the object.
fn samples() -> anyhow::Result<Vec<Sample>> {
    let mut ebpf = EbpfLoader::new().load(OBJECT).context("loading the XDP program's maps")?;
    let program: &mut Xdp =
        ebpf.program_mut("clock").context("the object has no program clock")?.try_into()?;
    program.load().context("the kernel refuses the XDP program that reads the clock")?;
    let mut samples = Vec::new();
    for _ in 0..SAMPLES {
        let mut bytes = [0; size_of::<Sample>()];
        let options = TestRunOptions {
            data_in: Some(&[0; size_of::<Sample>()]),
            data_out: Some(&mut bytes),
            ..TestRunOptions::new()
        };
        program.test_run(options).context("running the XDP program that reads the clock")?;
        samples.push(bytemuck::must_cast(bytes));
        thread::sleep(APART);
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_soonest_after_its_tick_decides() {
        let sample = |count, now_ns| Sample { count, now_ns };
        let samples =
            [sample(100, 5_003_000), sample(101, 9_000_100), sample(101, 9_003_900), sample(103, 17_500_000)];
        let Ticks { tick_ns, base_ns } = Ticks::from_samples(4_000_000, &samples);
        let at = |count: u64| base_ns.wrapping_add(count.wrapping_mul(tick_ns));
        assert_eq!((at(101), at(102)), (9_000_100, 13_000_100));
    }

    /// The count begins near the largest number of 32 bits, so that ticks before the boot are below zero.
    #[test]
    fn a_clock_that_began_after_the_count_is_below_zero_at_its_beginning() {
        let count = u64::from(u32::MAX) - 300 * 250 + 1000;
        let ticks = Ticks::from_samples(4_000_000, &[Sample { count, now_ns: 4_000_000_000 }]);
        assert_eq!(ticks.base_ns.wrapping_add(count.wrapping_mul(ticks.tick_ns)), 4_000_000_000);
    }
}
