//! The program's own ICMP errors: the frame that caused one becomes it and goes back where it came from.
//!
//! Answers are rare and limited in number, so the fewest instructions for the verifier come before speed here: an answer
//! is put together in a row of this CPU's own, whose size is fixed, and then stored in the frame.

use core::{ffi::c_void, hint::black_box, ptr::null_mut};

use aya_ebpf::{
    bindings::{xdp_action::XDP_TX, xdp_md},
    helpers::generated::{
        bpf_csum_diff, bpf_get_prandom_u32, bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_load_bytes,
        bpf_xdp_store_bytes,
    },
};
use lb_common::{
    checksum,
    counters::Counter,
    icmp::{self, Head4, Head6, Icmp, QUOTE4, QUOTE6, Reason, may_answer4, may_answer6},
    limiter::Limiter,
};
use network_types::{
    eth::{EthHdr, EtherType},
    ip::{Ipv4Hdr, Ipv6Hdr},
    vlan::VlanHdr,
};

use crate::{
    access::{self, Frame},
    clock,
    link::{self, Link, MAX_TAGS},
    lookup::Rows as _,
    maps,
    verdict::{Verdict, drop},
};

/// The most bytes before the network layer.
const MAX_LINK: usize = EthHdr::LEN + MAX_TAGS * VlanHdr::LEN;

/// The row of `answers`: the limit, and the answer in the making.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Row {
    limiter: Limiter,
    link: [u8; MAX_LINK],
    reserved: [u8; 2],
    v4: Message<Head4, QUOTE4>,
    v6: Message<Head6, QUOTE6>,
}

/// Answers the frame with an ICMP error, counts what became of it, and returns the XDP action.
///
/// `what` is the number of a [`Counter`] of answers, `mtu` that of a packet which is too long. The verifier judges an
/// exported function by itself and once, whatever the ways that lead to it.
#[unsafe(no_mangle)]
pub extern "C" fn answer(ctx: *mut xdp_md, what: u32, mtu: u32) -> u32 {
    let (Ok(verdict) | Err(verdict)) = try_answer(&Frame::of(ctx), what, mtu as u16);
    maps::count(verdict.counter);
    verdict.action
}

#[inline(always)]
fn try_answer(frame: &Frame, what: u32, mtu: u16) -> Result<Verdict, Verdict> {
    let link = link::parse(frame)?;
    let row = maps::ANSWERS.row(0).ok_or(drop(Counter::DropAnswerFailed))?;
    // SAFETY: the row is this CPU's own, which makes one answer at a time.
    let row = unsafe { &mut *row };
    let reason = if what == Counter::AnswerNoServer as u32 {
        Reason::NoServer
    } else if what == Counter::AnswerTtl as u32 {
        Reason::Expired
    } else {
        Reason::TooBig(mtu)
    };
    if link.protocol == EtherType::Ipv4 as u16 {
        answer4(frame, &link, row, reason)
    } else {
        answer6(frame, &link, row, reason)
    }
}

/// The flag in the first byte of flags and fragment offset.
const DONT_FRAGMENT: u8 = 0x40;

#[inline(always)]
fn answer4(frame: &Frame, link: &Link, row: &mut Row, reason: Reason) -> Result<Verdict, Verdict> {
    let message = &mut row.v4;
    let header: *const Ipv4Hdr = message.header(frame, link)?;
    // SAFETY: the header is in the row; any bytes make one, and they have no alignment.
    let (ttl, len, [flags, _]) = unsafe { ((*header).ttl, (*header).tot_len, (*header).frags) };
    let reason = expired_first(reason, ttl);
    if matches!(reason, Reason::TooBig(_)) && flags & DONT_FRAGMENT == 0 {
        return Err(drop(Counter::DropTooBig));
    }
    let quote = message.quote(frame, link, usize::from(u16::from_be_bytes(len)), Ipv4Hdr::LEN)?;
    if !may_answer4(&message.quote, quote) {
        return Err(drop(Counter::DropNoAnswer));
    }
    let counter = permit(&mut row.limiter, reason)?;
    // SAFETY: a helper without arguments.
    let [first, second, ..] = unsafe { bpf_get_prandom_u32() }.to_ne_bytes();
    message.head = Head4::new(reason, &message.quote, [first, second], quote as u16);
    message.head.check = message.checksum(0, Ipv4Hdr::LEN, 0);
    message.head.icmp.check = message.checksum(Ipv4Hdr::LEN, size_of::<Icmp>() + quote, 0);
    message.send(frame, link, &mut row.link, quote)?;
    Ok(Verdict::new(counter, XDP_TX))
}

