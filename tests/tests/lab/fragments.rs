//! Datagrams of 60 kB, which come in fragments: all of one datagram go to one real server, in whatever order they come.

use std::net::SocketAddr;

use anyhow::Result;
use lb_tests::echo::UdpEcho;
use lb_tests::plan::Legs;
use lb_tests::{Family, Lab, Plan, fragments, with_lab};

const UDP: u16 = 5300;
const BYTES: usize = 60_000;
/// Bytes of a datagram in one fragment, whose packet fits an MTU of 1500.
const PIECE: usize = 1400;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// As the client's kernel sends them.
    Usual,
    FirstLast,
    Backwards,
}

#[test]
fn a_datagram_of_60_kb_arrives_whole_in_ipv4() -> Result<()> {
    datagrams_arrive_whole(Family::V4, Legs::One, Order::Usual)
}

#[test]
fn a_datagram_of_60_kb_arrives_whole_in_ipv6() -> Result<()> {
    datagrams_arrive_whole(Family::V6, Legs::One, Order::Usual)
}

#[test]
fn a_datagram_whose_first_fragment_comes_last_arrives_whole_in_ipv4() -> Result<()> {
    datagrams_arrive_whole(Family::V4, Legs::One, Order::FirstLast)
}

#[test]
fn a_datagram_whose_first_fragment_comes_last_arrives_whole_in_ipv6() -> Result<()> {
    datagrams_arrive_whole(Family::V6, Legs::One, Order::FirstLast)
}

#[test]
fn a_datagram_that_comes_backwards_arrives_whole_over_two_interfaces() -> Result<()> {
    datagrams_arrive_whole(Family::V4, Legs::Two, Order::Backwards)
}

/// Sends datagrams, wants each back, and looks at who got them.
fn datagrams_arrive_whole(family: Family, legs: Legs, order: Order) -> Result<()> {
    with_lab(&Plan { legs, ..Plan::servers(3).dual_stack() }, |lab| {
        let service = (lab.vip_in(family), UDP);
        let _mirrors: Vec<_> = lab
            .servers
            .iter()
            .map(|server| UdpEcho::mirror(server.netns(), service))
            .collect::<Result<_>>()?;
        lab.balance(&lab.udp_in(family, UDP, "rr"), 3)?;
        let data: Vec<u8> = (0..=250).cycle().take(BYTES).collect();
        for number in 1..=6 {
            match order {
                Order::Usual => lab.client().mirrored(service, &data)?,
                Order::FirstLast | Order::Backwards => send(lab, service.into(), order, number, &data)?,
            }
        }
        let status = lab.director.status()?;
        for server in &status.service()?.servers {
            assert_eq!(server.connections, 2, "each datagram is a connection of its own: {server:?}");
            let pieces = BYTES.div_ceil(1500) as u64;
            assert!(server.packets >= 2 * pieces, "{server:?}");
            assert!(server.bytes > 2 * BYTES as u64, "{server:?}");
        }
        let early = status.counters["pass_early_fragment"];
        assert_eq!(early > 0, order != Order::Usual, "{early} came before their first");
        Ok(())
    })
}

fn send(lab: &Lab, service: SocketAddr, order: Order, number: u16, data: &[u8]) -> Result<()> {
    let director = lab.director.netns().mac(&lab.director.interfaces()[0])?;
    lab.client().mirrored_in_pieces(service, director, data, |own| {
        let mut pieces = fragments::datagram(own, service, data, PIECE, number)?;
        if order == Order::Backwards {
            pieces.reverse();
        } else {
            pieces.rotate_left(1);
        }
        Ok(pieces)
    })
}
