//! An advert's bytes: VRRP 2 (RFC 3768) and 3 (RFC 5798, RFC 9568) over IPv4 and IPv6.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::config::model::vrrp::{Checksum, Version};

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
    /// What its checksum covers; in version 2 always the message alone.
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
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
