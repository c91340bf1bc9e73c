//! The lab itself: every part reaches every other before a balancer is involved. Needs root, and no working `xlvs`.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use lb_tests::capture::Capture;
use lb_tests::echo::UdpEcho;
use lb_tests::lab::{BIG_MEGABYTES, Legs};
use lb_tests::plan::NARROW_MTU;
use lb_tests::trunk::Tags;
use lb_tests::{Family, Plan, fragments, http, with_lab};

const BOUND: Duration = Duration::from_secs(5);

fn plan(legs: Legs) -> Plan {
    Plan { legs, binary: "/bin/true".into(), ..Plan::servers(2) }
}

#[test]
fn the_client_reaches_every_real_server_and_only_the_director_owns_the_vip() -> Result<()> {
    with_lab(&plan(Legs::One), |lab| {
        lab.make_big_file()?;
        for server in &lab.servers {
            let address = std::net::SocketAddrV4::new(server.address, 80);
            assert_eq!(lab.client().who(address)?, server.name());
            assert_eq!(server.nginx().served(), 1);
            let mut download = lab.client().download(address, "/big")?;
            download.advance_to(BIG_MEGABYTES)?;
            download.finish()?;
        }
        lab.client().ping(lab.vip())?;
        let link = lab.director.netns().ip("-j link show lan0")?;
        let neighbour = lab.client().netns().ip(&format!("-j neigh show {}", lab.vip()))?;
        let [link, neighbour]: [serde_json::Value; 2] =
            [serde_json::from_str(&link)?, serde_json::from_str(&neighbour)?];
        assert_eq!(link[0]["address"], neighbour[0]["lladdr"]);
        assert!(link[0]["address"].is_string());
        Ok(())
    })
}

#[test]
fn stopped_servers_refuse_and_started_ones_answer() -> Result<()> {
    with_lab(&plan(Legs::One), |lab| {
        let address = std::net::SocketAddrV4::new(lab.servers[0].address, 80);
        lab.servers[0].stop()?;
        assert!(lab.client().who(address).is_err());
        lab.servers[0].start()?;
        assert_eq!(lab.client().who(address)?, "rs1");
        assert_eq!(lab.client().concurrent(address, 1000)?.get("rs1"), Some(&1000));
        Ok(())
    })
}

#[test]
fn two_networks_are_routed_by_the_switch() -> Result<()> {
    with_lab(&plan(Legs::Two), |lab| {
        lab.client().ping(lab.vip())?;
        lab.client().netns().ip("route add 10.77.0.0/24 via 10.78.0.254")?;
        let address = std::net::SocketAddrV4::new(lab.servers[1].address, 53);
        let _echo = UdpEcho::start(lab.servers[1].netns(), address, "rs2")?;
        assert_eq!(lab.client().datagrams(address, 2)?, ["rs2", "rs2"]);
        Ok(())
    })
}

#[test]
fn both_families_reach_every_server_and_only_the_director_owns_the_vip() -> Result<()> {
    with_lab(&Plan { binary: "/bin/true".into(), ..Plan::servers(2).dual_stack() }, |lab| {
        for family in Family::BOTH {
            for server in &lab.servers {
                let address = SocketAddr::new(server.address_in(family), 80);
                assert_eq!(lab.client().who(address)?, server.name());
            }
            let vip = lab.vip_in(family);
            lab.client().ping(vip)?;
            let neighbour = lab.client().netns().ip(&format!("neigh show {vip}"))?;
            let mac = lab.director.netns().ip("-j link show lan0")?;
            let mac: serde_json::Value = serde_json::from_str(&mac)?;
            assert!(neighbour.contains(mac[0]["address"].as_str().unwrap_or("none")), "{neighbour}");
        }
        Ok(())
    })
}

