//! The rows of the BPF maps, as both sides see them and as `bpftool map dump` prints them.
//!
//! Every row is plain old data of a fixed size. What the program must see change in one piece sits in one
//! aligned 64-bit word, which the controller stores at once through the memory-mapped array.

mod address;
mod members;
mod policy;

use bytemuck::{Pod, Zeroable};

use crate::hash::multilinear;

pub use address::Address;
pub use members::{MEMBERS, Member, Members, Pool, ring_place};
pub use policy::{Limit, MarkRule, Policy, feature};

/// The version of everything in this module, in [`crate::flow`] and [`crate::counters`]. Pinned maps of another version are replaced.
pub const ABI_VERSION: u32 = 8;

/// Services in one bucket of the table `services`.
pub const SERVICE_SLOTS: usize = 4;
/// The most real servers (rows of `servers`) one director holds.
pub const MAX_SERVERS: usize = 16_384;
/// The most virtual services one director holds.
pub const MAX_SERVICES: usize = 4096;
/// The most real servers of one service.
pub const MAX_POOL: usize = 1024;
/// The most interfaces one director forwards through.
pub const MAX_PORTS: usize = 16;
/// The most rules that give packets a firewall mark.
pub const MAX_MARK_RULES: usize = 256;

/// What a virtual service is besides its address: the second word of a [`Service`], stored at once.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ServiceInfo {
    /// Port in host order.
    pub port: u16,
    /// IP protocol number; 0 marks an empty slot.
    pub protocol: u8,
    /// How it picks: [`crate::opening::service_byte`].
    pub scheduler: u8,
    /// Row of `cursors`.
    pub id: u16,
    /// Row of `leases`: the virtual router that owns the VIP; 0 when none does.
    pub lease: u16,
}

/// The number in the place of an IP protocol's that a service by firewall mark has in [`ServiceInfo::protocol`]; reserved
/// by IANA. Its address is [`Address::mark`] and its port 0.
pub const MARK_PROTOCOL: u8 = 255;

/// The number in the place of an IP protocol's that stands for a VIP itself, whatever the port and protocol: it says that
/// there are services on it, and which virtual router owns it. That of IPv6's fragment header, which no service has.
pub const PRESENCE: u8 = 44;

/// A row of `leases`: until when this node may forward for one `vrrp_instance`. Row 0 is for the services that no
/// virtual router owns, and never runs out.
///
/// Only [`Self::until_ns`] changes while the program runs. Several rows share a cache line, because each is written
/// a few times a second and read with every packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Lease {
    /// Nanoseconds of `CLOCK_MONOTONIC`; 0 when this node is not master.
    pub until_ns: u64,
    /// The virtual router's number.
    pub vrid: u8,
    /// Zero.
    pub reserved: [u8; 5],
    /// The virtual MAC address that clients may send to; [`NO_VMAC`] when there is none.
    pub vmac: Vmac,
}

impl Lease {
    /// Row 0.
    pub const ENDLESS: Self = Self { until_ns: u64::MAX, vrid: 0, reserved: [0; 5], vmac: NO_VMAC };

    /// The row of a virtual router this node is not master of.
    pub const fn none(vrid: u8, vmac: Vmac) -> Self {
        Self { until_ns: 0, vrid, reserved: [0; 5], vmac }
    }
}

/// The last two bytes of a virtual router's MAC address: 1 for IPv4 or 2 for IPv6, then its number.
pub type Vmac = [u8; 2];

/// What stands where there is no virtual MAC address.
pub const NO_VMAC: Vmac = [0; 2];

/// Which virtual router's MAC address this is, if it is any's: 00:00:5e:00:01:VRID under IPv4 and 00:00:5e:00:02:VRID
/// under IPv6 (RFC 5798, section 7.3).
#[inline(always)]
pub const fn vmac(mac: [u8; 6]) -> Option<Vmac> {
    match mac {
        [0, 0, 0x5e, 0, family @ 1..=2, vrid] => Some([family, vrid]),
        _ => None,
    }
}

/// One virtual service in the table `services`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Service {
    /// The VIP.
    pub vip: Address,
    /// Port, protocol, scheduler, id, lease.
    pub info: ServiceInfo,
    /// Its real servers.
    pub pool: Pool,
}

/// A row of `services`: the services whose keys hash to it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ServiceBucket {
    /// Empty ones have protocol 0.
    pub slots: [Service; SERVICE_SLOTS],
}

