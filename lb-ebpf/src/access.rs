//! The only way to packet bytes: a bounds check, then a pointer or a copy.

use aya_ebpf::programs::XdpContext;

/// A place for a `T` at `offset` bytes from the frame's start, if the frame reaches that far; not aligned.
#[inline(always)]
pub(crate) fn at<T>(ctx: &XdpContext, offset: usize) -> Option<*mut T> {
    let start = ctx.data() + offset;
    if start + size_of::<T>() > ctx.data_end() {
        return None;
    }
    Some(start as *mut T)
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
    ctx.data_end() - ctx.data() - offset
}

/// The length of the whole frame, with the pieces beyond the first buffer.
#[inline(always)]
pub(crate) fn frame_len(ctx: &XdpContext) -> usize {
    // SAFETY: the context is the program's own.
    unsafe { aya_ebpf::helpers::generated::bpf_xdp_get_buff_len(ctx.ctx) as usize }
}