#[test]
fn a_narrow_link_shortens_what_a_server_sends() -> Result<()> {
    with_lab(&Plan { binary: "/bin/true".into(), ..Plan::servers(1).dual_stack().routed() }, |lab| {
        lab.make_file(1)?;
        for family in Family::BOTH {
            let server = SocketAddr::new(lab.servers[0].address_in(family), 80);
            assert_eq!(lab.servers[0].path_mtu(lab.client_in(family))?, None);
            let mut download = lab.client().download(server, "/big")?;
            download.advance_to(1)?;
            download.finish()?;
            assert_eq!(lab.servers[0].path_mtu(lab.client_in(family))?, Some(NARROW_MTU));
        }
        Ok(())
    })
}

#[test]
fn large_frames_are_whole() -> Result<()> {
    let plan =
        Plan { binary: "/bin/true".into(), ..Plan::servers(1).dual_stack().mtu(9000).without_offload() };
    with_lab(&plan, |lab| {
        lab.make_file(4)?;
        let capture = lab.capture(&["client", "rs1"])?;
        for family in Family::BOTH {
            let server = SocketAddr::new(lab.servers[0].address_in(family), 80);
            lab.client().upload(server, "/uploads/large", 4)?;
            http::check_file(&lab.servers[0].nginx().uploaded("large"), 4)?;
            let mut download = lab.client().download(server, "/big")?;
            download.advance_to(4)?;
            download.finish()?;
        }
        let frames = capture.frames()?;
        for port in ["client", "rs1"] {
            let lengths: Vec<_> =
                frames.iter().filter(|frame| &*frame.port == port).map(|frame| frame.length).collect();
            assert_eq!(lengths.iter().max(), Some(&9014), "from {port}");
            let large = lengths.iter().filter(|&&length| length == 9014).count();
            assert!(large > 800, "{large} of {} frames from {port} are full", lengths.len());
        }
        Ok(())
    })
}

#[test]
fn a_trunk_puts_the_clients_packets_in_two_tags() -> Result<()> {
    let tags = Tags { outer: 0x6064, inner: 0x00c8 };
    with_lab(&Plan { binary: "/bin/true".into(), ..Plan::servers(1).dual_stack().tagged(tags) }, |lab| {
        let director = Capture::start(lab.director.netns(), ["lan0"])?;
        for family in Family::BOTH {
            // The director cannot read it, and hears and says everything else without tags.
            let vip = SocketAddr::new(lab.vip_in(family), 9);
            let socket = lab.client().netns().enter(|| {
                let socket = UdpSocket::bind(SocketAddr::new(lab.client_in(family), 0))?;
                Ok(socket.send_to(b"tagged", vip).map(|_| socket)?)
            })?;
            let seen = director.wait_for("a datagram in tags", BOUND, SystemTime::UNIX_EPOCH, |frame| {
                frame.tags() == [(0x88a8, 0x6064), (0x8100, 0x00c8)]
                    && frame.packet().is_some_and(|packet| packet.destination == vip.ip())
            })?;
            assert_eq!(seen.bytes.last_chunk(), Some(b"tagged"));
            drop(socket);
            let address = SocketAddr::new(lab.servers[0].address_in(family), 80);
            assert_eq!(lab.director.netns().enter(|| http::get(address, "/"))?, "rs1");
        }
        let carried = lab.trunk()?.carried();
        assert_eq!((carried.tagged, carried.untagged, carried.strange, carried.lost), (2, 0, 0, 0));
        assert!(carried.plain > 0, "{carried:?}");
        Ok(())
    })
}

#[test]
fn fragments_made_by_hand_are_put_together_by_a_server() -> Result<()> {
    with_lab(&Plan { binary: "/bin/true".into(), ..Plan::servers(1).dual_stack() }, |lab| {
        let data: Vec<u8> = (0..=250).cycle().take(60_000).collect();
        for family in Family::BOTH {
            let server = SocketAddr::new(lab.servers[0].address_in(family), 5300);
            let _mirror = UdpEcho::mirror(lab.servers[0].netns(), server)?;
            let mac = lab.servers[0].netns().mac("net0")?;
            lab.client().mirrored(server, &data)?;
            lab.client().mirrored_in_pieces(server, mac, &data, |own| {
                let mut pieces = fragments::datagram(own, server, &data, 1400, 1)?;
                pieces.rotate_left(1);
                Ok(pieces)
            })?;
        }
        Ok(())
    })
}
