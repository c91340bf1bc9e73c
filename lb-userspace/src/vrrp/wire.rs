//! An advert's bytes: VRRP 2 (RFC 3768) and 3 (RFC 5798, RFC 9568) over IPv4 and IPv6. Refuses sockets, and leaves to
//! the virtual router whether an advert fits its configuration.
//!
//! Nothing of a packet is believed before TTL, lengths, version, type, virtual router, checksum and authentication are
//! found right, in this order; the first that is wrong is the reason for the refusal.

mod authentication;
mod ipv4;
mod message;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

pub use authentication::Replay;

use crate::config::model::vrrp::{Authentication, Checksum, Version};
use message::{Addressed, Message};

/// IP protocol of VRRP, RFC 5798 section 5.1.1.4.
const PROTOCOL: u8 = 112;

/// The TTL and hop limit of a packet that no router has forwarded, RFC 5798 section 5.1.1.3.
const TTL: u8 = 255;

/// How the adverts of one virtual router are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The version.
    pub version: Version,
    /// The virtual router.
    pub vrid: u8,
    /// Of version 2; version 3 has none.
    pub authentication: Option<Authentication>,
}

/// What the IPv4 header around an advert says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route4 {
    /// From where.
    pub source: Ipv4Addr,
    /// To where.
    pub destination: Ipv4Addr,
    /// Time to live.
    pub ttl: u8,
    /// Identification. A raw socket puts its own in place of 0, which an authentication header does not survive.
    pub id: u16,
}

/// Reads an advert for `format`'s virtual router, and from whom it is, out of an IPv4 packet as a raw socket gives it.
///
/// What lies behind the packet's own length is ignored: short Ethernet frames are filled up. The header's checksum is
/// the kernel's business.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse_v4(
    packet: &[u8],
    format: &Format,
    check_ttl: bool,
    replay: &mut Replay,
) -> Result<(IpAddr, Advert), Refusal> {
    let header = ipv4::Header::parse(packet, check_ttl)?;
    let (authentication_header, bytes) = match header.protocol {
        PROTOCOL => (None, header.payload),
        authentication::PROTOCOL => {
            let (found, bytes) = authentication::Header::parse(header.payload)?;
            (Some(found), bytes)
        }
        _ => return Err(Refusal::Type),
    };
    let message = Message::parse(bytes, format, Addressed::V4(header.source, header.destination))?;
    match (format.authentication, message.authentication(), authentication_header) {
        (_, None, None) | (None, Some((authentication::NONE, _)), None) => {}
        (Some(Authentication::Pass(password)), Some((authentication::PASS, found)), None) => {
            authentication::check_password(password, found)?;
        }
        (Some(Authentication::Ah(key)), Some((authentication::AH, _)), Some(found)) => {
            found.verify(key, &header, bytes)?;
            replay.accept(header.source, found.sequence)?;
        }
        _ => return Err(Refusal::AuthenticationType),
    }
    Ok((header.source.into(), message.advert()?))
}

/// Reads an advert for `format`'s virtual router out of what an IPv6 packet carries.
///
/// A hop limit that is not known is a wrong one.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse_v6(
    payload: &[u8],
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hop_limit: Option<u8>,
    format: &Format,
    check_ttl: bool,
) -> Result<Advert, Refusal> {
    if check_ttl && hop_limit != Some(TTL) {
        return Err(Refusal::TimeToLive);
    }
    Message::parse(payload, format, Addressed::V6(source, destination))?.advert()
}

/// Writes a whole IPv4 packet over whatever is in `out`.
///
/// Version and virtual router are the advert's, `format` says how it is authenticated, and `sequence` is that of an
/// authentication header, such as [`Replay::next_sequence`] gives. At most 255 addresses fit.
pub fn emit_v4(advert: &Advert, format: &Format, route: &Route4, sequence: u32, out: &mut Vec<u8>) {
    let authentication = format.authentication.filter(|_| advert.version == Version::V2);
    out.clear();
    out.resize(ipv4::LENGTH, 0);
    if let Some(Authentication::Ah(_)) = authentication {
        out.resize(ipv4::LENGTH + authentication::LENGTH, 0);
    }
    let start = out.len();
    message::emit(advert, authentication, Addressed::V4(route.source, route.destination), out);
    let protocol = if start == ipv4::LENGTH { PROTOCOL } else { authentication::PROTOCOL };
    ipv4::emit(route, protocol, out);
    if let Some(Authentication::Ah(key)) = authentication {
        authentication::seal(key, sequence, out);
    }
}