/// The port and the protocol of a service as one number: the low 24 bits of its [`ServiceInfo`], where the low bytes come
/// first, as they do for the program.
#[inline(always)]
pub const fn door(port: u16, protocol: u8) -> u32 {
    port as u32 | (protocol as u32) << 16
}

/// The hash that finds a service's bucket; `keys` gives the numbers of [`crate::hash::Keys`]. Of an IPv4 address only the
/// word that differs between two is hashed.
#[inline(always)]
pub fn service_hash(vip: &Address, door: u32, keys: impl Fn(usize) -> u64) -> u32 {
    let [a, b, c, d] = vip.words();
    if vip.is_v4() {
        return multilinear(keys, 2, |at| [d, door][at]);
    }
    multilinear(keys, 5, |at| [a, b, c, d, door][at])
}

/// What can be done with a packet for a real server.
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerState {
    /// No server has this row.
    #[default]
    Vacant = 0,
    /// Its MAC address is known: rewrite and send.
    Ready = 1,
    /// It is this host: pass to the stack.
    Local = 2,
    /// Its check failed.
    Down = 3,
    /// Its MAC address is not known.
    Unresolved = 4,
}

/// The way to a real server, one word: every change is seen whole.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct NextHop {
    /// The real server's or its gateway's MAC address.
    pub mac: [u8; 6],
    /// Row of `ports`: the interface to send through.
    pub port: u16,
}

/// What a real server's row says besides the way to it, one word.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ServerInfo {
    /// Another number whenever the row is given to another server; a flow carries the same.
    pub generation: u16,
    /// The weight configured.
    pub weight: u16,
    /// Row of `cursors`: the service this server belongs to.
    pub service: u16,
    /// A [`ServerState`] as a number.
    pub state: u8,
    /// 1 when its weight of this moment is 0, else 0.
    pub quiescent: u8,
}

/// A row of `servers`: one real server of one service.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Server {
    /// The way to it.
    pub next_hop: NextHop,
    /// Generation, weight, service, state.
    pub info: ServerInfo,
    /// The RIP.
    pub rip: Address,
}

/// A row of the per-CPU map `server_stats`, as IPVS counts: IP packets, IP lengths.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Stats {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub packets: u64,
    /// Their bytes from the IP header on.
    pub bytes: u64,
}

impl Stats {
    /// The sum of two.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            connections: self.connections.wrapping_add(other.connections),
            packets: self.packets.wrapping_add(other.packets),
            bytes: self.bytes.wrapping_add(other.bytes),
        }
    }
}

/// The connections a real server has, one word that every change adds to.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Load {
    /// Connections in an active state (ES, SS, SR, SA), and UDP flows never: those are inactive, as IPVS counts them.
    pub active: u32,
    /// All others.
    pub inactive: u32,
}

/// The one row of `loads`: by rows of `servers`, so that one lookup is enough for all of them.
pub type Loads = [Load; MAX_SERVERS];

impl Load {
    /// What an active connection adds to the word.
    pub const ONE_ACTIVE: u64 = 1;
    /// What an inactive one adds.
    pub const ONE_INACTIVE: u64 = 1 << 32;

    /// From its word. A connection that ends may be subtracted in the moment before it is added: below 0 is 0.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        // Both halves at once, and with one branch, of which the verifier follows both sides for every server.
        let signs = word & (1 << 63 | 1 << 31);
        let positive = if signs == 0 { word } else { word & !(signs | (signs - (signs >> 31))) };
        Self { active: positive as u32, inactive: (positive >> 32) as u32 }
    }

    /// Is a server with these connections overloaded, given its limits and whether it was? IPVS's rule.
    #[inline(always)]
    pub const fn overloads(self, upper: u32, lower: u32, was: bool) -> bool {
        let all = self.active as u64 + self.inactive as u64;
        if all >= upper as u64 {
            return true;
        }
        let is_below = if lower == 0 { all * 4 < upper as u64 * 3 } else { all < lower as u64 };
        was && !is_below
    }

    /// The sum of two.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            active: self.active.saturating_add(other.active),
            inactive: self.inactive.saturating_add(other.inactive),
        }
    }
}

/// A row of `cursors`: where the scheduler of a service stands.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct CursorRow {
    /// The word that picks compare and swap.
    pub cursor: crate::sched::Cursor,
    /// lblc, lblcr: what is known of the servers that serve the VIP; which these are, `joined` says.
    pub affinity: crate::sched::Affinity,
    /// Keeps two services off one cache line.
    pub reserved: [u64; 5],
}

