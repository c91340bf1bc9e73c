//! Datagrams of 60 kB, which come in fragments: all of one datagram go to one real server, in whatever order they come.

use std::net::SocketAddr;

use anyhow::Result;
use lb_tests::echo::UdpEcho;
use lb_tests::{Family, Lab, Plan, fragments, with_lab};

const UDP: u16 = 5300;
const BYTES: usize = 60_000;
/// Bytes of a datagram in one fragment, whose packet fits an MTU of 1500.
const PIECE: usize = 1400;

#[derive(Clone, Copy)]
enum Order {
    /// As the client's kernel sends them.
    Usual,
    FirstLast,
}

#[test]
fn a_datagram_of_60_kb_arrives_whole_in_ipv4() -> Result<()> {
    datagrams_arrive_whole(Family::V4, Order::Usual)
}

#[test]
fn a_datagram_of_60_kb_arrives_whole_in_ipv6() -> Result<()> {
    datagrams_arrive_whole(Family::V6, Order::Usual)
}

#[test]
fn a_datagram_whose_first_fragment_comes_last_arrives_whole_in_ipv4() -> Result<()> {
    datagrams_arrive_whole(Family::V4, Order::FirstLast)
}

#[test]
fn a_datagram_whose_first_fragment_comes_last_arrives_whole_in_ipv6() -> Result<()> {
    datagrams_arrive_whole(Family::V6, Order::FirstLast)
}

/// Sends datagrams, wants each back, and looks at who got them.
fn datagrams_arrive_whole(family: Family, order: Order) -> Result<()> {
    with_lab(&Plan::servers(3).dual_stack(), |lab| {
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
                Order::FirstLast => send_first_last(lab, service.into(), number, &data)?,
            }
        }
        let status = lab.director.status()?;
        for server in &status.service()?.servers {
            assert_eq!(server.connections, 2, "each datagram is a connection of its own: {server:?}");
            let pieces = BYTES.div_ceil(1500) as u64;
            assert!(server.packets >= 2 * pieces, "{server:?}");
            assert!(server.bytes > 2 * BYTES as u64, "{server:?}");
        }
        Ok(())
    })
}

fn send_first_last(lab: &Lab, service: SocketAddr, number: u16, data: &[u8]) -> Result<()> {
    let director = lab.director.netns().mac("lan0")?;
    lab.client().mirrored_in_pieces(service, director, data, |own| {
        let mut pieces = fragments::datagram(own, service, data, PIECE, number)?;
        pieces.rotate_left(1);
        Ok(pieces)
    })
}
