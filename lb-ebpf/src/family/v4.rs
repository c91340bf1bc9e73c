//! IPv4 (RFC 791).

use aya_ebpf::bindings::xdp_md;
use lb_common::{
    checksum,
    counters::Counter,
    flow::{Bucket, Key4, Recents},
    layout::Address,
};
use network_types::ip::{IpProto, Ipv4Hdr};

use super::{Ends, Family, Head, Packet, Piece, is_balanced};
use crate::{
    access::Frame,
    flow::Work,
    fragment,
    lookup::Rows as _,
    maps, mark, opening, plain, related,
    verdict::{Verdict, answer, aside, drop, pass},
};

/// IPv4.
#[derive(Clone, Copy)]
pub(crate) struct V4;

/// Offset of the identification (RFC 791, section 3.1).
const IDENTIFICATION: usize = 4;
/// More fragments follow, as on the wire.
const MORE: u16 = 0x2000_u16.to_be();
/// The fragment's offset, as on the wire.
const OFFSET: u16 = 0x1fff_u16.to_be();

impl Family for V4 {
    type Key = Key4;

    const IS_V6: bool = false;
    const ICMP: u8 = IpProto::Icmp as u8;

    #[inline(always)]
    fn head(frame: &Frame, offset: usize) -> Result<Head, Verdict> {
        let header = frame.at::<Ipv4Hdr>(offset).ok_or_else(|| aside(drop(Counter::DropTruncatedIp)))?;
        let Fields { version, header_len, bytes, fragment, protocol } = Fields::of(header);
        if version != 4 || header_len < Ipv4Hdr::LEN || bytes < header_len {
            return Err(aside(drop(Counter::DropBadHeader)));
        }
        if !frame.reaches(offset, bytes) {
            return Err(aside(drop(Counter::DropTruncatedIp)));
        }
        let mut piece = Piece::Whole;
        if fragment & (OFFSET | MORE) != 0 {
            if !is_balanced(protocol) && protocol != Self::ICMP {
                return Err(aside(pass(Counter::PassProtocol)));
            }
            piece = if fragment & OFFSET != 0 { Piece::Later } else { Piece::First };
        }
        let (transport, len) = (offset + header_len, bytes - header_len);
        let identification = offset + IDENTIFICATION;
        Ok(Head { offset, bytes, protocol, transport, len, piece, identification })
    }

    #[inline(always)]
    fn addresses(frame: &Frame, offset: usize) -> Option<Ends> {
        let header = frame.at::<Ipv4Hdr>(offset)?;
        // SAFETY: `at` checked the bounds; bytes have no alignment.
        let (source, destination) =
            unsafe { ((&raw const (*header).src_addr).read(), (&raw const (*header).dst_addr).read()) };
        let [source, destination] = [source, destination].map(|octets| Address::v4(octets).halves());
        Some(Ends { source, destination })
    }

    #[inline(always)]
    fn key(client: [u64; 2], vip: [u64; 2], [source, destination]: [u16; 2], protocol: u8) -> Key4 {
        // By words: the verifier takes no load on the stack that begins in the middle of one. The last four bytes of a
        // mapped address are the upper half of its last word on a little-endian machine.
        let (client, vip) = (client[1] >> 32, vip[1] >> 32);
        let last = u64::from(source) | u64::from(destination) << 16 | u64::from(protocol) << 32;
        bytemuck::must_cast([client | vip << 32, last])
    }

    #[inline(always)]
    fn bucket(row: u32) -> Option<*mut Bucket<Key4>> {
        maps::FLOWS4.row(row)
    }

    #[inline(always)]
    fn mask() -> u32 {
        maps::flow_mask(0)
    }

    #[inline(always)]
    fn recents(cpu: u32) -> Option<*mut Recents<Key4>> {
        maps::RECENT4.row(cpu)
    }

    #[inline(always)]
    fn work() -> Option<*mut Work<Key4>> {
        maps::WORK4.row(0)
    }

    #[inline(always)]
    fn identification(frame: &Frame, offset: usize) -> Option<u32> {
        frame.read::<[u8; 2]>(offset).map(|bytes| u16::from_be_bytes(bytes).into())
    }

    #[inline(always)]
    fn hop(frame: &Frame, offset: usize) -> Result<(), Verdict> {
        let header = frame.at::<Ipv4Hdr>(offset).ok_or_else(|| aside(drop(Counter::DropTruncatedIp)))?;
        // SAFETY: `at` checked the bounds, and neither the read nor the write asks for alignment.
        unsafe {
            let place = (&raw mut (*header).ttl).cast::<[u16; 2]>();
            let [ttl, check] = place.read_unaligned();
            if ttl as u8 <= 1 {
                return Err(aside(answer(Counter::AnswerTtl)));
            }
            // The TTL is the low byte, and its neighbour the protocol.
            place.write_unaligned([ttl - 1, checksum::after_ttl_decrement(check)]);
        }
        Ok(())
    }

