//! The words that IPVS has for what stands in the flow table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lb_common::{flow::Parts, layout::Address};

use crate::plan::{protocol_name, unmapped};

/// The name of a flow's protocol; templates of a firewall mark are of none.
pub const fn protocol(parts: &Parts) -> &'static str {
    if parts.protocol == 0 { "IP" } else { protocol_name(parts.protocol) }
}

/// The VIP of a flow. A template of a firewall mark has the mark in its place: in the first 32 bits of an address of its
/// family (`ip_vs_sched_persist`).
pub fn virtual_address(parts: &Parts) -> IpAddr {
    if parts.protocol != 0 || !parts.is_template {
        return unmapped(parts.vip);
    }
    let mark = u32::from_be(parts.vip.words()[3]);
    if parts.vip == Address::mark(true, mark) {
        Ipv6Addr::from(u128::from(mark) << 96).into()
    } else {
        Ipv4Addr::from(mark).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_stands_in_the_place_of_an_address() {
        let parts = |vip, protocol, is_template| Parts {
            client: Address::v4([10, 99, 1, 1]),
            client_port: 0,
            vip,
            vip_port: 0,
            protocol,
            is_template,
        };
        let v4 = parts(Address::mark(false, 7), 0, true);
        assert_eq!((protocol(&v4), virtual_address(&v4).to_string()), ("IP", "0.0.0.7".to_owned()));
        let v6 = parts(Address::mark(true, 7), 0, true);
        assert_eq!(virtual_address(&v6).to_string(), "0:7::");
        let flow = parts(Address::v4([10, 99, 0, 100]), 6, false);
        assert_eq!((protocol(&flow), virtual_address(&flow).to_string()), ("TCP", "10.99.0.100".to_owned()));
    }
}
