//! A customer's packets in two VLAN tags: they leave the director in the tags they came in.

use std::ops::ControlFlow;

use anyhow::Result;
use lb_tests::echo::UdpEcho;
use lb_tests::trunk::{Carried, Tags};
use lb_tests::{Family, Plan, http, wait, with_lab};

/// With priority and drop eligibility, which stay as they are too.
const TAGS: Tags = Tags { outer: 0x7064, inner: 0x20c8 };
const MEGABYTES: usize = 4;
const UDP: u16 = 5300;

#[test]
fn two_tags_are_kept_in_ipv4() -> Result<()> {
    two_tags_are_kept(Family::V4)
}

pub(crate) fn two_tags_are_kept(family: Family) -> Result<()> {
    with_lab(&Plan::servers(2).dual_stack().tagged(TAGS), |lab| {
        let (service, datagrams) = (lab.service_in(family), (lab.vip_in(family), UDP));
        let _mirrors: Vec<_> = lab
            .servers
            .iter()
            .map(|server| UdpEcho::mirror(server.netns(), datagrams))
            .collect::<Result<_>>()?;
        let config = format!("{}{}", lab.http_in(family, "rr"), lab.udp_in(family, UDP, "rr"));
        lab.balance(&config, 4)?;

        assert_eq!(lab.client().sequence(service, 4)?, ["rs2", "rs1"].repeat(2));
        lab.client().upload(service, "/uploads/large", MEGABYTES)?;
        http::check_file(&lab.servers[1].nginx().uploaded("large"), MEGABYTES)?;
        lab.client().mirrored(datagrams, b"tagged")?;
        // The last to leave the client may still be on their way.
        let carried = wait::until("every tagged frame to be forwarded and back", wait::TAKEOVER, || {
            let (status, carried) = (lab.director.status()?, lab.trunk()?.carried());
            let forwarded: u64 = status.services.iter().map(|service| service.packets).sum();
            Ok(if [carried.untagged, forwarded] == [carried.tagged; 2] {
                ControlFlow::Break(carried)
            } else {
                ControlFlow::Continue(format!("{forwarded} are counted as forwarded, {carried:?}"))
            })
        })?;
        let Carried { tagged, strange, lost, .. } = carried;
        assert!(tagged > (MEGABYTES * 1024 * 1024 / 1500) as u64, "{carried:?}");
        assert_eq!((strange, lost), (0, 0));
        Ok(())
    })
}
