//! The services that tests have: two addresses, and real servers by the last octet of theirs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lb_common::sched::Method;
use xlvs::plan::{ServiceKey, Wanted, WantedServer, mapped};

/// The VIP of the services in IPv4.
pub(crate) const VIP4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
/// The VIP of the services in IPv6.
pub(crate) const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100);

/// A service of VIP 10.0.0.100; its servers by last octet and weight.
pub(crate) fn service(protocol: u8, port: u16, method: impl Into<Method>, servers: &[(u8, u16)]) -> Wanted {
    service_of(VIP4.into(), (protocol, port), method.into(), servers)
}

/// A service of VIP `2001:db8::100`; its servers by last octet and weight.
pub(crate) fn service6(protocol: u8, port: u16, method: impl Into<Method>, servers: &[(u8, u16)]) -> Wanted {
    service_of(VIP6.into(), (protocol, port), method.into(), servers)
}

/// A service of any VIP.
pub(crate) fn service_of(
    vip: IpAddr,
    (protocol, port): (u8, u16),
    method: Method,
    servers: &[(u8, u16)],
) -> Wanted {
    let server = |&(last, weight): &(u8, u16)| WantedServer {
        checks: vec![u32::from(last)],
        ..WantedServer::new(if vip.is_ipv4() { rip(last) } else { rip6(last) }, weight)
    };
    let servers = servers.iter().map(server).collect();
    Wanted::new(key(vip, protocol, port), method, servers)
}

/// The key of a service.
pub(crate) fn key(vip: IpAddr, protocol: u8, port: u16) -> ServiceKey {
    ServiceKey { vip: mapped(vip), protocol, port }
}

/// The RIP with this last octet.
pub(crate) fn rip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

/// The same in IPv6.
pub(crate) fn rip6(last: u8) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()).into()
}

/// The MAC address of the real server with this last octet, in both families.
pub(crate) const fn mac(last: u8) -> [u8; 6] {
    [0x02, 0, 0, 0, 1, last]
}
