//! What differs between the address families: the network header and the flow's key. Everything behind it is
//! written once.

use aya_ebpf::{btf_maps::Array, programs::XdpContext};
use lb_common::{
    checksum,
    counters::Counter,
    flow::{Bucket, Key, Key4},
    layout::Address,
    tcp::flag,
};
use network_types::{
    ip::{IpProto, Ipv4Hdr},
    tcp::TcpHdr,
    udp::UdpHdr,
};

use crate::{
    access, maps,
    verdict::{Verdict, answer, drop, pass},
};

/// A packet to be balanced, as far as its headers matter.
pub(crate) struct Packet<K> {
    /// Whose flow it is.
    pub(crate) key: K,
    /// Its destination.
    pub(crate) vip: Address,
    /// Its destination port, host order.
    pub(crate) port: u16,
    /// IP protocol number: TCP or UDP.
    pub(crate) protocol: u8,
    /// TCP flags; 0 for UDP.
    pub(crate) flags: u8,
    /// Offset of the network header.
    pub(crate) offset: usize,
    /// Bytes from the network header on.
    pub(crate) bytes: u64,
}

impl<K> Packet<K> {
    #[inline(always)]
    pub(crate) fn is_tcp(&self) -> bool {
        self.protocol == IpProto::Tcp as u8
    }

    /// Does it open a connection? Any UDP packet does, of TCP a SYN.
    #[inline(always)]
    pub(crate) fn opens(&self) -> bool {
        !self.is_tcp() || self.flags & (flag::SYN | flag::RST | flag::ACK) == flag::SYN
    }
}

/// An address family.
pub(crate) trait Family {
    /// The key of its flows.
    type Key: Key;

    /// Reads the headers at `offset`.
    fn parse(ctx: &XdpContext, offset: usize) -> Result<Packet<Self::Key>, Verdict>;
    /// The client's address, folded, and its port in host order: what schedulers hash.
    fn client(key: &Self::Key) -> (u32, u16);
    /// The bucket of the flow table for a hash.
    fn bucket(hash: u32) -> Option<*mut Bucket<Self::Key>>;
    /// Lowers the TTL or hop limit by one; `Err` when it ends here.
    fn hop(ctx: &XdpContext, offset: usize) -> Result<(), Verdict>;
}

/// IPv4 (RFC 791).
pub(crate) struct V4;

/// More-fragments flag and fragment offset.
const FRAGMENT: u16 = 0x3fff;

impl Family for V4 {
    type Key = Key4;

    #[inline(always)]
    fn parse(ctx: &XdpContext, offset: usize) -> Result<Packet<Key4>, Verdict> {
        let header = access::at::<Ipv4Hdr>(ctx, offset).ok_or(drop(Counter::DropTruncatedIp))?;
        // SAFETY: `at` checked the bounds, and the fields have no alignment. A copy would go over the stack, and not always
        // in words that the verifier takes.
        let header = unsafe { &*header };
        let header_len = usize::from(header.vihl & 0x0f) * 4;
        if header.vihl >> 4 != 4 || header_len < Ipv4Hdr::LEN {
            return Err(drop(Counter::DropBadHeader));
        }
        let bytes = usize::from(u16::from_be_bytes(header.tot_len));
        if bytes < header_len {
            return Err(drop(Counter::DropBadHeader));
        }
        if bytes > access::linear_from(ctx, offset) && bytes > access::frame_len(ctx) - offset {
            return Err(drop(Counter::DropTruncatedIp));
        }
        let protocol = header.proto;
        if protocol != IpProto::Tcp as u8 && protocol != IpProto::Udp as u8 {
            return Err(pass(Counter::PassProtocol));
        }
        if u16::from_be_bytes(header.frags) & FRAGMENT != 0 {
            return Err(pass(Counter::PassFragment));
        }
        let transport = Transport::parse(ctx, protocol, offset + header_len, bytes - header_len)?;
        Ok(Packet {
            key: Key4 {
                client: header.src_addr,
                vip: header.dst_addr,
                client_port: transport.source.to_ne_bytes(),
                vip_port: transport.destination.to_ne_bytes(),
                protocol,
                reserved: [0; 3],
            },
            vip: Address::v4(header.dst_addr),
            port: u16::from_be(transport.destination),
            protocol,
            flags: transport.flags,
            offset,
            bytes: bytes as u64,
        })
    }

    #[inline(always)]
    fn client(key: &Key4) -> (u32, u16) {
        (Address::v4(key.client).fold(), u16::from_be_bytes(key.client_port))
    }

    #[inline(always)]
    fn bucket(hash: u32) -> Option<*mut Bucket<Key4>> {
        Array::get_ptr_mut(&maps::FLOWS4, hash & maps::flow_mask())
    }

    #[inline(always)]
    fn hop(ctx: &XdpContext, offset: usize) -> Result<(), Verdict> {
        let header = access::at::<Ipv4Hdr>(ctx, offset).ok_or(drop(Counter::DropTruncatedIp))?;
        // SAFETY: `at` checked the bounds, and the fields used have no alignment.
        let header = unsafe { &mut *header };
        if header.ttl <= 1 {
            return Err(answer(Counter::AnswerTtl));
        }
        header.ttl -= 1;
        header.check = checksum::after_ttl_decrement(u16::from_be_bytes(header.check)).to_be_bytes();
        Ok(())
    }
}

/// The transport header, the same under both families: ports and TCP flags.
struct Transport {
    /// Source port, network order.
    source: u16,
    /// Destination port, network order.
    destination: u16,
    flags: u8,
}

/// Offset of the flags byte in a TCP header (RFC 9293, section 3.1).
const TCP_FLAGS: usize = 13;

impl Transport {
    /// Reads the header at `offset`, of which the IP length leaves `len` bytes.
    #[inline(always)]
    fn parse(ctx: &XdpContext, protocol: u8, offset: usize, len: usize) -> Result<Self, Verdict> {
        let truncated = drop(Counter::DropTruncatedTransport);
        if protocol == IpProto::Tcp as u8 {
            let header = access::at::<TcpHdr>(ctx, offset).ok_or(truncated)?;
            if len < TcpHdr::LEN {
                return Err(truncated);
            }
            // SAFETY: `at` checked the bounds of the whole header; bytes have no alignment.
            unsafe {
                Ok(Self {
                    source: u16::from_ne_bytes((&raw const (*header).source).read()),
                    destination: u16::from_ne_bytes((&raw const (*header).dest).read()),
                    flags: header.cast::<u8>().add(TCP_FLAGS).read(),
                })
            }
        } else {
            let header = access::read::<UdpHdr>(ctx, offset).ok_or(truncated)?;
            if len < UdpHdr::LEN {
                return Err(truncated);
            }
            Ok(Self {
                source: u16::from_ne_bytes(header.src),
                destination: u16::from_ne_bytes(header.dst),
                flags: 0,
            })
        }
    }
}
