//! Path MTU discovery: what a router on the way says to the virtual address reaches the real server it is about.

use std::time::SystemTime;

use anyhow::{Context as _, Result};
use lb_tests::frame::Frame;
use lb_tests::plan::NARROW_MTU;
use lb_tests::{Family, Lab, Plan, with_lab};

const MEGABYTES: usize = 8;

#[test]
fn a_router_that_wants_smaller_packets_is_heard_by_the_right_ipv4_server() -> Result<()> {
    the_right_server_hears(Family::V4)
}

#[test]
fn a_router_that_wants_smaller_packets_is_heard_by_the_right_ipv6_server() -> Result<()> {
    the_right_server_hears(Family::V6)
}

fn the_right_server_hears(family: Family) -> Result<()> {
    with_lab(&Plan::servers(3).dual_stack().routed().without_offload(), |lab| {
        lab.make_file(MEGABYTES)?;
        lab.balance(&lab.http_in(family, "rr"), 3)?;
        let from_director = lab.capture(&["dir-lan0"])?;
        assert_eq!(path_mtus(lab, family)?, [None; 3]);
        // `rr` begins with the last server of the list.
        for number in [2, 1, 0] {
            let since = SystemTime::now();
            let mut download = lab.client().download(lab.service_in(family), "/big")?;
            download.advance_to(MEGABYTES)?;
            download.finish()?;
            let told: Vec<_> = (0..3).map(|server| (server >= number).then_some(NARROW_MTU)).collect();
            assert_eq!(path_mtus(lab, family)?, told, "after a download from rs{}", number + 1);

            let server = lab.servers[number].netns().mac("net0")?;
            let errors: Vec<_> = from_director
                .frames()?
                .into_iter()
                .filter(|frame| frame.at > since && wants_smaller_packets(frame).is_some())
                .collect();
            let first = errors.first().context("the director has forwarded no error")?;
            assert_eq!(wants_smaller_packets(first), Some(NARROW_MTU));
            for error in errors {
                assert_eq!(error.destination_mac(), Some(server));
                let destination = error.packet().map(|packet| packet.destination);
                assert_eq!(destination, Some(lab.vip_in(family)), "it goes on as it came");
            }
        }
        Ok(())
    })
}

fn path_mtus(lab: &Lab, family: Family) -> Result<Vec<Option<usize>>> {
    lab.servers.iter().map(|server| server.path_mtu(lab.client_in(family))).collect()
}

/// The MTU that a "fragmentation needed" of RFC 792 and 1191 or a "packet too big" of RFC 4443 tells.
fn wants_smaller_packets(frame: &Frame) -> Option<usize> {
    let packet = frame.packet()?;
    let message = packet.payload;
    let told = match (packet.protocol, message.first_chunk()?) {
        (1, [3, 4]) => u32::from(u16::from_be_bytes(message.get(6..8)?.try_into().ok()?)),
        (58, [2, 0]) => u32::from_be_bytes(message.get(4..8)?.try_into().ok()?),
        _ => return None,
    };
    usize::try_from(told).ok()
}
