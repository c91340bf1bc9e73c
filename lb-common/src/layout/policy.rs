//! What new connections depend on besides the scheduler: policies, firewall marks, limits.

use bytemuck::{Pod, Zeroable};

use super::Address;

/// What services need that others should not pay for: constants of the loaded program.
pub mod feature {
    /// There are rules for firewall marks.
    pub const MARKS: u32 = 1;
    /// There is a service on FTP's port.
    pub const FTP: u32 = 2;
    /// There is a service on every port.
    pub const EVERY_PORT: u32 = 4;
    /// There is a service with persistence.
    pub const PERSISTENCE: u32 = 8;
    /// There is a real server with thresholds.
    pub const LIMITED: u32 = 16;
    /// There is a service whose datagrams go by the ring alone.
    pub const BY_RING: u32 = 32;
    /// There is a service whose flows may all be where its ring says, and no other service gets its packets.
    pub const SETTLES: u32 = 64;
}

/// A row of `policies`: what the new connections of a service depend on besides its scheduler.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Policy {
    /// Of [`Policy::ONE_PACKET`] and the others.
    pub flags: u32,
    /// For how many seconds after its last new connection a client stays with its real server; 0 without persistence.
    pub persistence: u32,
    /// Which clients are one client to persistence: the bits of a (mapped) address that count.
    pub mask: Address,
    /// Row of `leases`, as in the service's slot.
    pub lease: u16,
    /// Zero.
    pub reserved: [u16; 3],
}

impl Policy {
    /// UDP: every packet is scheduled by itself and no flow is recorded.
    pub const ONE_PACKET: u32 = 1;
    /// TCP: any segment but a reset opens a connection, not only a SYN. SCTP: any chunk but an ABORT.
    pub const SLOPPY: u32 = 2;
    /// A client leaves a real server that takes no new connections, though persistence would keep it there.
    pub const EXPIRE_QUIESCENT: u32 = 4;

    /// Is one of these set?
    #[inline(always)]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// A row of `mark_rules`: which packets get a firewall mark. The first rule that fits decides.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct MarkRule {
    /// The bits of the source address that count; of a mapped IPv4 address all of the first 96 must.
    pub source_mask: Address,
    /// What they are.
    pub source: Address,
    /// The bits of the destination address that count.
    pub destination_mask: Address,
    /// What they are.
    pub destination: Address,
    /// Destination ports, the first and the last, host order.
    pub ports: [u16; 2],
    /// IP protocol number; 0 for any that is balanced.
    pub protocol: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// The mark.
    pub mark: u32,
    /// Zero.
    pub reserved2: u32,
}

impl MarkRule {
    /// Does a packet get this mark?
    #[inline(always)]
    pub fn fits(&self, source: &Address, destination: &Address, port: u16, protocol: u8) -> bool {
        let [first, last] = self.ports;
        (self.protocol == 0 || self.protocol == protocol)
            && port >= first
            && port <= last
            && destination.masked(&self.destination_mask).halves() == self.destination.halves()
            && source.masked(&self.source_mask).halves() == self.source.halves()
    }
}

/// A row of `limits`, by rows of `servers`: how many connections a real server may have.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Limit {
    /// With so many connections it is overloaded and gets no new ones; 0 for no limit.
    pub upper: u32,
    /// With fewer than so many it is no longer overloaded; 0 for three quarters of the upper limit.
    pub lower: u32,
    /// 1 while it is overloaded: kept by the program.
    pub overloaded: u32,
    /// Zero.
    pub reserved: u32,
}
