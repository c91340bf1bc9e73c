//! The transport header, the same under both families: ports, and what opens and closes a connection.

use lb_common::{counters::Counter, sctp::chunk};
use network_types::{ip::IpProto, tcp::TcpHdr, udp::UdpHdr};

use crate::{
    access::Frame,
    verdict::{Verdict, aside, drop, pass},
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
pub(crate) fn ports(frame: &Frame, offset: usize) -> Option<[u16; 2]> {
    let [[a, b], [c, d]] = frame.read::<[[u8; 2]; 2]>(offset)?;
    Some([u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])])
}

impl Transport {
    /// Reads the header at `offset`, of which the IP length leaves `len` bytes.
    #[inline(always)]
    pub(super) fn parse(frame: &Frame, protocol: u8, offset: usize, len: usize) -> Result<Self, Verdict> {
        let truncated = || aside(drop(Counter::DropTruncatedTransport));
        let (size, ports, flags) = if protocol == IpProto::Tcp as u8 {
            let header = frame.at::<[u8; TcpHdr::LEN]>(offset).ok_or_else(truncated)?;
            // SAFETY: `at` checked the bounds; bytes have no alignment.
            (TcpHdr::LEN, header.cast(), unsafe { header.cast::<u8>().add(TCP_FLAGS).read() })
        } else if protocol == IpProto::Udp as u8 {
            (UdpHdr::LEN, frame.at::<[u8; UdpHdr::LEN]>(offset).ok_or_else(truncated)?.cast(), 0)
        } else if protocol == IpProto::Sctp as u8 {
            let header = frame.at::<[u8; SCTP_HEADER]>(offset).ok_or_else(truncated)?;
            let flags = sctp(frame, offset, len).ok_or_else(truncated)?;
            (SCTP_HEADER + size_of::<Chunk>(), header.cast::<[u16; 2]>(), flags)
        } else {
            return Err(aside(pass(Counter::PassProtocol)));
        };
        if len < size {
            return Err(truncated());
        }
        // SAFETY: every header begins with them; the read asks for no alignment.
        let [source, destination] = unsafe { ports.read_unaligned() };
        Ok(Self { source, destination, flags })
    }
}

/// The type of the chunk that decides: the first one, but for an ABORT behind a cookie (RFC 9260, section 3.3.7).
#[inline(always)]
fn sctp(frame: &Frame, offset: usize, len: usize) -> Option<u8> {
    let first = frame.read::<Chunk>(offset + SCTP_HEADER)?;
    if first.kind != chunk::COOKIE_ECHO && first.kind != chunk::COOKIE_ACK {
        return Some(first.kind);
    }
    let padded = (usize::from(u16::from_be_bytes(first.len)) + 3) & 0x0ffc;
    let second = SCTP_HEADER + padded;
    if padded >= size_of::<Chunk>()
        && second + size_of::<Chunk>() <= len
        && let Some(next) = frame.read::<Chunk>(offset + second)
        && next.kind == chunk::ABORT
    {
        return Some(chunk::ABORT);
    }
    Some(first.kind)
}
