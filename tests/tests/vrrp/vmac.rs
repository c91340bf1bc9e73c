//! `use_vmac`: the address has one MAC address, whoever is master, and what is sent to that is balanced.

use std::net::Ipv4Addr;
use std::ops::ControlFlow;

use anyhow::{Result, ensure};
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::node::Node;
use lb_tests::probe::Probe;
use lb_tests::requests::Requests;
use lb_tests::switch::Link;
use lb_tests::wait::{self, TAKEOVER};
use lb_tests::with_site;

use crate::pair::Program::{self, Keepalived, Xlvs};
use crate::pair::{INTERFACE, Pair, VIP, router};

const VIRTUAL: &str = "vrrp.51";
const VIRTUAL_MAC: &str = "00:00:5e:00:01:33";

fn config(priority: u8) -> String {
    router(priority).version3("0.1").line("use_vmac").to_string()
}

fn wait_master(node: &Node) -> Result<()> {
    wait::until(&format!("{} to hold {VIP}", node.name()), TAKEOVER, || {
        let held = node.addresses(VIRTUAL).is_ok_and(|held| held.contains(&VIP));
        Ok(if held { ControlFlow::Break(()) } else { ControlFlow::Continue(format!("not on {VIRTUAL}")) })
    })
}

fn moves(programs: [Program; 2]) -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let mut first = programs[0].start(&pair.first, &config(100))?;
        wait_master(&pair.first)?;
        let _second = programs[1].start(&pair.second, &config(90))?;
        // A host that asks for its client in the name of the address tells its own MAC address, unless it is told not to
        // (`arp_announce`); keepalived leaves that to the administrator.
        let known = |master: Program| -> Result<()> {
            let neighbours = pair.client.run(&["ip", "neigh", "show", &VIP.to_string()])?;
            ensure!(master == Keepalived || neighbours.contains(VIRTUAL_MAC), "{neighbours}");
            Ok(())
        };
        let probe = Probe::start(pair.client.netns(), VIP)?;
        known(programs[0])?;
        first.kill()?;
        site.set_link(&pair.first, Link::Down)?;
        wait_master(&pair.second)?;
        probe.wait_answers(10, TAKEOVER)?;
        known(programs[1])?;
        site.set_link(&pair.first, Link::Up)?;
        first.restart()?;
        wait_master(&pair.first)?;
        probe.wait_answers(10, TAKEOVER)?;
        known(programs[0])?;
        probe.finish().map(drop)
    })
}

#[test]
fn from_xlvs_to_keepalived_and_back() -> Result<()> {
    moves([Xlvs, Keepalived])
}

#[test]
fn from_keepalived_to_xlvs_and_back() -> Result<()> {
    moves([Keepalived, Xlvs])
}

#[test]
fn requests_to_the_virtual_mac_are_balanced() -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let servers = [11, 12].map(|host| Ipv4Addr::new(10, 77, 0, host));
        let mut web = Vec::new();
        let mut service = VirtualServer::new(Ipv4Addr::new(10, 77, 0, 100), 80, Protocol::Tcp, "rr");
        for server in servers {
            let name = format!("rs{}", server.octets()[3]);
            web.push(site.host(&name, INTERFACE, &[&format!("{server}/24")])?.serve(&[VIP])?);
            service = service.unchecked(server, 1);
        }
        let mut first = Xlvs.start(&pair.first, &format!("{}{service}", config(100)))?;
        wait_master(&pair.first)?;
        let second = Xlvs.start(&pair.second, &format!("{}{service}", config(90)))?;
        let requests = Requests::start(pair.client.netns(), (VIP, 80).into())?;
        requests.wait_answers(20, TAKEOVER)?;
        ensure!(first.status()?.counters["forwarded_tx"] > 0, "the master forwarded nothing");
        ensure!(second.status()?.counters["forwarded_tx"] == 0, "the backup forwarded");
        first.stop_clean()?;
        ensure!(pair.first.addresses(VIRTUAL).is_err(), "{VIRTUAL} is left behind");
        requests.wait_answers(20, TAKEOVER)?;
        ensure!(second.status()?.counters["forwarded_tx"] > 0, "the heir forwarded nothing");
        let answers = requests.answers();
        for server in ["rs11", "rs12"] {
            ensure!(answers.iter().any(|answer| answer.from == server), "{server} never answered");
        }
        Ok(())
    })
}
