//! The clock that the XDP program reads.

use std::time::Duration;

use lb_common::flow::TICK_SHIFT;
use nix::time::ClockId;

/// The tick of so long ago.
pub(super) fn tick_before(ago: Duration) -> u32 {
    let clock = ClockId::CLOCK_MONOTONIC_COARSE.now().map_or(Duration::ZERO, Duration::from);
    (clock.saturating_sub(ago).as_nanos() >> TICK_SHIFT) as u32
}
