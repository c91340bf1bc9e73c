//! ICMP errors about what a real server sent from the VIP: they go to that server.

use lb_common::{sctp::chunk, tcp::flag};
use xlvs::{
    control::{Event, Way},
    health::Verdict,
};

use crate::{
    bench::{Bench, rip, rip6},
    both::{Either, Family, PORT, serve},
    frame::{ICMP, ICMP6, Packet, SCTP, TCP, UDP},
    frame6::{Extension, Packet6},
};

const PROTOCOLS: [u8; 3] = [TCP, UDP, SCTP];

impl Family {
    /// Types and codes of errors: too big first.
    const fn errors(self) -> &'static [[u8; 2]] {
        match self {
            Self::V4 => &[[3, 4], [3, 3], [3, 1], [3, 13], [4, 0], [11, 0], [11, 1]],
            Self::V6 => &[[2, 0], [1, 4], [1, 0], [1, 3], [3, 0], [3, 1], [4, 1]],
        }
    }

    /// "Too big" from a router about what this port was sent.
    fn error(self, protocol: u8, client_port: u16) -> Either {
        self.icmp(self.errors()[0], &self.answers(protocol, client_port).bytes())
    }
}

/// Opens a connection.
fn open(bench: &Bench, family: Family, protocol: u8, client_port: u16) -> Result<u8, &'static str> {
    let flags = if protocol == TCP { flag::SYN } else { chunk::INIT };
    serve(bench, &family.asks(protocol, client_port, flags))
}

fn packets(bench: &Bench, family: Family, protocol: u8, last: u8) -> (u64, u64, u64) {
    let stats = match family {
        Family::V4 => bench.stats(PORT, protocol, last),
        Family::V6 => bench.stats6(PORT, protocol, last),
    };
    let stats = stats.expect("a row");
    (stats.connections, stats.packets, stats.bytes)
}

#[test]
fn an_error_goes_to_the_server_that_has_the_flow_and_is_counted() {
    for family in Family::BOTH {
        let bench = family.director();
        for protocol in PROTOCOLS {
            assert_eq!([1, 2].map(|client| open(&bench, family, protocol, client)), [Ok(2), Ok(1)]);
            for &kind in family.errors() {
                for (client, server) in [(1, 2), (2, 1)] {
                    let told = family.icmp(kind, &family.answers(protocol, client).bytes());
                    let before = packets(&bench, family, protocol, server);
                    assert_eq!(serve(&bench, &told), Ok(server), "{family:?} {protocol} {kind:?}");
                    let (connections, packets, bytes) = packets(&bench, family, protocol, server);
                    let len = told.bytes().len() as u64;
                    assert_eq!((connections, packets, bytes), (before.0, before.1 + 1, before.2 + len));
                }
            }
        }
    }
}

#[test]
fn the_quote_may_be_as_short_as_its_ports_and_as_long_as_a_frame() {
    for family in Family::BOTH {
        let bench = family.director();
        let (network, usual) = if family == Family::V4 { (20, 576 - 28) } else { (40, 1280 - 48) };
        for protocol in PROTOCOLS {
            assert_eq!(open(&bench, family, protocol, 1), Ok(2));
            let quote = family.answers(protocol, 1).with_data(1400, &[]).bytes();
            for len in [network + 4, network + 8, usual, quote.len()] {
                let told = family.icmp(family.errors()[0], &quote[..len]);
                assert_eq!(serve(&bench, &told), Ok(2), "{family:?} {protocol}, {len} bytes");
            }
            for len in [0, 1, network - 1, network, network + 3] {
                let told = family.icmp(family.errors()[0], &quote[..len]);
                assert_eq!(serve(&bench, &told), Err("pass_protocol"), "{family:?} {protocol}, {len} bytes");
            }
        }
    }
}

#[test]
fn what_is_about_no_flow_goes_to_the_stack() {
    for family in Family::BOTH {
        let bench = family.director();
        assert_eq!(open(&bench, family, TCP, 1), Ok(2));
        let about = |inner: &Either| family.icmp(family.errors()[0], &inner.bytes());
        let (vip, client) = (family.vip(), family.client());
        let answer = family.answers(TCP, 1).bytes();
        let damaged = |at: usize, value: u8| {
            let mut inner = answer.clone();
            inner[at] = value;
            family.icmp(family.errors()[0], &inner)
        };
        let other_version = if family == Family::V4 { 0x65 } else { 0x45 };
        let protocol_at = if family == Family::V4 { 9 } else { 6 };
        let icmp = if family == Family::V4 { ICMP } else { ICMP6 };
        let rows = [
            ("another port of the client", about(&family.answers(TCP, 2))),
            ("another protocol", about(&family.answers(UDP, 1))),
            ("another port of the VIP", about(&Family::packet(TCP, (vip, 81), (client, 1), 0))),
            ("from another VIP", about(&Family::packet(TCP, (family.router(), PORT), (client, 1), 0))),
            ("to another client", about(&Family::packet(TCP, (vip, PORT), (family.router(), 1), 0))),
            ("what the client sent", about(&family.asks(TCP, 1, flag::ACK))),
            ("an echo reply of the VIP", damaged(protocol_at, icmp)),
            ("a protocol that is not balanced", damaged(protocol_at, 47)),
            ("a quote of another version", damaged(0, other_version)),
        ];
        for (description, told) in rows {
            assert_eq!(serve(&bench, &told), Err("pass_protocol"), "{family:?}, {description}");
        }
        let informational: &[_] = match family {
            // Echo, reply, redirect, router advertisement, timestamp.
            Family::V4 => &[8, 0, 5, 9, 13],
            // Echo, reply, router and neighbour discovery, redirect.
            Family::V6 => &[128, 129, 133, 134, 135, 136, 137],
        };
        for &kind in informational {
            let told = family.icmp([kind, 0], &answer);
            assert_eq!(serve(&bench, &told), Err("pass_protocol"), "{family:?}, type {kind}");
        }
        assert_eq!(serve(&bench, &family.asks(TCP, 2, flag::ACK)), Err("pass_no_flow"), "none was made");
        assert_eq!(packets(&bench, family, TCP, 2).1, 1, "nothing of this was counted");
    }
}