    #[inline(always)]
    fn quoted(frame: &Frame, offset: usize) -> Option<Head> {
        let header = Fields::of(frame.at::<Ipv4Hdr>(offset)?);
        let piece = if header.fragment & OFFSET != 0 { Piece::Later } else { Piece::Whole };
        let (protocol, transport) = (header.protocol, offset + header.header_len);
        (header.version == 4 && header.header_len >= Ipv4Hdr::LEN).then_some(Head {
            offset,
            bytes: 0,
            protocol,
            transport,
            len: 0,
            piece,
            identification: 0,
        })
    }

    /// Unreachable, source quench, time exceeded: those that IPVS looks at.
    #[inline(always)]
    fn is_error(kind: u8) -> bool {
        kind == 3 || kind == 4 || kind == 11
    }

    #[inline(always)]
    fn open(service: u32) -> u64 {
        open4(service)
    }

    #[inline(always)]
    fn open_plainly(service: u32, packet: &Packet<Key4>, hash: u32, now: u32) -> u64 {
        let [addresses, rest]: [u64; 2] = bytemuck::must_cast(packet.key);
        open_plainly4(service, addresses, rest | u64::from(packet.flags) << FLAGS_SHIFT, hash, now)
    }

    #[inline(always)]
    fn decide(service: u32) -> u64 {
        decide4(service)
    }

    #[inline(always)]
    fn record() -> u64 {
        record4()
    }

    #[inline(always)]
    fn confirm(service: u32) -> u32 {
        confirm4(service)
    }

    #[inline(always)]
    fn related(frame: &Frame, head: &Head, vmac: u32) -> u64 {
        related4(frame.ctx, head.offset as u32, head.transport as u32, vmac)
    }

    #[inline(always)]
    fn piece(frame: &Frame) -> u64 {
        piece4(frame.ctx)
    }

    #[inline(always)]
    fn begin() -> u64 {
        begin4()
    }

    #[inline(always)]
    fn classify() -> u64 {
        classify4()
    }
}

/// What decides in a header. Read field by field: a copy of the header would lie on the stack.
struct Fields {
    version: u8,
    header_len: usize,
    bytes: usize,
    fragment: u16,
    protocol: u8,
}

impl Fields {
    /// `header` is what [`Frame::at`] gave.
    #[inline(always)]
    fn of(header: *const Ipv4Hdr) -> Self {
        // SAFETY: its bounds were checked; bytes have no alignment.
        let (vihl, bytes, fragment, protocol) = unsafe {
            (
                (&raw const (*header).vihl).read(),
                (&raw const (*header).tot_len).read(),
                (&raw const (*header).frags).read(),
                (&raw const (*header).proto).read(),
            )
        };
        Self {
            version: vihl >> 4,
            header_len: usize::from(vihl & 0x0f) * 4,
            bytes: usize::from(u16::from_be_bytes(bytes)),
            fragment: u16::from_ne_bytes(fragment),
            protocol,
        }
    }
}

// The verifier judges an exported function by itself and once, whatever the ways that lead to it. So these have numbers
// for arguments and results, and what is more lies in the scratch row.

#[unsafe(no_mangle)]
extern "C" fn open4(service: u32) -> u64 {
    opening::open::<V4>(service)
}

#[unsafe(no_mangle)]
extern "C" fn open_plainly4(service: u32, addresses: u64, rest: u64, hash: u32, now: u32) -> u64 {
    let key = bytemuck::must_cast([addresses, rest & !(0xff << FLAGS_SHIFT)]);
    let packet = Packet { key, flags: (rest >> FLAGS_SHIFT) as u8 };
    plain::open_plainly::<V4>(service, &packet, hash, now)
}

/// Where the flags lie beside the second half of a key, whose last bytes are always zero.
const FLAGS_SHIFT: u32 = 56;

#[unsafe(no_mangle)]
extern "C" fn decide4(service: u32) -> u64 {
    opening::decide::<V4>(service)
}

#[unsafe(no_mangle)]
extern "C" fn record4() -> u64 {
    opening::record::<V4>()
}

#[unsafe(no_mangle)]
extern "C" fn confirm4(service: u32) -> u32 {
    opening::confirm::<V4>(service)
}

#[unsafe(no_mangle)]
extern "C" fn related4(ctx: *mut xdp_md, offset: u32, transport: u32, vmac: u32) -> u64 {
    related::related::<V4>(ctx, offset, transport, vmac)
}

#[unsafe(no_mangle)]
extern "C" fn piece4(ctx: *mut xdp_md) -> u64 {
    fragment::piece::<V4>(ctx)
}

#[unsafe(no_mangle)]
extern "C" fn begin4() -> u64 {
    fragment::begin::<V4>()
}

#[unsafe(no_mangle)]
extern "C" fn classify4() -> u64 {
    mark::classify::<V4>()
}