/// Where the addresses begin in an IPv6 header: what stands before them is not as the checksum wants it.
const ADDRESSES: usize = 8;

#[inline(always)]
fn answer6(frame: &Frame, link: &Link, row: &mut Row, reason: Reason) -> Result<Verdict, Verdict> {
    let message = &mut row.v6;
    let header: *const Ipv6Hdr = message.header(frame, link)?;
    // SAFETY: the header is in the row; any bytes make one, and they have no alignment.
    let (hop_limit, payload) = unsafe { ((*header).hop_limit, (*header).payload_len) };
    let reason = expired_first(reason, hop_limit);
    let len = Ipv6Hdr::LEN + usize::from(u16::from_be_bytes(payload));
    let quote = message.quote(frame, link, len, Ipv6Hdr::LEN)?;
    if !may_answer6(&message.quote, quote) {
        return Err(drop(Counter::DropNoAnswer));
    }
    let counter = permit(&mut row.limiter, reason)?;
    message.head = Head6::new(reason, &message.quote, quote as u16);
    message.head.icmp.check = message.checksum(
        ADDRESSES,
        Ipv6Hdr::LEN - ADDRESSES + size_of::<Icmp>() + quote,
        Head6::pseudo_sum(quote as u16),
    );
    message.send(frame, link, &mut row.link, quote)?;
    Ok(Verdict::new(counter, XDP_TX))
}

/// A packet that is too long and has come to its last hop as well is told the latter.
#[inline(always)]
const fn expired_first(reason: Reason, ttl: u8) -> Reason {
    match reason {
        Reason::TooBig(_) if ttl <= 1 => Reason::Expired,
        reason => reason,
    }
}

/// The counter of the answer, if the limit lets it go. What finds out the MTU of a path has no limit in Linux either.
#[inline(always)]
fn permit(limiter: &mut Limiter, reason: Reason) -> Result<Counter, Verdict> {
    let counter = match reason {
        Reason::TooBig(_) => return Ok(Counter::AnswerTooBig),
        Reason::NoServer => Counter::AnswerNoServer,
        Reason::Expired => Counter::AnswerTtl,
    };
    if limiter.take(clock::coarse_ns(), icmp::RATE) {
        Ok(counter)
    } else {
        Err(drop(Counter::DropAnswerLimit))
    }
}

/// An ICMP error, and behind it room for zeros that fill up its last word for the checksum.
#[repr(C)]
#[derive(Clone, Copy)]
struct Message<H, const QUOTE: usize> {
    head: H,
    quote: [u8; QUOTE],
    zeros: [u8; 4],
}

/// The most bytes the kernel's checksum helper takes at once, before Linux 6.13.
const CHUNK: usize = 512;

impl<H, const QUOTE: usize> Message<H, QUOTE> {
    /// Copies the network header, without options. A copy by value would go over the stack, and not always in words that
    /// the verifier takes.
    #[inline(always)]
    fn header<N>(&mut self, frame: &Frame, link: &Link) -> Result<*const N, Verdict> {
        let place = (&raw mut self.quote).cast::<N>();
        let (offset, len) = (link.offset as u32, size_of::<N>() as u32);
        // SAFETY: the helper checks the frame's bounds, and a quote has more room than a header.
        let copied = unsafe { bpf_xdp_load_bytes(frame.ctx, offset, place.cast::<c_void>(), len) };
        if copied == 0 { Ok(place) } else { Err(drop(Counter::DropTruncatedIp)) }
    }

