//! What becomes of a packet: its counter and the XDP action.

use core::arch::asm;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use lb_common::counters::Counter;

/// How a packet leaves the program. Stages return it as their error to end the way of the packet.
///
/// Aligned like what stages return otherwise: both lie in one place, and where it began in the middle of a word the
/// compiler would load words from there, which the verifier refuses on the stack.
#[repr(align(8))]
#[derive(Clone, Copy)]
pub(crate) struct Verdict {
    /// A [`Counter`] as a number: the verifier does not know which values an enum has.
    pub(crate) counter: u32,
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

    #[inline(always)]
    pub(crate) const fn new(counter: Counter, action: u32) -> Self {
        Self { counter: counter as u32, action }
    }
}

/// The same verdict on a way of its own. Where nothing else happens, the compiler has its number ready before it tells the ways
/// apart, and those that go on, as most packets do, pay for each one that was not theirs.
#[inline(always)]
pub(crate) fn aside(verdict: Verdict) -> Verdict {
    // SAFETY: there is no instruction.
    unsafe { asm!("", options(nomem, nostack, preserves_flags)) };
    verdict
}

/// Answer it with the ICMP error that `counter` counts.
#[inline(always)]
pub(crate) const fn answer(counter: Counter) -> Verdict {
    Verdict::new(counter, ANSWER)
}

/// Answer it with the MTU that it is too long for.
#[inline(always)]
pub(crate) const fn too_big(mtu: u16) -> Verdict {
    Verdict::new(Counter::AnswerTooBig, ANSWER | mtu as u32)
}

/// Leave it to the kernel's stack.
#[inline(always)]
pub(crate) const fn pass(counter: Counter) -> Verdict {
    Verdict::new(counter, XDP_PASS)
}

/// Drop it.
#[inline(always)]
pub(crate) const fn drop(counter: Counter) -> Verdict {
    Verdict::new(counter, XDP_DROP)
}

/// What an exported function says of a packet, one number: its real server, or how it leaves.
#[derive(Clone, Copy)]
pub(crate) struct Outcome(u64);

const ENDED: u64 = 1 << 35;
const NEW: u64 = 1 << 16;

impl Outcome {
    /// A row of `servers` serves it; is it the first packet of its connection?
    #[inline(always)]
    pub(crate) const fn new(row: u16, is_new: bool) -> Self {
        Self(row as u64 | if is_new { NEW } else { 0 })
    }

    /// It leaves.
    #[inline(always)]
    pub(crate) const fn ended(verdict: Verdict) -> Self {
        Self(ENDED | (verdict.action as u64) << 8 | verdict.counter as u64)
    }

    /// As a number.
    #[inline(always)]
    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    /// From the number.
    #[inline(always)]
    pub(crate) const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// The row and whether the packet is the first.
    #[inline(always)]
    pub(crate) fn served(self) -> Result<(u16, bool), Verdict> {
        if self.0 & ENDED == 0 {
            return Ok((self.0 as u16, self.0 & NEW != 0));
        }
        Err(Verdict { counter: self.0 as u32 & 0xff, action: (self.0 >> 8) as u32 & 0x00ff_ffff })
    }
}