#[test]
fn a_quote_may_be_the_beginning_of_a_datagram_but_no_later_piece() {
    for family in Family::BOTH {
        let bench = family.director();
        assert_eq!(open(&bench, family, UDP, 1), Ok(2));
        let piece = |offset, more| family.answers(UDP, 1).into_piece(offset, more);
        let told = |inner: &Either| serve(&bench, &family.icmp(family.errors()[0], &inner.bytes()));
        assert_eq!(told(&piece(0, true)), Ok(2), "{family:?}");
        assert_eq!(told(&piece(0, false)), Ok(2), "{family:?}");
        assert_eq!(told(&piece(185, true)), Err("pass_protocol"), "{family:?}");
        assert_eq!(told(&piece(370, false)), Err("pass_protocol"), "{family:?}");
    }
}

#[test]
fn options_and_extension_headers_are_skipped_inside_and_outside() {
    for family in Family::BOTH {
        let bench = family.director();
        assert_eq!(open(&bench, family, TCP, 1), Ok(2));
        for units in [1, 2, 10] {
            let quote = family.answers(TCP, 1).with_options(units).bytes();
            let told = family.icmp(family.errors()[0], &quote);
            assert_eq!(serve(&bench, &told), Ok(2), "{family:?}, {units} inside");
            assert_eq!(
                serve(&bench, &family.error(TCP, 1).with_options(units)),
                Ok(2),
                "{family:?}, {units} outside"
            );
            assert_eq!(serve(&bench, &told.with_options(units)), Ok(2), "{family:?}, {units} in both");
        }
    }
    let bench = Family::V6.director();
    assert_eq!(open(&bench, Family::V6, TCP, 1), Ok(2));
    let Either::V6(answer) = Family::V6.answers(TCP, 1) else { panic!("IPv6") };
    let all =
        [Extension::HopByHop(0), Extension::Routing(2), Extension::ATOMIC, Extension::Authentication(3)];
    let quote = answer.clone().behind(&all).bytes();
    assert_eq!(serve(&bench, &Family::V6.icmp([2, 0], &quote)), Ok(2));
    let quote = answer.behind(&[Extension::Destination(0); 9]).bytes();
    assert_eq!(serve(&bench, &Family::V6.icmp([2, 0], &quote)), Err("pass_protocol"), "too many");
}

#[test]
fn a_piece_of_an_error_is_left_to_the_stack() {
    for family in Family::BOTH {
        let bench = family.director();
        assert_eq!(open(&bench, family, TCP, 1), Ok(2));
        for (offset, more) in [(0, true), (64, true), (64, false)] {
            let piece = family.error(TCP, 1).into_piece(offset, more);
            assert_eq!(serve(&bench, &piece), Err("pass_fragment"), "{family:?}");
        }
    }
}

#[test]
fn under_a_lease_of_another_node_the_stack_has_it() {
    for family in Family::BOTH {
        let bench = family.director();
        assert_eq!(open(&bench, family, TCP, 1), Ok(2));
        assert_eq!(serve(&bench, &family.error(TCP, 1)), Ok(2));
        let until = bench.leases().get(1);
        bench.leases().set(1, 0);
        assert_eq!(serve(&bench, &family.error(TCP, 1)), Err("pass_not_master"), "{family:?}");
        assert_eq!(serve(&bench, &family.error(TCP, 2)), Err("pass_not_master"), "{family:?}");
        bench.leases().set(1, until);
        assert_eq!(serve(&bench, &family.error(TCP, 1)), Ok(2));
    }
}

#[test]
fn an_error_follows_what_becomes_of_its_server() {
    for family in Family::BOTH {
        let mut bench = family.director();
        assert_eq!([1, 2].map(|client| open(&bench, family, TCP, client)), [Ok(2), Ok(1)]);
        let rip = |last| if family == Family::V4 { rip(last) } else { rip6(last) };
        bench.event(&Event::Way(rip(2), Way::None("it does not answer".to_owned())));
        assert_eq!(serve(&bench, &family.error(TCP, 1)), Err("drop_unresolved"), "{family:?}");
        bench.event(&Event::Way(rip(2), Way::Local));
        assert_eq!(serve(&bench, &family.error(TCP, 1)), Err("local"), "{family:?}");
        bench.event(&Event::Check(2, Verdict::Down { reason: "connection refused".to_owned() }));
        assert_eq!(serve(&bench, &family.error(TCP, 1)), Err("pass_server_gone"), "{family:?}");
        assert_eq!(serve(&bench, &family.error(TCP, 2)), Ok(1), "{family:?}");
    }
}

/// Nobody is told of an error about an error.
#[test]
fn an_error_whose_ttl_ends_here_is_dropped() {
    for family in Family::BOTH {
        let bench = family.director();
        assert_eq!(open(&bench, family, TCP, 1), Ok(2));
        let last = match family.error(TCP, 1) {
            Either::V4(packet) => Either::V4(Packet { ttl: 1, ..packet }),
            Either::V6(packet) => Either::V6(Packet6 { hop_limit: 1, ..packet }),
        };
        assert_eq!(serve(&bench, &last), Err("drop_no_answer"), "{family:?}");
    }
}
