//! The IPv4 header around an advert.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+-------+---------------+-------------------------------+
//! |   4   |  IHL  |   TOS, 0xC0   |         total length          |
//! +-------+-------+---------------+-----+-------------------------+
//! |        identification         |flags|     fragment offset     |
//! +---------------+---------------+-----+-------------------------+
//! |   TTL, 255    | protocol, 112 |        header checksum        |
//! +---------------+---------------+-------------------------------+
//! |                            source                             |
//! +---------------------------------------------------------------+
//! |                  destination, 224.0.0.18                      |
//! +---------------------------------------------------------------+
//! |                      options, if IHL > 5                      |
//! +---------------------------------------------------------------+
//! ```

use std::net::Ipv4Addr;

use lb_common::checksum;

use super::{Refusal, Route4, TTL};

/// Bytes of a header without options.
pub(super) const LENGTH: usize = 20;

/// Bytes of the longest header.
pub(super) const LONGEST: usize = 60;

/// Where the protocol stands.
pub(super) const PROTOCOL_AT: usize = 9;

/// Internetwork control (RFC 791), as keepalived marks its adverts.
const TYPE_OF_SERVICE: u8 = 0xc0;

/// More fragments, and the offset in units of eight bytes.
const FRAGMENT: u16 = 0x3fff;

/// A packet that is whole.
pub(super) struct Header<'a> {
    /// The header with its options.
    pub(super) bytes: &'a [u8],
    /// From where.
    pub(super) source: Ipv4Addr,
    /// To where.
    pub(super) destination: Ipv4Addr,
    /// What follows.
    pub(super) protocol: u8,
    /// What follows, up to the packet's own length.
    pub(super) payload: &'a [u8],
}

impl<'a> Header<'a> {
    pub(super) fn parse(packet: &'a [u8], check_ttl: bool) -> Result<Self, Refusal> {
        let fixed: &[u8; LENGTH] = packet.first_chunk().ok_or(Refusal::Truncated)?;
        let &[first, _, t0, t1, _, _, f0, f1, ttl, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = fixed;
        if first >> 4 != 4 {
            return Err(Refusal::Type);
        }
        if check_ttl && ttl != TTL {
            return Err(Refusal::TimeToLive);
        }
        if u16::from_be_bytes([f0, f1]) & FRAGMENT != 0 {
            return Err(Refusal::Truncated);
        }
        let length = length(packet).ok_or(Refusal::Truncated)?;
        let total = usize::from(u16::from_be_bytes([t0, t1]));
        let (bytes, payload) = packet
            .get(..total)
            .and_then(|packet| packet.split_at_checked(length))
            .ok_or(Refusal::Truncated)?;
        Ok(Self {
            bytes,
            source: Ipv4Addr::new(s0, s1, s2, s3),
            destination: Ipv4Addr::new(d0, d1, d2, d3),
            protocol,
            payload,
        })
    }
}

/// Bytes of the header that a packet begins with, if it is one of IPv4 at all.
pub(super) fn length(packet: &[u8]) -> Option<usize> {
    let first = *packet.first()?;
    let length = usize::from(first & 0x0f) * 4;
    (first >> 4 == 4 && length >= LENGTH).then_some(length)
}

/// Writes the header of the packet that is `out` into its first bytes.
pub(super) fn emit(route: &Route4, protocol: u8, out: &mut [u8]) {
    let total = out.len() as u16;
    let mut header = [0; LENGTH];
    header[0] = 0x45;
    header[1] = TYPE_OF_SERVICE;
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header[4..6].copy_from_slice(&route.id.to_be_bytes());
    header[8] = route.ttl;
    header[9] = protocol;
    header[12..16].copy_from_slice(&route.source.octets());
    header[16..20].copy_from_slice(&route.destination.octets());
    let checksum = checksum::internet(&header);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    out[..LENGTH].copy_from_slice(&header);
}
