//! What becomes of a packet: its counter and the XDP action.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use lb_common::counters::Counter;

/// How a packet leaves the program. Stages return it as their error to end the way of the packet.
#[derive(Clone, Copy)]
pub(crate) struct Verdict {
    pub(crate) counter: Counter,
    /// The XDP action, or [`ANSWER`] and in the lower half an MTU.
    pub(crate) action: u32,
}

/// What stands for an XDP action where an ICMP error is to go back.
const ANSWER: u32 = 1 << 16;

impl Verdict {
    /// The MTU to be told, or 0, if the packet is to be answered.
    #[inline(always)]
    pub(crate) const fn answer_with(self) -> Option<u32> {
        self.action.checked_sub(ANSWER)
    }
}

/// Answer it with the ICMP error that `counter` counts.
#[inline(always)]
pub(crate) const fn answer(counter: Counter) -> Verdict {
    Verdict { counter, action: ANSWER }
}

/// Answer it with the MTU that it is too long for.
#[inline(always)]
pub(crate) const fn too_big(mtu: u16) -> Verdict {
    Verdict { counter: Counter::AnswerTooBig, action: ANSWER | mtu as u32 }
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
