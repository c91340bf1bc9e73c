//! The words that IPVS has for what stands in the flow table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lb_common::{
    flow::{Parts, State},
    layout::Address,
};

use crate::plan::{protocol_name, unmapped};

/// The name of a state (`ip_vs_proto_*.c`, and `ip_vs_conn.c` for templates).
pub const fn state_name(state: State) -> &'static str {
    match state {
        State::Free
        | State::Claimed
        | State::Tentative
        | State::None
        | State::SctpNone
        | State::TemplateFirst => "NONE",
        // It counts for less than others until a second segment comes; for IPVS it is one of them.
        State::Established | State::Midway | State::SctpEstablished => "ESTABLISHED",
        State::SynSent => "SYN_SENT",
        State::SynRecv => "SYN_RECV",
        State::FinWait => "FIN_WAIT",
        State::TimeWait => "TIME_WAIT",
        State::Close => "CLOSE",
        State::CloseWait => "CLOSE_WAIT",
        State::LastAck => "LAST_ACK",
        State::Listen => "LISTEN",
        State::Udp | State::UdpFirst => "UDP",
        State::SctpInit1 => "INIT1",
        State::SctpInit => "INIT",
        State::SctpCookieSent => "C-SENT",
        State::SctpCookieReplied => "C-REPLIED",
        State::SctpCookieWait => "C-WAIT",
        State::SctpCookie => "COOKIE",
        State::SctpCookieEchoed => "C-ECHOED",
        State::SctpShutdownSent => "S-SENT",
        State::SctpShutdownReceived => "S-RECEIVED",
        State::SctpShutdownAckSent => "S-ACK-SENT",
        State::SctpRejected => "REJECTED",
        State::SctpClosed => "CLOSED",
        State::Template => "ASSURED",
    }
}

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

    #[test]
    fn states_are_those_of_a_recorded_listing() {
        let names = [State::FinWait, State::Template, State::TemplateFirst, State::Udp].map(state_name);
        assert_eq!(names, ["FIN_WAIT", "ASSURED", "NONE", "UDP"]);
        assert!((0..32).all(|number| state_name(State::from_number(number)).len() <= 11));
    }
}
