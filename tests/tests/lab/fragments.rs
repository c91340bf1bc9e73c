//! Datagrams of 60 kB, which come in fragments: all of one datagram go to one real server.

use anyhow::Result;
use lb_tests::echo::UdpEcho;
use lb_tests::{Family, Plan, with_lab};

const UDP: u16 = 5300;
const BYTES: usize = 60_000;

#[test]
fn a_datagram_of_60_kb_arrives_whole_in_ipv4() -> Result<()> {
    datagrams_arrive_whole(Family::V4)
}

#[test]
fn a_datagram_of_60_kb_arrives_whole_in_ipv6() -> Result<()> {
    datagrams_arrive_whole(Family::V6)
}

/// Sends datagrams, wants each back, and looks at who got them.
fn datagrams_arrive_whole(family: Family) -> Result<()> {
    with_lab(&Plan::servers(3).dual_stack(), |lab| {
        let service = (lab.vip_in(family), UDP);
        let _mirrors: Vec<_> = lab
            .servers
            .iter()
            .map(|server| UdpEcho::mirror(server.netns(), service))
            .collect::<Result<_>>()?;
        lab.balance(&lab.udp_in(family, UDP, "rr"), 3)?;
        let data: Vec<u8> = (0..=250).cycle().take(BYTES).collect();
        for _ in 0..6 {
            lab.client().mirrored(service, &data)?;
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
