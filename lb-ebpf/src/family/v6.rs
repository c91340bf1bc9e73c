//! IPv6 (RFC 8200), with its extension headers.

use aya_ebpf::bindings::xdp_md;
use lb_common::{
    counters::Counter,
    flow::{Bucket, Key6, Recents},
};
use network_types::ip::{IpProto, Ipv6Hdr};

use super::{Ends, Family, Head, Packet, Piece, is_balanced};
use crate::{
    access::{self, Frame},
    connection::note,
    flow::Work,
    fragment,
    lookup::Rows as _,
    maps, mark,
    opening::{self, AGAIN, Phase},
    plain, related,
    verdict::{Verdict, answer, aside, drop, pass},
};

/// IPv6.
#[derive(Clone, Copy)]
pub(crate) struct V6;

impl Family for V6 {
    type Key = Key6;

    const IS_V6: bool = true;
    const ICMP: u8 = IpProto::Ipv6Icmp as u8;

    #[inline(always)]
    fn head(frame: &Frame, offset: usize) -> Result<Head, Verdict> {
        let header = frame.at::<Ipv6Hdr>(offset).ok_or_else(|| aside(drop(Counter::DropTruncatedIp)))?;
        let Fields { version, payload, next } = Fields::of(header);
        if version != 6 {
            return Err(aside(drop(Counter::DropBadHeader)));
        }
        let bytes = Ipv6Hdr::LEN + payload;
        if !frame.reaches(offset, bytes) {
            return Err(aside(drop(Counter::DropTruncatedIp)));
        }
        let mut walk = Walk::none(next);
        if !is_balanced(next) && next != Self::ICMP {
            if !is_extension(next) {
                return Err(aside(pass(Counter::PassProtocol)));
            }
            walk = Walk::from_word(extensions(frame.ctx, offset as u32, u32::from(next)))?;
            // Whatever a first piece carries, those behind it must go where it goes.
            let is_whole = matches!(walk.piece, Piece::Whole);
            if is_whole && !is_balanced(walk.protocol) && walk.protocol != Self::ICMP {
                return Err(aside(pass(Counter::PassProtocol)));
            }
        }
        let at = usize::from(walk.at);
        if at > bytes {
            return Err(aside(drop(Counter::DropTruncatedIp)));
        }
        let Walk { protocol, piece, fragment, .. } = walk;
        let (transport, identification) = (offset + at, offset + usize::from(fragment) + IDENTIFICATION);
        Ok(Head { offset, bytes, protocol, transport, len: bytes - at, piece, identification })
    }

    #[inline(always)]
    fn addresses(frame: &Frame, offset: usize) -> Option<Ends> {
        let header = frame.at::<Ipv6Hdr>(offset)?;
        // SAFETY: `at` checked the bounds; words are read unaligned.
        let [source, destination] = unsafe {
            let word = |at: usize| header.cast::<u64>().add(at).read_unaligned();
            [[word(1), word(2)], [word(3), word(4)]]
        };
        Some(Ends { source, destination })
    }

    #[inline(always)]
    fn key(client: [u64; 2], vip: [u64; 2], [source, destination]: [u16; 2], protocol: u8) -> Key6 {
        // By words: the verifier takes no load on the stack that begins in the middle of one.
        let ([a, b], [c, d]) = (client, vip);
        let last = u64::from(source) | u64::from(destination) << 16 | u64::from(protocol) << 32;
        bytemuck::must_cast([a, b, c, d, last, 0])
    }

    #[inline(always)]
    fn bucket(row: u32) -> Option<*mut Bucket<Key6>> {
        maps::FLOWS6.row(row)
    }

    #[inline(always)]
    fn mask() -> u32 {
        maps::flow_mask(1)
    }

    #[inline(always)]
    fn recents(cpu: u32) -> Option<*mut Recents<Key6>> {
        maps::RECENT6.row(cpu)
    }

    #[inline(always)]
    fn work() -> Option<*mut Work<Key6>> {
        maps::WORK6.row(0)
    }

