//! The lab itself: every part reaches every other before a balancer is involved. Needs root, and no working `xlvs`.

use anyhow::Result;
use lb_tests::echo::UdpEcho;
use lb_tests::lab::{BIG_MEGABYTES, Legs};
use lb_tests::{Plan, with_lab};

fn plan(legs: Legs) -> Plan {
    Plan { servers: 2, legs, binary: "/bin/true".into() }
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
