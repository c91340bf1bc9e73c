//! Names of hosts and ports as this machine resolves them, which may take its resolver seconds.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};

use dns_lookup::{AddrInfoHints, SockType, getaddrinfo, getnameinfo};

use crate::adm::{Names, state::Protocol};

/// The machine's resolver and its list of services.
#[derive(Clone, Copy, Debug)]
pub struct SystemNames;

impl Names for SystemNames {
    fn address_of(&self, host: &str) -> Option<Ipv4Addr> {
        (host, 0).to_socket_addrs().ok()?.find_map(|found| match found.ip() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
    }

    fn port_of(&self, service: &str, protocol: Protocol) -> Option<u16> {
        let socktype = match protocol {
            Protocol::Tcp => SockType::Stream,
            Protocol::Udp => SockType::DGram,
            Protocol::Sctp => return None,
        };
        let hints = AddrInfoHints { socktype: socktype.into(), ..AddrInfoHints::default() };
        let mut found = getaddrinfo(None, Some(service), Some(hints)).ok()?;
        found.find_map(|found| found.ok().map(|found| found.sockaddr.port()))
    }

    fn host_at(&self, address: IpAddr) -> Option<String> {
        let (host, _) = getnameinfo(&SocketAddr::new(address, 0), 0).ok()?;
        (host.parse() != Ok(address)).then_some(host)
    }

    fn service_at(&self, port: u16, protocol: Protocol) -> Option<String> {
        let flags = match protocol {
            Protocol::Tcp => libc::NI_NUMERICHOST,
            Protocol::Udp => libc::NI_NUMERICHOST | libc::NI_DGRAM,
            Protocol::Sctp => return None,
        };
        let (_, service) = getnameinfo(&SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), flags).ok()?;
        (service.parse() != Ok(port)).then_some(service)
    }
}
