//! IPv4 and IPv6, and the lab's addresses in both: the same host has the same number.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A version of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The network of the real servers, and of the director that has one leg.
pub(crate) const LAN: u8 = 77;
/// The client's network, where it is another.
pub(crate) const WAN: u8 = 78;
/// The narrow link between two routers.
pub(crate) const NARROW: u8 = 79;

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// Host `number` of a network: 10.77.0.11 or `fd77::11`.
    pub(crate) fn host(self, network: u8, number: u8) -> IpAddr {
        match self {
            Self::V4 => v4(network, number).into(),
            Self::V6 => v6(network, number).into(),
        }
    }

    /// The same with the length of the network's prefix, as `ip addr` takes it.
    pub(crate) fn on_link(self, network: u8, number: u8) -> String {
        let length = match self {
            Self::V4 => 24,
            Self::V6 => 64,
        };
        format!("{}/{length}", self.host(network, number))
    }

    /// An address alone, as `ip addr` takes it.
    pub(crate) fn alone(self, address: IpAddr) -> String {
        match self {
            Self::V4 => format!("{address}/32"),
            Self::V6 => format!("{address}/128"),
        }
    }

    /// `ip` with the option that routes of this family need.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::V4 => "-4",
            Self::V6 => "-6",
        }
    }

    /// Any address and any port.
    pub fn unspecified(self) -> SocketAddr {
        match self {
            Self::V4 => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            Self::V6 => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        }
    }
}

impl From<IpAddr> for Family {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// Host `number` of an IPv4 network.
pub(crate) fn v4(network: u8, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, network, 0, number)
}

fn v6(network: u8, number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00 | as_written(network), 0, 0, 0, 0, 0, 0, as_written(number))
}

/// The number whose hexadecimal digits are the decimal ones of `number`.
fn as_written(number: u8) -> u16 {
    let number = u16::from(number);
    (number / 100) << 8 | ((number / 10 % 10) << 4) | (number % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_number_in_both_families() {
        assert_eq!(Family::V4.on_link(LAN, 11), "10.77.0.11/24");
        assert_eq!(Family::V6.on_link(LAN, 11), "fd77::11/64");
        assert_eq!(Family::V6.alone(Family::V6.host(WAN, 254)), "fd78::254/128");
    }
}
