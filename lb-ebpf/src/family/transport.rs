//! The transport header, the same under both families: ports, and what opens and closes a connection.

use aya_ebpf::programs::XdpContext;
use lb_common::{counters::Counter, sctp::chunk};
use network_types::{ip::IpProto, tcp::TcpHdr, udp::UdpHdr};

use crate::{
    access,
    verdict::{Verdict, drop},
};

/// What is read of it.
pub(super) struct Transport {
    /// Source port, network order.
    pub(super) source: u16,
    /// Destination port, network order.
    pub(super) destination: u16,
    /// TCP flags, or the type of an SCTP chunk.
    pub(super) flags: u8,
}

/// Offset of the flags byte in a TCP header (RFC 9293, section 3.1).
const TCP_FLAGS: usize = 13;
/// The common header of SCTP (RFC 9260, section 3.1).
const SCTP_HEADER: usize = 12;

/// The header of an SCTP chunk (RFC 9260, section 3.2).
#[repr(C)]
#[derive(Clone, Copy)]
struct Chunk {
    kind: u8,
    flags: u8,
    len: [u8; 2],
}

/// Source and destination port at `offset`, network order; all protocols that are balanced begin with them.
#[inline(always)]
pub(crate) fn ports(ctx: &XdpContext, offset: usize) -> Option<[u16; 2]> {
    let [[a, b], [c, d]] = access::read::<[[u8; 2]; 2]>(ctx, offset)?;
    Some([u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])])
}

impl Transport {
    /// Reads the header at `offset`, of which the IP length leaves `len` bytes.
    #[inline(always)]
    pub(super) fn parse(ctx: &XdpContext, protocol: u8, offset: usize, len: usize) -> Result<Self, Verdict> {
        let truncated = drop(Counter::DropTruncatedTransport);
        let (size, flags) = if protocol == IpProto::Tcp as u8 {
            (TcpHdr::LEN, access::read::<[u8; TcpHdr::LEN]>(ctx, offset).ok_or(truncated)?[TCP_FLAGS])
        } else if protocol == IpProto::Udp as u8 {
            access::at::<[u8; UdpHdr::LEN]>(ctx, offset).ok_or(truncated)?;
            (UdpHdr::LEN, 0)
        } else {
            (SCTP_HEADER + size_of::<Chunk>(), sctp(ctx, offset, len).ok_or(truncated)?)
        };
        if len < size {
            return Err(truncated);
        }
        let [source, destination] = ports(ctx, offset).ok_or(truncated)?;
        Ok(Self { source, destination, flags })
    }
}

/// The type of the chunk that decides: the first one, but for an ABORT behind a cookie (RFC 9260, section 3.3.7).
#[inline(always)]
fn sctp(ctx: &XdpContext, offset: usize, len: usize) -> Option<u8> {
    let first = access::read::<Chunk>(ctx, offset + SCTP_HEADER)?;
    if first.kind != chunk::COOKIE_ECHO && first.kind != chunk::COOKIE_ACK {
        return Some(first.kind);
    }
    let padded = (usize::from(u16::from_be_bytes(first.len)) + 3) & 0x0ffc;
    let second = SCTP_HEADER + padded;
    if padded >= size_of::<Chunk>()
        && second + size_of::<Chunk>() <= len
        && let Some(next) = access::read::<Chunk>(ctx, offset + second)
        && next.kind == chunk::ABORT
    {
        return Some(chunk::ABORT);
    }
    Some(first.kind)
}
