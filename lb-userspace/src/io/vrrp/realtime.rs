//! The thread's place before others on the processor, and the kernel's clock. Arms no timer.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// A moment as the kernel's `CLOCK_MONOTONIC` counts it, in nanoseconds.
pub(super) fn monotonic(at: Instant) -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    let left = at.saturating_duration_since(Instant::now());
    u64::try_from((now + left).as_nanos()).unwrap_or(u64::MAX)
}

/// Lets this thread run before all others that have no real-time priority.
pub(super) fn take_priority(priority: Option<u8>) -> nix::Result<()> {
    let parameters = libc::sched_param { sched_priority: i32::from(priority.unwrap_or(DEFAULT_PRIORITY)) };
    // SAFETY: the call reads a live struct; thread 0 is the calling one.
    let outcome = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const parameters) };
    nix::errno::Errno::result(outcome).map(drop)
}

/// The least there is: no thread without real-time priority comes before it.
const DEFAULT_PRIORITY: u8 = 1;
