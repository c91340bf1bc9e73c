//! The ICMP errors that the program sends of its own: what they say, which packets may cause one, how many a second.
//!
//! What they answer to and how is Linux's choice (`icmp_send`, `icmp6_send`), because IPVS answers through it.

use core::hint::black_box;

use bytemuck::{Pod, Zeroable};

use crate::limiter::Rate;

/// How much of a packet is quoted in an ICMP error: with it the error is 576 bytes long (RFC 1812, section 4.3.2.3).
pub const QUOTE4: usize = 576 - size_of::<Head4>();
/// The same for ICMPv6: the error is as long as the smallest MTU (RFC 4443, section 2.4 c).
pub const QUOTE6: usize = 1280 - size_of::<Head6>();

/// How many errors are sent: a thousand a second and fifty at once, as many as Linux sends (`icmp_msgs_per_sec`,
/// `icmp_msgs_burst`).
pub const RATE: Rate = Rate { interval_ns: 1_000_000, burst: 50 };

/// What the sender of a packet is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its service has no real server: port unreachable.
    NoServer,
    /// Its TTL or hop limit ends here: time exceeded in transit.
    Expired,
    /// It is longer than this MTU: fragmentation needed, packet too big.
    TooBig(u16),
}

/// Type, code, checksum, and what differs from error to error.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Icmp {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// The checksum, as in memory.
    pub check: [u8; 2],
    /// The MTU or zero.
    pub rest: [u8; 4],
}

impl Icmp {
    const fn new([kind, code]: [u8; 2], mtu: u16) -> Self {
        let [high, low] = mtu.to_be_bytes();
        Self { kind, code, check: [0; 2], rest: [0, 0, high, low] }
    }
}

/// What stands before the quote in an ICMP error.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// |Version|  IHL  |Type of service|          Total length         |   RFC 791
/// |         Identification        |Flags|     Fragment offset     |
/// |      TTL      |    Protocol   |         Header checksum       |
/// |                         Source address                        |
/// |                       Destination address                     |
/// |      Type     |      Code     |            Checksum           |   RFC 792
/// |             Zero              |          MTU or zero          |   RFC 1191
/// ```
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Head4 {
    /// Version 4, five words.
    pub vihl: u8,
    /// Type of service.
    pub tos: u8,
    /// Length of header, ICMP header and quote, network order.
    pub len: [u8; 2],
    /// Identification: it may be fragmented on its way, so it needs one (RFC 6864).
    pub id: [u8; 2],
    /// No flag, no offset.
    pub fragment: [u8; 2],
    /// Time to live.
    pub ttl: u8,
    /// ICMP.
    pub protocol: u8,
    /// Header checksum, as in memory.
    pub check: [u8; 2],
    /// The address that the quoted packet was sent to.
    pub source: [u8; 4],
    /// The address that it came from.
    pub destination: [u8; 4],
    /// The ICMP header.
    pub icmp: Icmp,
}

/// The precedence "internetwork control", which Linux gives to ICMP errors.
const CONTROL: u8 = 0xc0;
/// The TTL and hop limit of what starts here.
const TTL: u8 = 64;

impl Head4 {
    /// The headers of an error about the quoted packet, of which `quote` bytes follow; its checksums are 0.
    #[inline(always)]
    pub const fn new(reason: Reason, packet: &[u8; QUOTE4], id: [u8; 2], quote: u16) -> Self {
        let icmp = match reason {
            Reason::NoServer => Icmp::new([3, 3], 0),
            Reason::Expired => Icmp::new([11, 0], 0),
            Reason::TooBig(mtu) => Icmp::new([3, 4], mtu),
        };
        Self {
            vihl: 0x45,
            tos: CONTROL,
            len: (size_of::<Self>() as u16 + quote).to_be_bytes(),
            id,
            fragment: [0; 2],
            ttl: TTL,
            protocol: 1,
            check: [0; 2],
            source: [packet[16], packet[17], packet[18], packet[19]],
            destination: [packet[12], packet[13], packet[14], packet[15]],
            icmp,
        }
    }
}

/// What stands before the quote in an ICMPv6 error (RFC 8200, section 3; RFC 4443, section 3).
///
/// ```text
/// |Version| Traffic class |           Flow label                  |
/// |        Payload length         |  Next header  |   Hop limit   |
/// |                     Source, 16 bytes                          |
/// |                   Destination, 16 bytes                       |
/// |      Type     |      Code     |            Checksum           |
/// |                          MTU or zero                          |
/// ```
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Head6 {
    /// Version 6, no traffic class, no flow label.
    pub version: [u8; 4],
    /// Length of ICMP header and quote, network order.
    pub len: [u8; 2],
    /// ICMPv6.
    pub protocol: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// The address that the quoted packet was sent to.
    pub source: [u8; 16],
    /// The address that it came from.
    pub destination: [u8; 16],
    /// The ICMPv6 header.
    pub icmp: Icmp,
}

