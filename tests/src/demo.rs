//! The demonstration: three real servers share requests and one of them dies; then the master dies, its backup follows,
//! and the master comes back.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::client::tally;
use crate::config::{Protocol, VirtualRouter, VirtualServer};
use crate::daemon::Daemon;
use crate::director::Director;
use crate::http;
use crate::nginx::Nginx;
use crate::node::Node;
use crate::requests::Requests;
use crate::site::{Site, with_site};
use crate::status::Status;
use crate::wait::{self, TAKEOVER};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const HTTP: u16 = 80;
const INTERFACE: &str = "lan0";
const VRID: u8 = 51;
const REQUESTS: usize = 30;
/// Each costs its full time bound, so a broken path is not asked thirty times.
const FAILURES: usize = 3;

/// Builds the lab, runs `xlvs` on it, and prints who served what as it goes.
///
/// # Errors
/// When the lab cannot be built, an expectation fails, or the operator interrupts; the lab is removed in any case.
pub fn run() -> Result<()> {
    wait::interrupt_on_signals()?;
    println!("building the lab: a client, two directors and three nginx real servers in network namespaces");
    with_site(|site| {
        let mut lab = Lab::build(site)?;
        lab.show_servers()?;
        lab.show_takeover()?;
        lab.end()
    })
}

/// The two directors with what surrounds them.
struct Lab {
    client: Arc<Node>,
    /// The one with the higher priority first.
    directors: [(Arc<Node>, Daemon); 2],
    servers: Vec<(Arc<Node>, Nginx)>,
}

impl Lab {
    fn build(site: &mut Site) -> Result<Self> {
        let client = site.host("client", INTERFACE, &["10.77.0.9/24"])?;
        let nodes = [("dr1", "10.77.0.2/24"), ("dr2", "10.77.0.3/24")];
        let [first, second] = nodes.map(|(name, address)| site.director(name, INTERFACE, &[address]));
        let (first, second) = (first?, second?);
        let mut servers = Vec::new();
        let mut service = VirtualServer::new(VIP, HTTP, Protocol::Tcp, "rr");
        for number in 1..=3 {
            let address = Ipv4Addr::new(10, 77, 0, 10 + number);
            let node = site.host(&format!("rs{number}"), INTERFACE, &[&format!("{address}/24")])?;
            let nginx = node.serve(&[VIP.into()])?;
            servers.push((node, nginx));
            service = service.checked(address, 1);
        }
        println!(
            "client 10.77.0.9, directors dr1 10.77.0.2 and dr2 10.77.0.3, VRID {VRID}, an advert every second"
        );
        println!("virtual service {VIP}:{HTTP} (rr, direct routing)");
        let start = |node: &Arc<Node>, priority| {
            let router = VirtualRouter::new(INTERFACE, VRID, priority, &VIP.to_string());
            node.xlvs(&format!("{router}{service}"))
        };
        let directors = [start(&first, 150)?, start(&second, 100)?];
        let [one, two] = directors;
        Ok(Self { client, directors: [(first, one), (second, two)], servers })
    }

    fn show_servers(&mut self) -> Result<()> {
        self.wait_roles(["MASTER", "BACKUP"])?;
        let status = self.wait_eligible(3)?;
        for server in &status.service()?.servers {
            println!("  real server {} at {}", server.address, server.mac.as_deref().unwrap_or("-"));
        }
        self.show_attachment(&status)?;
        println!("\n{:<24}{:>9}{}{:>8}", "", "requests", self.header(), "failed");
        self.round("three real servers", &[10, 10, 10])?;

        self.servers[1].1.stop()?;
        let status = self.wait_eligible(2)?;
        let down = status.service()?.servers.iter().find(|server| server.state == "down");
        let reason = down.and_then(|server| server.reason.clone()).unwrap_or_default();
        println!("  nginx of rs2 stopped, taken out: {reason}");
        self.round("rs2 is down", &[15, 0, 15])?;

        let (node, nginx) = &mut self.servers[1];
        nginx.start(node.netns())?;
        self.wait_eligible(3)?;
        println!("  nginx of rs2 started, taken in again");
        self.round("rs2 is back", &[10, 10, 10])
    }