    #[inline(always)]
    fn identification(frame: &Frame, offset: usize) -> Option<u32> {
        frame.read::<[u8; 4]>(offset).map(u32::from_be_bytes)
    }

    #[inline(always)]
    fn hop(frame: &Frame, offset: usize) -> Result<(), Verdict> {
        const HOP_LIMIT: usize = 7;
        let limit =
            frame.at::<u8>(offset + HOP_LIMIT).ok_or_else(|| aside(drop(Counter::DropTruncatedIp)))?;
        // SAFETY: `at` checked the bounds.
        unsafe {
            if *limit <= 1 {
                return Err(aside(answer(Counter::AnswerTtl)));
            }
            *limit -= 1;
        }
        Ok(())
    }

    #[inline(always)]
    fn quoted(frame: &Frame, offset: usize) -> Option<Head> {
        let Fields { version, next, .. } = Fields::of(frame.at::<Ipv6Hdr>(offset)?);
        let walk = if is_extension(next) {
            Walk::from_word(extensions(frame.ctx, offset as u32, u32::from(next))).ok()?
        } else {
            Walk::none(next)
        };
        let Walk { protocol, at, piece, .. } = walk;
        let transport = offset + usize::from(at);
        let head = Head { offset, bytes: 0, protocol, transport, len: 0, piece, identification: 0 };
        (version == 6).then_some(head)
    }

    /// Errors have the high bit clear (RFC 4443, section 2.1).
    #[inline(always)]
    fn is_error(kind: u8) -> bool {
        kind & 0x80 == 0
    }

    #[inline(always)]
    fn open(service: u32) -> u64 {
        open6(service)
    }

    #[inline(always)]
    fn open_plainly(service: u32, packet: &Packet<Key6>, hash: u32, now: u32) -> u64 {
        note::<Self>(packet, hash, now, Phase::Unknown);
        open_plainly6(service)
    }

    #[inline(always)]
    fn decide(service: u32) -> u64 {
        decide6(service)
    }

    #[inline(always)]
    fn record() -> u64 {
        record6()
    }

    #[inline(always)]
    fn confirm(service: u32) -> u32 {
        confirm6(service)
    }

    #[inline(always)]
    fn related(frame: &Frame, head: &Head, vmac: u32) -> u64 {
        related6(frame.ctx, head.offset as u32, head.transport as u32, vmac)
    }

    #[inline(always)]
    fn piece(frame: &Frame) -> u64 {
        piece6(frame.ctx)
    }

    #[inline(always)]
    fn begin() -> u64 {
        begin6()
    }

    #[inline(always)]
    fn classify() -> u64 {
        classify6()
    }
}

/// What decides in a header. Read field by field: a copy of the header would lie on the stack.
struct Fields {
    version: u8,
    payload: usize,
    next: u8,
}

impl Fields {
    /// `header` is what [`Frame::at`] gave.
    #[inline(always)]
    fn of(header: *const Ipv6Hdr) -> Self {
        // SAFETY: its bounds were checked; bytes have no alignment.
        let (version, payload, next) = unsafe {
            (
                header.cast::<u8>().read(),
                (&raw const (*header).payload_len).read(),
                (&raw const (*header).next_hdr).read(),
            )
        };
        Self { version: version >> 4, payload: usize::from(u16::from_be_bytes(payload)), next }
    }
}

/// How far the extension headers were walked.
#[derive(Clone, Copy)]
struct Walk {
    /// The header that is next.
    protocol: u8,
    /// Where it begins, counted from the IPv6 header.
    at: u16,
    piece: Piece,
    /// Where its fragment header begins, if it has one.
    fragment: u16,
}

/// Instead of a [`Walk`]: there is no end in sight.
const LOST: u64 = u64::MAX;

impl Walk {
    /// Behind a header without extensions, whose next is `protocol`.
    #[inline(always)]
    const fn none(protocol: u8) -> Self {
        Self { protocol, at: Ipv6Hdr::LEN as u16, piece: Piece::Whole, fragment: 0 }
    }