/// ICMPv6's protocol number.
const ICMP6: u8 = 58;

impl Head6 {
    /// The headers of an error about the quoted packet, of which `quote` bytes follow; its checksum is 0.
    #[inline(always)]
    pub const fn new(reason: Reason, packet: &[u8; QUOTE6], quote: u16) -> Self {
        let icmp = match reason {
            Reason::NoServer => Icmp::new([1, 4], 0),
            Reason::Expired => Icmp::new([3, 0], 0),
            Reason::TooBig(mtu) => Icmp::new([2, 0], mtu),
        };
        Self {
            version: [0x60, 0, 0, 0],
            len: (size_of::<Icmp>() as u16 + quote).to_be_bytes(),
            protocol: ICMP6,
            hop_limit: TTL,
            source: address(packet, 24),
            destination: address(packet, 8),
            icmp,
        }
    }

    /// What the pseudo header adds to the checksum besides the addresses (RFC 8200, section 8.1), in memory order.
    #[inline(always)]
    pub const fn pseudo_sum(quote: u16) -> u32 {
        (size_of::<Icmp>() as u16 + quote).to_be() as u32 + (ICMP6 as u16).to_be() as u32
    }
}

#[inline(always)]
const fn address(packet: &[u8; QUOTE6], offset: usize) -> [u8; 16] {
    let mut address = [0; 16];
    let mut place = 0;
    while place < 16 {
        address[place] = packet[offset + place];
        place += 1;
    }
    address
}

/// May an ICMP error go to the sender of this packet? Not to one that is no single host, nor about a packet to many, a
/// fragment other than the first, or an ICMP error (RFC 1122, section 3.2.2).
///
/// `packet` begins with an IPv4 header, of which 20 bytes are there at least, and is `len` bytes long.
#[inline(always)]
pub fn may_answer4(packet: &[u8; QUOTE4], len: usize) -> bool {
    let (source, destination) = (packet[12], packet[16]);
    if source == 0 || source == 127 || source >= 224 || destination >= 224 {
        return false;
    }
    if packet[6] & 0x1f != 0 || packet[7] != 0 {
        return false;
    }
    let icmp = usize::from(packet[0] & 0xf) * 4;
    if packet[9] != 1 || icmp >= len {
        return true;
    }
    // A type without a meaning so far may be an error one day.
    packet.get(icmp).is_some_and(|kind| !matches!(kind, 3 | 4 | 5 | 11 | 12 | 19..))
}

/// Extension headers that are looked behind. Nobody sends so many.
const MAX_EXTENSIONS: usize = 8;

/// The same for IPv6 (RFC 4443, section 2.4 e); `packet` begins with an IPv6 header, 40 bytes at least.
#[inline(always)]
pub fn may_answer6(packet: &[u8; QUOTE6], len: usize) -> bool {
    if packet[8] == 0xff || packet[24] == 0xff || is_nobody(packet) {
        return false;
    }
    let mut next = packet[6];
    let mut offset = 40;
    let mut headers = 0;
    while headers < MAX_EXTENSIONS {
        // The BPF verifier must see that what is compared with the length is the very offset.
        offset = black_box(offset);
        if offset + 4 > len {
            return true;
        }
        let Some(&[first, second, third, fourth]) = four(packet, offset) else { return true };
        offset += match next {
            // Hop-by-hop, routing, destination options.
            0 | 43 | 60 => (usize::from(second) + 1) * 8,
            // A fragment: any but the first has an offset.
            44 if third != 0 || fourth & 0xf8 != 0 => return false,
            44 => 8,
            // An authentication header.
            51 => (usize::from(second) + 2) * 4,
            // Informational messages begin at 128; 137 is a redirect.
            ICMP6 => return first >= 128 && first != 137,
            _ => return true,
        };
        next = first;
        headers += 1;
    }
    false
}

/// Is the source the unspecified address or the loopback's?
#[inline(always)]
fn is_nobody(packet: &[u8; QUOTE6]) -> bool {
    let mut any = packet[23] & 0xfe;
    let mut place = 8;
    while place < 23 {
        any |= packet[place];
        place += 1;
    }
    any == 0
}

#[inline(always)]
fn four(packet: &[u8; QUOTE6], offset: usize) -> Option<&[u8; 4]> {
    packet.get(offset..offset + 4)?.first_chunk()
}

#[cfg(test)]
mod tests;
