//! What differs between the address families: the network header and the flow's key. Everything behind it is
//! written once.

mod transport;
mod v4;
mod v6;

use lb_common::{
    counters::Counter,
    flow::{Bucket, Key, Recents},
    opening,
};
use network_types::ip::IpProto;

pub(crate) use self::{v4::V4, v6::V6};
use crate::{
    access::Frame,
    flow::Work,
    verdict::{Verdict, aside, drop},
};

/// The network header, as far as it matters.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    /// Offset of the network header.
    pub(crate) offset: usize,
    /// Bytes from the network header on.
    pub(crate) bytes: usize,
    /// IP protocol number, behind IPv6 extension headers.
    pub(crate) protocol: u8,
    /// Offset of the transport header.
    pub(crate) transport: usize,
    /// Bytes from the transport header on.
    pub(crate) len: usize,
    /// Is it a piece of a datagram?
    pub(crate) piece: Piece,
    /// Offset of the identification that the pieces of the datagram share, unless it is whole.
    pub(crate) identification: usize,
}

/// A packet as a piece of a datagram.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// All of it.
    Whole,
    /// Its beginning, with the ports.
    First,
    /// Something behind its beginning.
    Later,
}

/// Where a packet comes from and goes to: the [`Address::halves`].
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) source: [u64; 2],
    pub(crate) destination: [u64; 2],
}

/// A packet to be balanced, as far as its headers matter.
#[derive(Clone, Copy)]
pub(crate) struct Packet<K> {
    /// Whose flow it is.
    pub(crate) key: K,
    /// TCP flags; SCTP: the type of the chunk that decides; 0 for UDP.
    pub(crate) flags: u8,
}

impl<K: Key> Packet<K> {
    /// Does it open a connection?
    #[inline(always)]
    pub(crate) fn opens(&self) -> bool {
        opening::opens(self.key.protocol(), self.flags)
    }
}

/// An address family.
pub(crate) trait Family: Copy {
    /// The key of its flows.
    type Key: Key;

    /// It is IPv6.
    const IS_V6: bool;

    /// Reads the network header at `offset`.
    fn head(frame: &Frame, offset: usize) -> Result<Head, Verdict>;
    /// Source and destination of the packet whose network header is at `offset`, if it reaches that far.
    fn addresses(frame: &Frame, offset: usize) -> Option<Ends>;
    /// The key of a flow between two (mapped) addresses, ports in network order.
    fn key(client: [u64; 2], vip: [u64; 2], ports: [u16; 2], protocol: u8) -> Self::Key;
    /// The bucket of the flow table in a row.
    fn bucket(row: u32) -> Option<*mut Bucket<Self::Key>>;
    /// Rows of the flow table less one.
    fn mask() -> u32;
    /// The flows of this moment that a CPU has seen.
    fn recents(cpu: u32) -> Option<*mut Recents<Self::Key>>;
    /// This CPU's scratch row.
    fn work() -> Option<*mut Work<Self::Key>>;
    /// The identification of a datagram, which is at `offset`.
    fn identification(frame: &Frame, offset: usize) -> Option<u32>;
    /// Lowers the TTL or hop limit by one; `Err` when it ends here.
    fn hop(frame: &Frame, offset: usize) -> Result<(), Verdict>;

    /// The network header that an ICMP error quotes at `offset`, as far as it reaches.
    fn quoted(frame: &Frame, offset: usize) -> Option<Head>;
    /// The protocol number of ICMP.
    const ICMP: u8;
    /// Is this type of ICMP an error?
    fn is_error(kind: u8) -> bool;

    /// The exported function for what is no plain hit in the flow table: [`crate::opening::open`].
    fn open(service: u32) -> u64;
    /// The exported function for most of it: [`crate::plain::open_plainly`].
    fn open_plainly(service: u32, packet: &Packet<Self::Key>, hash: u32, now: u32) -> u64;
    /// The exported function that takes one step of that: [`crate::opening::decide`].
    fn decide(service: u32) -> u64;
    /// The exported function that records what is in the scratch row: [`crate::opening::record`].
    fn record() -> u64;
    /// The exported function that lets a template stay: [`crate::opening::confirm`].
    fn confirm(service: u32) -> u32;
    /// The exported function for ICMP errors: [`crate::related::related`].
    fn related(frame: &Frame, head: &Head, vmac: u32) -> u64;
    /// The exported function that knows fragments: [`crate::fragment::piece`].
    fn piece(frame: &Frame) -> u64;
    /// The exported function for first fragments: [`crate::fragment::begin`].
    fn begin() -> u64;
    /// The exported function that classifies: [`crate::mark::classify`].
    fn classify() -> u64;
}

/// Reads the transport header of a packet that is whole or the first piece.
#[inline(always)]
pub(crate) fn packet<F: Family>(frame: &Frame, head: &Head) -> Result<Packet<F::Key>, Verdict> {
    let transport = transport::Transport::parse(frame, head.protocol, head.transport, head.len)?;
    let Ends { source, destination } =
        F::addresses(frame, head.offset).ok_or_else(|| aside(drop(Counter::DropTruncatedIp)))?;
    let key = F::key(source, destination, [transport.source, transport.destination], head.protocol);
    Ok(Packet { key, flags: transport.flags })
}

/// Is a protocol balanced?
#[inline(always)]
pub(crate) const fn is_balanced(protocol: u8) -> bool {
    protocol == IpProto::Tcp as u8 || protocol == IpProto::Udp as u8 || protocol == IpProto::Sctp as u8
}

pub(crate) use self::transport::ports;
