//! From a chosen real server to a frame on its way: one file per forwarding mode.

mod direct;

use aya_ebpf::programs::XdpContext;
use lb_common::counters::Counter;

use crate::{
    family::Family,
    flow::Target,
    verdict::{Verdict, pass},
};

/// Sends the frame to `target`, or leaves it to the stack when that is this host.
#[inline(always)]
pub(crate) fn send<F: Family>(
    ctx: &XdpContext,
    port: u16,
    offset: usize,
    bytes: u64,
    target: &Target,
) -> Result<Verdict, Verdict> {
    if target.is_local {
        return Ok(pass(Counter::Local));
    }
    direct::send::<F>(ctx, port, offset, bytes, target)
}