/// Writes the message with its checksum over whatever is in `out`. At most 255 addresses fit.
pub fn emit_v6(advert: &Advert, source: Ipv6Addr, destination: Ipv6Addr, out: &mut Vec<u8>) {
    out.clear();
    message::emit(advert, None, Addressed::V6(source, destination), out);
}

/// The virtual router that an IPv4 packet speaks for, whatever else may be wrong with it: `None` if it ends before it names
/// one, or is not of VRRP.
pub fn virtual_router_v4(packet: &[u8]) -> Option<u8> {
    let payload = packet.get(ipv4::length(packet)?..)?;
    match *packet.get(ipv4::PROTOCOL_AT)? {
        PROTOCOL => virtual_router_v6(payload),
        authentication::PROTOCOL => virtual_router_v6(authentication::behind(payload)?),
        _ => None,
    }
}

/// The same of what an IPv6 packet of VRRP carries.
pub fn virtual_router_v6(payload: &[u8]) -> Option<u8> {
    payload.get(1).copied()
}

/// From whom an IPv4 packet is, whatever else may be wrong with it.
pub fn source_v4(packet: &[u8]) -> Option<Ipv4Addr> {
    ipv4::length(packet)?;
    let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    Some(source.into())
}

/// What an advert says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    /// The protocol it is written in.
    pub version: Version,
    /// The virtual router.
    pub vrid: u8,
    /// The sender's priority; 0 gives the mastership away.
    pub priority: u8,
    /// The sender's interval.
    pub interval: Duration,
    /// The addresses, in their order.
    pub addresses: Vec<IpAddr>,
    /// What its checksum covers: with IPv6 always a pseudo-header, else in version 2 always the message alone.
    pub checksum: Checksum,
}

/// Why a packet is no advert for a virtual router, or none that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// It ends before its contents do, or its lengths contradict each other.
    Truncated,
    /// TTL or hop limit is not 255, so it may come from another network (RFC 5798 section 7.1).
    TimeToLive,
    /// Another version of the protocol.
    Version,
    /// Not an advert.
    Type,
    /// Another virtual router's.
    VirtualRouter,
    /// The checksum is wrong.
    Checksum,
    /// Another kind of authentication.
    AuthenticationType,
    /// Another password, or an authentication header that does not match.
    Authentication,
    /// An authentication header with a sequence number that was used.
    Replayed,
    /// Another interval, which version 2 does not allow.
    Interval,
    /// Another number of addresses.
    AddressCount,
    /// Other addresses.
    Addresses,
    /// It came from one of this host's own addresses.
    Own,
    /// The sender is no unicast peer.
    NotAPeer,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Truncated,
        Self::TimeToLive,
        Self::Version,
        Self::Type,
        Self::VirtualRouter,
        Self::Checksum,
        Self::AuthenticationType,
        Self::Authentication,
        Self::Replayed,
        Self::Interval,
        Self::AddressCount,
        Self::Addresses,
        Self::Own,
        Self::NotAPeer,
    ];

    /// Its name among the counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::TimeToLive => "ttl",
            Self::Version => "version",
            Self::Type => "type",
            Self::VirtualRouter => "virtual_router",
            Self::Checksum => "checksum",
            Self::AuthenticationType => "authentication_type",
            Self::Authentication => "authentication",
            Self::Replayed => "replayed",
            Self::Interval => "interval",
            Self::AddressCount => "address_count",
            Self::Addresses => "addresses",
            Self::Own => "own",
            Self::NotAPeer => "not_a_peer",
        }
    }

    /// What is wrong with the advert, for an operator.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Truncated => "it ends too early, or its lengths contradict each other",
            Self::TimeToLive => "its TTL is not 255: it was routed, or forged",
            Self::Version => "it is of another version of VRRP",
            Self::Type => "it is no advert",
            Self::VirtualRouter => "it is another virtual router's",
            Self::Checksum => "its checksum is wrong",
            Self::AuthenticationType => "its auth_type is another",
            Self::Authentication => "its auth_pass is another",
            Self::Replayed => "its authentication header was sent before",
            Self::Interval => "its advert_int is another",
            Self::AddressCount => "it names more or fewer virtual addresses",
            Self::Addresses => "it names other virtual addresses",
            Self::Own => "it came from an address of this host",
            Self::NotAPeer => "its sender is no unicast_peer",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