    fn show_takeover(&mut self) -> Result<()> {
        let vip = IpAddr::from(VIP);
        let requests = self.ask_on()?;
        self.directors[0].1.kill()?;
        self.wait_role(1, "MASTER")?;
        requests.wait_answers(20, TAKEOVER)?;
        println!("  xlvs of dr1 killed, dr2 is master: {}", gap(requests)?);
        self.round("dr2 is master", &[10, 10, 10])?;

        let requests = self.ask_on()?;
        self.directors[0].1.restart()?;
        self.wait_roles(["MASTER", "BACKUP"])?;
        self.wait_eligible(3)?;
        self.directors[1].0.wait_released(vip)?;
        requests.wait_answers(20, TAKEOVER)?;
        println!("  xlvs of dr1 started, master again: {}", gap(requests)?);
        self.round("dr1 is master again", &[10, 10, 10])?;

        let requests = self.ask_on()?;
        self.directors[0].1.stop_clean()?;
        self.wait_role(1, "MASTER")?;
        requests.wait_answers(20, TAKEOVER)?;
        println!("  xlvs of dr1 stopped cleanly, dr2 is master: {}", gap(requests)?);
        self.round("dr2 is master again", &[10, 10, 10])
    }

    fn end(mut self) -> Result<()> {
        println!("\ncounters of dr2");
        for (name, value) in self.director(1)?.status()?.counters.iter().filter(|(_, value)| **value > 0) {
            println!("  {name:<32}{value:>12}");
        }
        self.directors[1].1.stop_clean()?;
        for place in 0..2 {
            let traces = self.director(place)?.traces()?;
            ensure!(traces.is_empty(), "xlvs left behind: {}", traces.join(", "));
            ensure!(!self.directors[place].0.holds(VIP.into())?, "xlvs left {VIP} behind");
        }
        println!("\nboth xlvs stopped, nothing left attached, pinned or configured");
        Ok(())
    }

    fn director(&self, place: usize) -> Result<&Director> {
        self.directors[place].1.director().context("not xlvs")
    }

    fn wait_roles(&self, roles: [&str; 2]) -> Result<()> {
        roles.into_iter().enumerate().try_for_each(|(place, role)| self.wait_role(place, role))
    }

    fn wait_role(&self, place: usize, role: &str) -> Result<()> {
        let what = format!("{} to be {role}", self.directors[place].0.name());
        let is = |status: &Status| status.instances.iter().all(|instance| instance.state == role);
        self.director(place)?.wait_status(&what, TAKEOVER, is).map(drop)
    }

    /// Waits until exactly `count` real servers may receive connections, on both directors.
    fn wait_eligible(&self, count: usize) -> Result<Status> {
        let eligible = |status: &Status| {
            let servers = status.services.iter().flat_map(|service| &service.servers);
            servers.filter(|server| server.eligible).count() == count
        };
        let what = format!("{count} eligible real servers");
        self.director(1)?.wait_status(&what, TAKEOVER, eligible)?;
        self.director(0)?.wait_status(&what, TAKEOVER, eligible)
    }

    fn show_attachment(&self, status: &Status) -> Result<()> {
        let net = self.director(0)?.bpftool_net()?;
        let line = net.lines().find(|line| line.starts_with(&format!("{INTERFACE}("))).unwrap_or_default();
        println!("xlvs {} is ready, mode {}; bpftool net on dr1: {line}", status.version, status.mode);
        ensure!(line.contains("driver"), "the program is not attached in driver mode:\n{net}");
        Ok(())
    }

    /// A client that asks without pause from now on.
    fn ask_on(&self) -> Result<Requests> {
        let requests = Requests::start(self.client.netns(), (VIP, HTTP).into())?;
        requests.wait_answers(20, TAKEOVER)?;
        Ok(requests)
    }

    fn header(&self) -> String {
        columns(self.servers.iter().map(|(node, _)| node.name()))
    }

    fn round(&self, title: &str, expected: &[usize]) -> Result<()> {
        let (mut names, mut failures) = (Vec::new(), Vec::new());
        while names.len() + failures.len() < REQUESTS && failures.len() < FAILURES {
            wait::check_interrupt()?;
            let server = SocketAddr::from((VIP, HTTP));
            match self.client.netns().enter(|| http::get(server, "/")) {
                Ok(name) => names.push(name),
                Err(error) => failures.push(format!("{error:#}")),
            }
        }
        let counts = tally(&names);
        let served: Vec<usize> =
            self.servers.iter().map(|(node, _)| counts.get(node.name()).copied().unwrap_or(0)).collect();
        println!("{title:<24}{:>9}{}{:>8}", names.len() + failures.len(), columns(&served), failures.len());
        ensure!(failures.is_empty(), "{} requests failed, the first: {}", failures.len(), failures[0]);
        ensure!(served == expected, "expected {expected:?} requests on the real servers, saw {served:?}");
        Ok(())
    }
}

fn columns(cells: impl IntoIterator<Item: Display>) -> String {
    cells.into_iter().fold(String::new(), |line, cell| format!("{line}{cell:>6}"))
}

/// In words, for how long nobody answered.
fn gap(requests: Requests) -> Result<String> {
    let gap = requests.longest_gap()?;
    Ok(format!("the client waited {} ms at most", Duration::as_millis(&gap)))
}