    #[inline(always)]
    fn from_word(word: u64) -> Result<Self, Verdict> {
        if word == LOST {
            return Err(aside(drop(Counter::DropBadHeader)));
        }
        let word = access::forgotten(word);
        let piece = match (word >> 8) as u8 {
            0 => Piece::Whole,
            1 => Piece::First,
            _ => Piece::Later,
        };
        // So far they are walked at most.
        let [at, fragment] = [word >> 16, word >> 32].map(|place| place as u16 & FAR as u16);
        Ok(Self { protocol: word as u8, at, piece, fragment })
    }

    #[inline(always)]
    const fn word(self) -> u64 {
        self.protocol as u64
            | (self.piece as u64) << 8
            | (self.at as u64) << 16
            | (self.fragment as u64) << 32
    }
}

/// Extension headers that are walked at most.
const HEADERS: usize = 8;
/// Bytes that are walked at most.
const FAR: usize = 0x7ff;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

/// Offset of the identification in a fragment header (RFC 8200, section 4.5).
const IDENTIFICATION: usize = 4;

#[inline(always)]
const fn is_extension(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION)
}

/// Walks the extension headers behind the IPv6 header at `offset`, of which the first is `next`: a [`Walk`] or [`LOST`].
#[unsafe(no_mangle)]
extern "C" fn extensions(ctx: *mut xdp_md, offset: u32, next: u32) -> u64 {
    let frame = Frame::of(ctx);
    let offset = access::forgotten(u64::from(offset)) as usize & 0xfff;
    let (mut protocol, mut at, mut piece) = (next as u8, Ipv6Hdr::LEN, Piece::Whole);
    let (mut fragment, mut headers) = (0, 0);
    while headers < HEADERS {
        let Some([next, len, high, low]) = frame.read::<[u8; 4]>(offset + at) else { return LOST };
        at += match protocol {
            FRAGMENT => {
                fragment = at as u16;
                // An atomic fragment (RFC 6946) is whole.
                piece = match u16::from_be_bytes([high, low]) {
                    fragment if fragment & !7 != 0 => Piece::Later,
                    fragment if fragment & 1 != 0 => Piece::First,
                    _ => piece,
                };
                8
            }
            AUTHENTICATION => (usize::from(len) + 2) * 4,
            _ => (usize::from(len) + 1) * 8,
        };
        if at > FAR {
            return LOST;
        }
        protocol = next;
        if !is_extension(protocol) || matches!(piece, Piece::Later) {
            return Walk { protocol, at: at as u16, piece, fragment }.word();
        }
        headers += 1;
    }
    LOST
}

#[unsafe(no_mangle)]
extern "C" fn open6(service: u32) -> u64 {
    opening::open::<V6>(service)
}

#[unsafe(no_mangle)]
extern "C" fn open_plainly6(service: u32) -> u64 {
    let Some(work) = V6::work() else { return AGAIN };
    // SAFETY: the row is this CPU's own, and one packet uses it at a time.
    let Work { packet, hash, now, .. } = unsafe { &*work };
    plain::open_plainly::<V6>(service, packet, *hash, *now)
}

#[unsafe(no_mangle)]
extern "C" fn decide6(service: u32) -> u64 {
    opening::decide::<V6>(service)
}

#[unsafe(no_mangle)]
extern "C" fn record6() -> u64 {
    opening::record::<V6>()
}

#[unsafe(no_mangle)]
extern "C" fn confirm6(service: u32) -> u32 {
    opening::confirm::<V6>(service)
}

#[unsafe(no_mangle)]
extern "C" fn related6(ctx: *mut xdp_md, offset: u32, transport: u32, vmac: u32) -> u64 {
    related::related::<V6>(ctx, offset, transport, vmac)
}

#[unsafe(no_mangle)]
extern "C" fn piece6(ctx: *mut xdp_md) -> u64 {
    fragment::piece::<V6>(ctx)
}

#[unsafe(no_mangle)]
extern "C" fn begin6() -> u64 {
    fragment::begin::<V6>()
}

#[unsafe(no_mangle)]
extern "C" fn classify6() -> u64 {
    mark::classify::<V6>()
}
