//! Links with an MTU of 9000: large frames go through the director whole.

use anyhow::Result;
use lb_tests::echo::UdpEcho;
use lb_tests::lab::HTTP;
use lb_tests::{Family, Plan, http, with_lab};

const MTU: usize = 9000;
const MEGABYTES: usize = 16;
const UDP: u16 = 5300;
/// Bytes in the one datagram.
const DATAGRAM: usize = 8000;

#[test]
fn segments_and_datagrams_of_9000_bytes_pass_in_ipv4() -> Result<()> {
    large_frames_pass(Family::V4)
}

pub(crate) fn large_frames_pass(family: Family) -> Result<()> {
    with_lab(&Plan::servers(2).dual_stack().mtu(MTU).without_offload(), |lab| {
        lab.make_file(MEGABYTES)?;
        let (service, datagrams) = (lab.service_in(family), (lab.vip_in(family), UDP));
        let _mirrors: Vec<_> = lab
            .servers
            .iter()
            .map(|server| UdpEcho::mirror(server.netns(), datagrams))
            .collect::<Result<_>>()?;
        let config = format!("{}{}", lab.http_in(family, "rr"), lab.udp_in(family, UDP, "rr"));
        lab.balance(&config, 4)?;
        let capture = lab.capture(&["client", "dir-lan0", "rs1"])?;

        // The last server of the list is the first to be picked.
        lab.client().upload(service, "/uploads/large", MEGABYTES)?;
        http::check_file(&lab.servers[1].nginx().uploaded("large"), MEGABYTES)?;
        let mut download = lab.client().download(service, "/big")?;
        download.advance_to(MEGABYTES)?;
        download.finish()?;
        lab.client().mirrored(datagrams, &[0xa5; DATAGRAM])?;

        let frames = capture.frames()?;
        for port in ["client", "dir-lan0", "rs1"] {
            let lengths = frames.iter().filter(|frame| *frame.port == *port).map(|frame| frame.length);
            assert_eq!(lengths.clone().max(), Some(MTU + 14), "the largest from {port}");
            let large: usize = lengths.filter(|&length| length > 4096).sum();
            assert!(
                large > (MEGABYTES << 20) / 10 * 9,
                "frames over 4 kB from {port} have {large} bytes alone"
            );
        }
        let header = if family == Family::V4 { 20 } else { 40 };
        let from_director = frames.iter().filter(|frame| *frame.port == *"dir-lan0");
        let datagrams: Vec<_> = from_director
            .filter(|frame| frame.packet().is_some_and(|packet| packet.protocol == 17))
            .map(|frame| frame.length)
            .collect();
        assert_eq!(datagrams, [14 + header + 8 + DATAGRAM]);

        let status = lab.director.status()?;
        let upload =
            status.services.iter().find(|service| service.port == HTTP).map(|service| &service.servers[1]);
        let mean = upload.map(|server| server.bytes / server.packets);
        assert!(mean.is_some_and(|mean| mean > 4096), "a packet of the upload has {mean:?} bytes");
        Ok(())
    })
}
