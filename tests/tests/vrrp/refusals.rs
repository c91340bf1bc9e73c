//! Reloads of which the virtual routers' part cannot be done.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use lb_tests::capture::Capture;
use lb_tests::config::{Protocol, VirtualRouter, VirtualServer};
use lb_tests::daemon::Daemon;
use lb_tests::nginx::Nginx;
use lb_tests::node::Node;
use lb_tests::requests::Requests;
use lb_tests::wait::{self, TAKEOVER};
use lb_tests::{Site, with_site};

use crate::pair::Program::Xlvs;
use crate::pair::{INTERFACE, Pair, SLACK, VIP, VRID, router};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 11);
/// Nobody has it, so that a reload looks for its MAC address for a second.
const ABSENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 12);
const MORE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 101));
const DNS: u16 = 53;

/// `xlvs` as master, which serves a client.
struct Running {
    pair: Pair,
    capture: Capture,
    daemon: Daemon,
    _server: (Arc<Node>, Nginx),
    requests: Requests,
}

impl Running {
    fn start(site: &mut Site, config: &str) -> Result<Self> {
        let pair = Pair::plug(site)?;
        let server = site.host("rs1", INTERFACE, &[&format!("{SERVER}/24")])?;
        let web = server.serve(&[VIP])?;
        let daemon = Xlvs.start(&pair.first, &config)?;
        pair.first.wait_held(VIP)?;
        let capture = pair.capture(site)?;
        let requests = Requests::start(pair.client.netns(), (VIP, 80).into())?;
        Ok(Self { pair, capture, daemon, _server: (server, web), requests })
    }

    fn wait_logged(&self, text: &str) -> Result<String> {
        wait::until(&format!("{text:?} in the log"), TAKEOVER, || {
            let log = self.daemon.log();
            let line = log.lines().find(|line| line.contains(text)).map(str::to_owned);
            Ok(line.map_or(ControlFlow::Continue(log), ControlFlow::Break))
        })
    }

    /// It is master since the start, goes on with its adverts, and the client has noticed nothing.
    fn ensure_undisturbed(&self) -> Result<()> {
        self.capture.wait_adverts(&self.pair.first, SystemTime::now(), 2)?;
        let is_usual = |advert: &lb_tests::frame::Advert| {
            advert.vrid != VRID || (advert.priority == 100 && advert.version == 2)
        };
        let adverts = self.capture.adverts(&self.pair.first)?;
        ensure!(adverts.iter().all(|(_, advert)| is_usual(advert)), "{adverts:?}");
        let instance = self.daemon.instance(VirtualRouter::NAME)?;
        ensure!((instance.state.as_str(), instance.masterships) == ("MASTER", 1), "{instance:?}");
        self.requests.wait_answers(20, TAKEOVER)
    }
}

fn service(port: u16, protocol: Protocol, server: Ipv4Addr) -> VirtualServer {
    VirtualServer::new(VIP, port, protocol, "rr").unchecked(server, 1)
}

fn web() -> VirtualServer {
    service(80, Protocol::Tcp, SERVER)
}

/// Lets the daemon open no file or socket, or as many as it may.
fn limit_descriptors(daemon: &Daemon, limit: &str) -> Result<()> {
    let director = daemon.director().context("it is xlvs")?;
    let pid = director.pid().context("it runs")?.to_string();
    director.netns().run("prlimit", &["--pid", &pid, &format!("--nofile={limit}:")]).map(drop)
}

#[test]
fn where_trackers_cannot_begin_services_and_virtual_routers_stay() -> Result<()> {
    with_site(|site| {
        let mut running = Running::start(site, &format!("{}{}", router(100), web()))?;
        let before = running.daemon.status()?;
        let file = running.pair.first.dir().join("weight");
        std::fs::write(&file, "-3")?;
        let tracks = router(100).address(&MORE.to_string()).line("track_file {\nweight weight 1\n}");
        let next = format!(
            "track_file weight {{\nfile {}\n}}\n{tracks}{}{}",
            file.display(),
            web(),
            service(DNS, Protocol::Udp, ABSENT)
        );
        running.daemon.reload(&next)?;
        // It has read the file by then.
        wait::closely("it to look for the server", TAKEOVER, || {
            let known = running.pair.first.run(&["ip", "neigh", "show", &ABSENT.to_string()])?;
            Ok(if known.is_empty() {
                ControlFlow::Continue("not yet".to_owned())
            } else {
                ControlFlow::Break(())
            })
        })?;
        limit_descriptors(&running.daemon, "3")?;
        let said = running.wait_logged("the reload failed")?;
        limit_descriptors(&running.daemon, "1024")?;
        ensure!(said.contains("watching track files") && said.contains("stays in force"), "{said}");

        let now = running.daemon.status()?;
        let services = |status: &lb_tests::status::Status| -> Vec<_> {
            status.services.iter().map(|service| (service.address, service.port, service.active)).collect()
        };
        ensure!(services(&now) == [(VIP, 80, true)] && services(&before) == services(&now), "{now:?}");
        ensure!(now.configuration.reloads == 0 && now.configuration.failure.is_some(), "{now:?}");
        ensure!(now.instances[0].addresses == [VIP] && !running.pair.first.holds(MORE)?, "{now:?}");
        running.ensure_undisturbed()?;

        // Now that it can be done, it is: from what is in force.
        running.daemon.reload(&next)?;
        running.pair.first.wait_held(MORE)?;
        running
            .capture
            .wait_advert(&running.pair.first, SystemTime::now(), |advert| advert.priority == 97)?;
        let now = running.daemon.status()?;
        ensure!(now.configuration.reloads == 1 && now.configuration.failure.is_none(), "{now:?}");
        ensure!(services(&now) == [(VIP, 80, true), (VIP, DNS, true)], "{now:?}");
        let gap = running.requests.longest_gap()?;
        ensure!(gap < SLACK, "a gap of {gap:?}");
        Ok(())
    })
}

#[test]
fn a_virtual_interface_that_cannot_be_made_disturbs_no_other_router() -> Result<()> {
    with_site(|site| {
        let mut running = Running::start(site, &format!("{}{}", router(100), web()))?;
        let netns = std::sync::Arc::clone(running.pair.first.netns());
        netns.ip("link add taken type bridge")?;
        let other = VirtualRouter::new(INTERFACE, VRID + 1, 100, &MORE.to_string()).named("VI_2");
        let next = format!("{}{}{}", router(100), other.line("use_vmac taken"), web());
        running.daemon.reload(&next)?;
        let said = running.wait_logged("taken cannot be made")?;
        ensure!(said.contains("instance=\"VI_2\"") && said.contains("trying again"), "{said}");
        running.ensure_undisturbed()?;
        let other = running.daemon.instance("VI_2")?;
        ensure!(other.adverts_sent == 0 && other.lease_milliseconds.is_none(), "{other:?}");

        netns.ip("link del taken")?;
        wait::until("VI_2 to be master", TAKEOVER, || {
            let held = running.pair.first.addresses("taken").unwrap_or_default();
            Ok(if held.contains(&MORE) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(format!("{held:?}"))
            })
        })?;
        running.ensure_undisturbed()?;
        let gap = running.requests.longest_gap()?;
        ensure!(gap < SLACK, "a gap of {gap:?}");
        Ok(())
    })
}