/// One interface the program forwards through: part of the program's constants. The program reads it as two words.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Port {
    /// Its MAC address: what clients' frames must be sent to, and the source of forwarded ones.
    pub mac: [u8; 6],
    /// The longest IP packet that may be sent through it, in bytes; 65535 when that is not known.
    pub mtu: u16,
    /// Interface index; 0 for none.
    pub ifindex: u32,
    /// Zero.
    pub reserved: u32,
}

impl Port {
    /// No interface.
    pub const NONE: Self = Self { mac: [0; 6], mtu: 0, ifindex: 0, reserved: 0 };
}

/// The row of `layout`: what a new daemon must know before it takes over pinned maps.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Layout {
    /// [`ABI_VERSION`] of the writer.
    pub abi: u32,
    /// The generation the next new real server gets.
    pub next_generation: u16,
    /// The era of the writer's counts: see [`crate::flow::Control::life`].
    pub era: u16,
    /// The keys the flow tables are hashed with.
    pub flow_keys: crate::hash::Keys,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_sizes_the_budget_counts_on() {
        assert_eq!(size_of::<Service>(), 32);
        assert_eq!(size_of::<ServiceBucket>(), 128);
        assert_eq!(size_of::<Server>(), 32);
        assert_eq!(size_of::<Member>(), 4);
        assert_eq!(size_of::<CursorRow>(), 64);
        assert_eq!(size_of::<Port>(), 16);
        assert_eq!(size_of::<Lease>(), 16);
        assert_eq!(size_of::<Load>(), 8);
        assert_eq!(size_of::<Policy>(), 32);
        assert_eq!(size_of::<Limit>(), 16);
        assert_eq!(size_of::<MarkRule>(), 80);
    }

    #[test]
    fn what_the_program_reads_as_words_is_so() {
        let info = ServiceInfo { port: 0x1234, protocol: 6, scheduler: 0xff, id: 0xffff, lease: 0xffff };
        assert_eq!(bytemuck::must_cast::<_, u64>(info) as u32 & 0x00ff_ffff, door(0x1234, 6));
        let port = Port { mac: [1, 2, 3, 4, 5, 6], mtu: 1500, ifindex: 7, ..Port::NONE };
        let [first, second]: [u64; 2] = bytemuck::must_cast(port);
        assert_eq!((first, second), (u64::from_le_bytes([1, 2, 3, 4, 5, 6, 0, 0]) | 1500 << 48, 7));
    }

    #[test]
    fn active_is_the_low_half_and_nothing_is_below_zero() {
        let word = 7 * Load::ONE_ACTIVE + 3 * Load::ONE_INACTIVE;
        assert_eq!(bytemuck::must_cast::<Load, u64>(Load { active: 7, inactive: 3 }), word);
        assert_eq!(Load::from_word(word), Load { active: 7, inactive: 3 });
        let moved = word.wrapping_add(Load::ONE_INACTIVE).wrapping_sub(Load::ONE_ACTIVE);
        assert_eq!(Load::from_word(moved), Load { active: 6, inactive: 4 });
        for early in [Load::ONE_ACTIVE, Load::ONE_INACTIVE] {
            assert_eq!(Load::from_word(0u64.wrapping_sub(early)), Load::default());
        }
    }

    #[test]
    fn a_server_is_overloaded_from_its_upper_limit_down_to_its_lower_one() {
        let load = |all: u32| Load { active: all / 2, inactive: all - all / 2 };
        for (all, lower, was, is) in [
            (9, 0, false, false),
            (10, 0, false, true),
            (9, 0, true, true),
            (8, 0, true, true),
            (7, 0, true, false),
            (7, 4, true, true),
            (4, 4, true, true),
            (3, 4, true, false),
        ] {
            assert_eq!(load(all).overloads(10, lower, was), is, "{all} of 10, {lower}, {was}");
        }
    }

    #[test]
    fn only_a_virtual_routers_mac_address_is_one() {
        assert_eq!(vmac([0, 0, 0x5e, 0, 1, 51]), Some([1, 51]));
        assert_eq!(vmac([0, 0, 0x5e, 0, 2, 255]), Some([2, 255]));
        for other in [[0, 0, 0x5e, 0, 0, 51], [0, 0, 0x5e, 0, 3, 51], [1, 0, 0x5e, 0, 1, 51], [0; 6]] {
            assert_eq!(vmac(other), None, "{other:02x?}");
        }
        assert_ne!(vmac([0, 0, 0x5e, 0, 1, 0]), Some(NO_VMAC));
    }
}
