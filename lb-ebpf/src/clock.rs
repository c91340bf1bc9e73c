//! The time, by the kernel's count of timer ticks: the verifier makes one load of the helper (Linux 5.6, where there is a JIT
//! compiler), and those that tell nanoseconds are calls of two functions. What the clock says at each tick the controller
//! has found out; where ticks do not go by that clock, it has not.

use aya_ebpf::{
    bindings::xdp_action::XDP_PASS,
    helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns, bpf_ktime_get_ns},
    macros::xdp,
    programs::XdpContext,
};

use crate::{access::Frame, maps};

/// Nanoseconds of `CLOCK_MONOTONIC` at the last timer tick, or a little more: what was found out of a tick may be late.
#[inline(always)]
pub(crate) fn coarse_ns() -> u64 {
    let [tick_ns, base_ns] = maps::ticks();
    if tick_ns == 0 {
        // SAFETY: a helper without arguments (Linux 5.11).
        return unsafe { bpf_ktime_get_coarse_ns() };
    }
    base_ns.wrapping_add(count().wrapping_mul(tick_ns))
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[inline(always)]
pub(crate) fn exact_ns() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_ns() }
}

#[inline(always)]
fn count() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_jiffies64() }
}

/// Not for packets: writes the count and the exact clock into a frame, by which the controller learns one from the other.
#[xdp]
pub fn clock(ctx: XdpContext) -> u32 {
    if let Some(sample) = Frame::of(ctx.ctx).at::<[u64; 2]>(0) {
        // SAFETY: `at` checked the bounds.
        unsafe { sample.write_unaligned([count(), exact_ns()]) };
    }
    XDP_PASS
}
