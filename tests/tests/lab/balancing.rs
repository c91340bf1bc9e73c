//! Who gets how many connections, in which order.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use anyhow::Result;
use lb_tests::client::tally;
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::echo::UdpEcho;
use lb_tests::{Plan, with_lab};

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

#[test]
fn rr_alternates_strictly_beginning_with_the_last_of_the_file() -> Result<()> {
    with_lab(&Plan::servers(3), |lab| {
        lab.balance(&lab.http_on_all("rr"), 3)?;
        let names = lab.client().sequence(lab.service(), 30)?;
        let expected: Vec<&str> = ["rs3", "rs2", "rs1"].into_iter().cycle().take(30).collect();
        assert_eq!(names, expected);

        let status = lab.director.status()?;
        let service = status.service()?;
        assert_eq!((service.scheduler.as_str(), service.protocol.as_str()), ("rr", "TCP"));
        assert_eq!(service.connections, 30);
        for server in &service.servers {
            assert_eq!(server.connections, 10, "{}", server.address);
            assert!(server.packets >= 40 && server.bytes > 40 * server.packets, "{server:?}");
        }
        for server in &lab.servers {
            assert_eq!(server.nginx().served(), 10, "access log of {}", server.name());
        }
        Ok(())
    })
}

#[test]
fn wrr_10_to_20_gives_exactly_3_and_6_of_9() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let config = lab.http("wrr").checked(lab.servers[0].address, 10).checked(lab.servers[1].address, 20);
        lab.balance(&config, 2)?;
        let names = lab.client().sequence(lab.service(), 9)?;
        assert_eq!(tally(&names), counts([("rs1", 3), ("rs2", 6)]));
        assert_eq!(names, ["rs2", "rs2", "rs1"].repeat(3));
        Ok(())
    })
}

#[test]
fn wlc_shares_by_the_connections_the_servers_have() -> Result<()> {
    with_lab(&Plan::servers(3), |lab| {
        lab.balance(&lab.http_on_all("wlc"), 3)?;
        let names = lab.client().sequence(lab.service(), 30)?;
        assert_eq!(tally(&names), counts([("rs1", 10), ("rs2", 10), ("rs3", 10)]));
        Ok(())
    })
}

#[test]
fn a_client_stays_with_its_server_under_sh_and_mh() -> Result<()> {
    for scheduler in ["sh", "mh"] {
        with_lab(&Plan::servers(3), |lab| {
            lab.balance(&lab.http_on_all(scheduler), 3)?;
            let names = lab.client().sequence(lab.service(), 9)?;
            assert_eq!(names, vec![names[0].clone(); 9]);
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn weight_0_gets_none_of_8() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let config = lab.http("wrr").checked(lab.servers[0].address, 0).checked(lab.servers[1].address, 1);
        lab.director.start(&config.to_string())?;
        let loaded = lab.servers[1].address;
        lab.director.wait_status("rs2 to be eligible", std::time::Duration::from_secs(10), |status| {
            status.server(loaded).is_ok_and(|server| server.eligible)
        })?;
        assert_eq!(tally(&lab.client().sequence(lab.service(), 8)?), counts([("rs2", 8)]));
        assert_eq!(lab.director.status()?.server(lab.servers[0].address)?.connections, 0);
        Ok(())
    })
}

#[test]
fn a_thousand_concurrent_requests_all_succeed() -> Result<()> {
    with_lab(&Plan::servers(3), |lab| {
        lab.balance(&lab.http_on_all("rr"), 3)?;
        let answers = lab.client().concurrent(lab.service(), 1000)?;
        assert_eq!(answers.values().sum::<usize>(), 1000);
        // Both CPUs pick at the same time, and a retransmitted SYN would shift a pick.
        for server in &lab.servers {
            let count = answers.get(server.name()).copied().unwrap_or(0);
            assert!((330..=337).contains(&count), "{answers:?}");
        }
        Ok(())
    })
}

#[test]
fn udp_is_balanced_and_answered_from_the_vip() -> Result<()> {
    with_lab(&Plan::servers(3), |lab| {
        let service = SocketAddrV4::new(lab.vip(), 5300);
        let _echoes = lab
            .servers
            .iter()
            .map(|server| UdpEcho::start(server.netns(), service, server.name()))
            .collect::<Result<Vec<_>>>()?;
        let config = VirtualServer::new(lab.vip(), 5300, Protocol::Udp, "rr");
        let config = lab.servers.iter().fold(config, |config, server| config.unchecked(server.address, 1));
        let status = lab.balance(&config, 3)?;
        assert_eq!(status.service()?.protocol, "UDP");
        let names = lab.client().datagrams(service, 12)?;
        assert_eq!(names, ["rs3", "rs2", "rs1"].repeat(4));
        Ok(())
    })
}
