//! The way to packet bytes: a bounds check, then a pointer or a copy. Only whole frames are copied by the kernel's helpers
//! instead (`answer`, `fragment`).

use aya_ebpf::programs::XdpContext;

/// A place for a `T` at `offset` bytes from the frame's start, if the frame reaches that far; not aligned.
#[inline(always)]
pub(crate) fn at<T>(ctx: &XdpContext, offset: usize) -> Option<*mut T> {
    let start = data(ctx) + offset;
    if start + size_of::<T>() > data_end(ctx) {
        return None;
    }
    Some(start as *mut T)
}

/// Where the frame starts. Read anew each time: a value that outlives a call is no longer a pointer to the verifier.
#[inline(always)]
fn data(ctx: &XdpContext) -> usize {
    // SAFETY: the context is the program's own.
    unsafe { (&raw const (*ctx.ctx).data).read_volatile() as usize }
}

/// Where its first buffer ends.
#[inline(always)]
fn data_end(ctx: &XdpContext) -> usize {
    // SAFETY: the context is the program's own.
    unsafe { (&raw const (*ctx.ctx).data_end).read_volatile() as usize }
}

/// A copy of the `T` at `offset`; headers are plain bytes and integers, so any bytes make one.
#[inline(always)]
pub(crate) fn read<T: Copy>(ctx: &XdpContext, offset: usize) -> Option<T> {
    // SAFETY: `at` checked the bounds, and the read asks for no alignment.
    at::<T>(ctx, offset).map(|header| unsafe { header.read_unaligned() })
}

/// The bytes of the frame in its first buffer, counted from `offset`.
#[inline(always)]
pub(crate) fn linear_from(ctx: &XdpContext, offset: usize) -> usize {
    data_end(ctx) - data(ctx) - offset
}

/// The length of the whole frame, with the pieces beyond the first buffer.
#[inline(always)]
pub(crate) fn frame_len(ctx: &XdpContext) -> usize {
    // SAFETY: the context is the program's own.
    unsafe { aya_ebpf::helpers::generated::bpf_xdp_get_buff_len(ctx.ctx) as usize }
}

/// The number itself. The compiler knows what comes back from a function, and leaves out bounds that the verifier, which
/// does not know, must see.
#[inline(always)]
pub(crate) fn forgotten(number: u64) -> u64 {
    // SAFETY: a valid reference.
    unsafe { core::ptr::from_ref(&number).read_volatile() }
}
