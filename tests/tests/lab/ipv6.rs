//! Services in IPv6, beside the same ones in IPv4.

use std::time::Duration;

use anyhow::Result;
use lb_tests::client::tally;
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::echo::UdpEcho;
use lb_tests::lab::HTTP;
use lb_tests::{Family, Plan, with_lab};

const UDP: u16 = 5300;
const BOUND: Duration = Duration::from_secs(15);
const MEGABYTES: usize = 16;

#[test]
fn http_is_balanced_in_both_families_by_one_director() -> Result<()> {
    with_lab(&Plan::servers(3).dual_stack(), |lab| {
        lab.make_file(MEGABYTES)?;
        let config: String = Family::BOTH.map(|family| lab.http_in(family, "rr").to_string()).concat();
        lab.balance(&config, 6)?;
        for family in Family::BOTH {
            let names = lab.client().sequence(lab.service_in(family), 12)?;
            assert_eq!(names, ["rs3", "rs2", "rs1"].repeat(4), "{family:?}");
            let status = lab.director.status()?;
            let vip = lab.vip_in(family);
            let service = status.services.iter().find(|service| service.address == vip);
            let servers = service.map(|service| &service.servers[..]).unwrap_or_default();
            let counts: Vec<_> = servers.iter().map(|server| (server.address, server.connections)).collect();
            let expected: Vec<_> = lab.servers.iter().map(|server| (server.address_in(family), 4)).collect();
            assert_eq!(counts, expected);
            assert!(servers.iter().all(|server| server.bytes > 40 * server.packets), "{servers:?}");

            let mut download = lab.client().download(lab.service_in(family), "/big")?;
            download.advance_to(MEGABYTES)?;
            download.finish()?;
            let answers = lab.client().concurrent(lab.service_in(family), 300)?;
            assert_eq!(answers.values().sum::<usize>(), 300, "{answers:?}");
        }
        Ok(())
    })
}

#[test]
fn curl_reaches_an_ipv6_service() -> Result<()> {
    with_lab(&Plan::servers(2).dual_stack(), |lab| {
        lab.balance(&lab.http_in(Family::V6, "rr"), 2)?;
        let url = format!("http://{}/", lab.service_in(Family::V6));
        let curl = ["--globoff", "--silent", "--show-error", "--max-time", "5", "--noproxy", "*", &url, &url];
        assert_eq!(lab.client().netns().run("curl", &curl)?, "rs2\nrs1\n");
        lab.client().ping(lab.vip_in(Family::V6))
    })
}

#[test]
fn an_ipv6_server_that_is_dead_leaves_and_comes_back() -> Result<()> {
    with_lab(&Plan::servers(2).dual_stack(), |lab| {
        lab.balance(&lab.http_in(Family::V6, "rr"), 2)?;
        let service = lab.service_in(Family::V6);
        lab.servers[0].stop()?;
        let dead = lab.servers[0].address_in(Family::V6);
        lab.director.wait_status("rs1 to be down", BOUND, |status| {
            status.server(dead).is_ok_and(|server| server.state == "down")
        })?;
        assert_eq!(lab.client().sequence(service, 4)?, ["rs2"; 4]);
        lab.servers[0].start()?;
        lab.wait_eligible(2)?;
        assert_eq!(tally(&lab.client().sequence(service, 4)?).len(), 2);
        Ok(())
    })
}

#[test]
fn an_ipv6_server_that_begins_to_answer_its_neighbours_is_taken_in() -> Result<()> {
    with_lab(&Plan::servers(2).dual_stack(), |lab| {
        let [late, other] = [0, 1].map(|index| lab.servers[index].address_in(Family::V6));
        let netns = lab.servers[0].netns();
        netns.ip(&format!("addr del {late}/64 dev net0"))?;
        let config = VirtualServer::new(lab.vip_in(Family::V6), HTTP, Protocol::Tcp, "rr");
        lab.balance(&config.unchecked(late, 1).unchecked(other, 1), 1)?;
        let status = lab.director.wait_status("rs1 to be silent", BOUND, |status| {
            let server = status.server(late);
            server
                .is_ok_and(|server| server.reason.as_ref().is_some_and(|why| why.contains("does not answer")))
        })?;
        let server = status.server(late)?;
        assert_eq!((server.state.as_str(), server.eligible, &server.mac), ("unresolved", false, &None));
        assert!(server.reason.as_ref().is_some_and(|why| why.contains("neighbour discovery")), "{server:?}");
        assert_eq!(lab.client().sequence(lab.service_in(Family::V6), 2)?, ["rs2", "rs2"]);

        let netns = lab.servers[0].netns();
        netns.ip(&format!("addr add {late}/64 dev net0 nodad"))?;
        lab.wait_eligible(2)?;
        assert_eq!(tally(&lab.client().sequence(lab.service_in(Family::V6), 4)?).len(), 2);
        Ok(())
    })
}

#[test]
fn another_mac_address_of_an_ipv6_server_is_followed() -> Result<()> {
    const OTHER: &str = "02:00:00:00:77:11";
    with_lab(&Plan::servers(1).dual_stack(), |lab| {
        lab.balance(&lab.http_in(Family::V6, "rr"), 1)?;
        let server = lab.servers[0].address_in(Family::V6);
        lab.client().who(lab.service_in(Family::V6))?;
        let netns = lab.servers[0].netns();
        netns.sysctl("ipv6/conf/net0/ndisc_notify", "1")?;
        netns.ip(&format!("link set dev net0 address {OTHER}"))?;
        lab.director.wait_status("the new address to be known", BOUND, |status| {
            status.server(server).is_ok_and(|server| server.mac.as_deref() == Some(OTHER) && server.eligible)
        })?;
        assert_eq!(lab.client().sequence(lab.service_in(Family::V6), 3)?, ["rs1"; 3]);
        Ok(())
    })
}

#[test]
fn udp_over_ipv6_is_balanced_and_answered_from_the_vip() -> Result<()> {
    with_lab(&Plan::servers(3).dual_stack(), |lab| {
        let service = (lab.vip_in(Family::V6), UDP);
        let _echoes = lab
            .servers
            .iter()
            .map(|server| UdpEcho::start(server.netns(), service, server.name()))
            .collect::<Result<Vec<_>>>()?;
        lab.balance(&lab.udp_in(Family::V6, UDP, "rr"), 3)?;
        assert_eq!(lab.client().datagrams(service, 12)?, ["rs3", "rs2", "rs1"].repeat(4));
        let status = lab.director.status()?;
        // A header of 40 bytes, one of 8, and the question of 3.
        assert_eq!((status.service()?.packets, status.service()?.bytes), (12, 12 * 51));
        Ok(())
    })
}

#[test]
fn segments_and_datagrams_of_9000_bytes_pass_in_ipv6() -> Result<()> {
    crate::jumbo::large_frames_pass(Family::V6)
}

#[test]
fn two_tags_are_kept_in_ipv6() -> Result<()> {
    crate::tagged::two_tags_are_kept(Family::V6)
}