    /// Copies the beginning of the network packet, which is `len` bytes long; how much of it.
    #[inline(always)]
    fn quote(&mut self, frame: &Frame, link: &Link, len: usize, least: usize) -> Result<usize, Verdict> {
        let there = frame.len().saturating_sub(link.offset);
        // Linux 6.1 forgets the bound of a number that was laid aside before it was compared.
        let quote = access::forgotten(len.min(there).min(QUOTE) as u64) as usize;
        if quote < least {
            return Err(drop(Counter::DropTruncatedIp));
        }
        let place = (&raw mut self.quote).cast::<u8>();
        // SAFETY: the helper checks the frame's bounds, and `quote` is not more than there is room for.
        let copied = unsafe {
            bpf_xdp_load_bytes(frame.ctx, link.offset as u32, place.cast::<c_void>(), quote as u32)
        };
        // SAFETY: three bytes behind the quote are in the message still.
        unsafe { place.add(quote).cast::<[u8; 3]>().write([0; 3]) };
        if copied == 0 { Ok(quote) } else { Err(drop(Counter::DropTruncatedIp)) }
    }

    /// The Internet checksum of `len` bytes from `offset` on, as it is written into headers; `sum` has been summed up
    /// before.
    #[inline(always)]
    fn checksum(&mut self, offset: usize, len: usize, mut sum: u32) -> [u8; 2] {
        let mut left = (len + 3) & !3;
        let mut done = offset;
        while left > 0 && done < size_of::<Self>() {
            let chunk = left.min(CHUNK);
            // SAFETY: the bytes are in the message, the zeros behind the quote included.
            unsafe {
                let from = (&raw mut *self).cast::<u8>().add(done).cast::<u32>();
                sum = bpf_csum_diff(null_mut(), 0, from, chunk as u32, sum) as u32;
            }
            if left <= CHUNK {
                break;
            }
            // The verifier must see the very number that is compared.
            left = black_box(left - CHUNK);
            done += CHUNK;
        }
        checksum::complement(sum)
    }

    /// Makes the frame the answer: the link layer turned round, then the message with `quote` bytes.
    #[inline(always)]
    fn send(
        &mut self,
        frame: &Frame,
        link: &Link,
        start: &mut [u8; MAX_LINK],
        quote: usize,
    ) -> Result<(), Verdict> {
        let failed = drop(Counter::DropAnswerFailed);
        let head = size_of::<H>();
        let layer = link.offset as u32;
        let link_bytes = (&raw mut *start).cast::<c_void>();
        // SAFETY: the helpers check the frame's bounds; what they read or write here is within the row, and `link.port`
        // is a row that `link` found.
        unsafe {
            if bpf_xdp_load_bytes(frame.ctx, 0, link_bytes, MAX_LINK as u32) != 0 {
                return Err(failed);
            }
            let ethernet = link_bytes.cast::<EthHdr>();
            let client = (&raw const (*ethernet).src_addr).cast::<u64>().read_unaligned();
            link::readdress(ethernet, client, link::mac_and_mtu(usize::from(link.port)));
            if bpf_xdp_adjust_head(frame.ctx, -(head as i32)) != 0 {
                return Err(failed);
            }
            let surplus = frame.len() as i32 - (layer as usize + head + quote) as i32;
            if surplus > 0 && bpf_xdp_adjust_tail(frame.ctx, -surplus) != 0 {
                return Err(failed);
            }
            let message = (&raw mut *self).cast::<c_void>();
            // What was behind the link layer is overwritten then.
            if bpf_xdp_store_bytes(frame.ctx, 0, link_bytes, MAX_LINK as u32) != 0
                || bpf_xdp_store_bytes(frame.ctx, layer, message, (head + quote) as u32) != 0
            {
                return Err(failed);
            }
        }
        Ok(())
    }
}
