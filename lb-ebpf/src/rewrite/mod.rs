//! From a chosen real server to a frame on its way: one file per forwarding mode.

mod direct;

use lb_common::counters::Counter;

use crate::{
    access::Frame,
    family::Family,
    flow::Target,
    verdict::{Verdict, pass},
};

/// Sends the frame to `target`, or leaves it to the stack when that is this host.
#[inline(always)]
pub(crate) fn send<F: Family>(
    frame: &Frame,
    port: u16,
    offset: usize,
    bytes: u64,
    target: &Target,
) -> Result<u32, Verdict> {
    if target.is_local {
        return Err(pass(Counter::Local));
    }
    direct::send::<F>(frame, port, offset, bytes, target)
}
