//! The clocks that others read: the XDP program, within a timer tick, and whoever counts from the boot on.

use std::time::Duration;

use lb_common::flow::TICK_SHIFT;
use nix::time::ClockId;

/// How long the host runs, sleep and all; nothing where it cannot tell.
pub(super) fn uptime() -> Duration {
    ClockId::CLOCK_BOOTTIME.now().map_or(Duration::ZERO, Duration::from)
}

/// The tick of so long ago.
pub(super) fn tick_before(ago: Duration) -> u32 {
    (coarse().saturating_sub(ago).as_nanos() >> TICK_SHIFT) as u32
}

/// The nanoseconds by which the program goes, which may be ahead by a timer tick, at most 10 ms.
pub(super) fn program_ns() -> u64 {
    coarse().as_nanos() as u64
}

fn coarse() -> Duration {
    ClockId::CLOCK_MONOTONIC_COARSE.now().map_or(Duration::ZERO, Duration::from)
}
