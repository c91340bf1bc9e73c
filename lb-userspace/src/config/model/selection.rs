//! Which packets a virtual server is for: those to an address, or those with the firewall mark that a rule gives them.
//! Reads no text.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::Protocol;
use super::vrrp::Family;
use crate::config::source::Span;

/// Which packets a virtual server is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// Those to an address.
    Address {
        /// The virtual address.
        address: IpAddr,
        /// The port; 0 means every port.
        port: u16,
        /// The transport protocol.
        protocol: Protocol,
    },
    /// Those with a firewall mark, whatever their address, port and protocol.
    Mark {
        /// The mark.
        mark: u32,
        /// Of their addresses, and so of the real servers'.
        family: Family,
    },
}

impl Selector {
    /// The family of the packets.
    pub const fn family(&self) -> Family {
        match *self {
            Self::Address { address, .. } => Family::of(address),
            Self::Mark { family, .. } => family,
        }
    }

    /// The port of all of them; 0 where there is no such port.
    pub const fn port(&self) -> u16 {
        match *self {
            Self::Address { port, .. } => port,
            Self::Mark { .. } => 0,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { address, port, protocol } => write!(f, "{address} {port} {protocol}"),
            Self::Mark { mark, family: Family::V4 } => write!(f, "fwmark {mark}"),
            Self::Mark { mark, family: Family::V6 } => write!(f, "fwmark {mark} of IPv6"),
        }
    }
}

/// A `virtual_server_group`, as far as a virtual server is for it: several selections with one pool of real servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// All but the first of its selections, each once and all of one family.
    pub others: Vec<Selector>,
}

/// A rule that gives packets a firewall mark: those that fit all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkRule {
    /// The mark; never 0.
    pub mark: u32,
    /// Where they come from.
    pub source: Option<Prefix>,
    /// Where they go to, of the same family.
    pub destination: Option<Prefix>,
    /// Their transport protocol.
    pub protocol: Option<Protocol>,
    /// Their destination port.
    pub ports: RangeInclusive<u16>,
    /// Where its block stands in the file.
    pub span: Span,
}

impl MarkRule {
    /// Whether it fits packets of this family.
    pub fn is_of(&self, family: Family) -> bool {
        [self.source, self.destination].into_iter().flatten().all(|prefix| prefix.family() == family)
    }

    /// Whether it fits some packets to `address`.
    pub fn is_for(&self, address: IpAddr) -> bool {
        self.is_of(Family::of(address)) && self.destination.is_none_or(|prefix| prefix.contains(address))
    }
}

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// One of them.
    pub address: IpAddr,
    /// How many bits.
    pub bits: u8,
}

impl Prefix {
    /// The family of the addresses.
    pub const fn family(&self) -> Family {
        Family::of(self.address)
    }

    /// Whether `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let differ = match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros(),
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros(),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        differ >= u32::from(self.bits)
    }

    /// The one address that it is, if it is one.
    pub fn host(&self) -> Option<IpAddr> {
        (self.bits == self.family().width()).then_some(self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(address: &str, bits: u8) -> Prefix {
        Prefix { address: address.parse().unwrap(), bits }
    }

    #[test]
    fn a_prefix_has_the_addresses_of_its_family_that_begin_like_it() {
        let of = |prefix: Prefix, address: &str| prefix.contains(address.parse().unwrap());
        assert!(of(prefix("10.1.2.3", 8), "10.255.0.1") && !of(prefix("10.1.2.3", 8), "11.1.2.3"));
        assert!(of(prefix("0.0.0.0", 0), "255.0.0.1") && !of(prefix("0.0.0.0", 0), "::1"));
        assert!(
            of(prefix("2001:db8::", 32), "2001:db8:f::1") && !of(prefix("2001:db8::1", 128), "2001:db8::2")
        );
        assert_eq!(prefix("10.0.0.1", 32).host(), Some("10.0.0.1".parse().unwrap()));
        assert_eq!((prefix("10.0.0.1", 31).host(), prefix("::1", 32).host()), (None, None));
    }

    #[test]
    fn a_rule_without_addresses_fits_both_families() {
        let rule = |source, destination| MarkRule {
            mark: 1,
            source,
            destination,
            protocol: None,
            ports: 0..=u16::MAX,
            span: Span::default(),
        };
        let (v4, v6) = ("10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap());
        assert!(rule(None, None).is_for(v4) && rule(None, None).is_for(v6));
        let from = rule(Some(prefix("fd00::", 8)), None);
        assert!(!from.is_for(v4) && from.is_for(v6) && from.is_of(Family::V6) && !from.is_of(Family::V4));
        assert!(!rule(None, Some(prefix("10.0.0.2", 32))).is_for(v4));
    }
}
