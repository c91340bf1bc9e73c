//! The way to packet bytes: a bounds check, then a pointer or a copy. Only whole frames are copied by the kernel's helpers
//! instead (`answer`, `fragment`).

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};

/// A frame, and where its first buffer starts and ends: read once, for each read of the context is a load that the compiler
/// may not leave out. Of no use behind a helper that moves the frame or its ends, but for [`Frame::ctx`] and
/// [`Frame::len`]; the verifier sees to that.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    /// Its context.
    pub(crate) ctx: *mut xdp_md,
    start: usize,
    end: usize,
}

impl Frame {
    /// That of a context.
    #[inline(always)]
    pub(crate) fn of(ctx: *mut xdp_md) -> Self {
        // SAFETY: the context is the program's own.
        let (start, end) = unsafe {
            ((&raw const (*ctx).data).read_volatile(), (&raw const (*ctx).data_end).read_volatile())
        };
        Self { ctx, start: start as usize, end: end as usize }
    }

    /// A place for a `T` at `offset` bytes from the frame's start, if the frame reaches that far; not aligned.
    #[inline(always)]
    pub(crate) fn at<T>(&self, offset: usize) -> Option<*mut T> {
        let start = self.start + offset;
        if start + size_of::<T>() > self.end {
            return None;
        }
        Some(start as *mut T)
    }

    /// A copy of the `T` at `offset`; headers are plain bytes and integers, so any bytes make one.
    #[inline(always)]
    pub(crate) fn read<T: Copy>(&self, offset: usize) -> Option<T> {
        // SAFETY: `at` checked the bounds, and the read asks for no alignment.
        self.at::<T>(offset).map(|header| unsafe { header.read_unaligned() })
    }

    /// Does the frame have so many bytes from `offset` on, which is not behind its first buffer's end?
    #[inline(always)]
    pub(crate) fn reaches(&self, offset: usize, bytes: usize) -> bool {
        bytes <= self.end - self.start - offset || bytes <= self.len() - offset
    }

    /// The length of the whole frame, with the pieces beyond the first buffer.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        // SAFETY: the context is the program's own.
        unsafe { aya_ebpf::helpers::generated::bpf_xdp_get_buff_len(self.ctx) as usize }
    }

    /// Index of the interface that it came in by.
    #[inline(always)]
    pub(crate) fn ifindex(&self) -> u32 {
        XdpContext::new(self.ctx).ingress_ifindex() as u32
    }
}

/// The number itself. The compiler knows what comes back from a function, and leaves out bounds that the verifier, which
/// does not know, must see.
#[inline(always)]
pub(crate) fn forgotten(number: u64) -> u64 {
    // SAFETY: a valid reference.
    unsafe { core::ptr::from_ref(&number).read_volatile() }
}
