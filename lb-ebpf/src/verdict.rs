//! What becomes of a packet: its counter and the XDP action.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use lb_common::counters::Counter;

/// How a packet leaves the program. Stages return it as their error to end the way of the packet.
#[derive(Clone, Copy)]
pub(crate) struct Verdict {
    pub(crate) counter: Counter,
    pub(crate) action: u32,
}

/// Leave it to the kernel's stack.
#[inline(always)]
pub(crate) const fn pass(counter: Counter) -> Verdict {
    Verdict { counter, action: XDP_PASS }
}

/// Drop it.
#[inline(always)]
pub(crate) const fn drop(counter: Counter) -> Verdict {
    Verdict { counter, action: XDP_DROP }
}
