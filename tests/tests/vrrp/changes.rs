//! Every kind of change of the configuration of two directors, one after the other, under a thousand requests a second.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lb_tests::client::datagram;
use lb_tests::config::{Protocol, VirtualRouter, VirtualServer};
use lb_tests::daemon::Daemon;
use lb_tests::echo::UdpEcho;
use lb_tests::load::Load;
use lb_tests::nginx::Nginx;
use lb_tests::node::Node;
use lb_tests::status::{Instance, Server, Service, Status};
use lb_tests::wait::{self, TAKEOVER};
use lb_tests::{Site, http, with_site};

use crate::pair::Program::Xlvs;
use crate::pair::{INTERFACE, Pair, VIP, router};

const MORE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 101));
const WEB: u16 = 80;
const DNS: u16 = 53;
/// Requests that each server must answer after each change.
const ENOUGH: usize = 100;
/// Those that may be under way to a real server when it is removed: one for each client.
const UNDER_WAY: usize = 8;
/// Of the first director, when it is to be master.
const HIGHER: u8 = 100;
/// Of the second director.
const MIDDLE: u8 = 90;
const LOWER: u8 = 80;

const SERVERS: [(&str, Ipv4Addr); 3] = [
    ("rs1", Ipv4Addr::new(10, 77, 0, 11)),
    ("rs2", Ipv4Addr::new(10, 77, 0, 12)),
    ("rs3", Ipv4Addr::new(10, 77, 0, 13)),
];

/// What the files of both directors say.
struct Wanted {
    /// Of the first.
    priority: u8,
    /// By name, with their weights.
    servers: BTreeMap<&'static str, u32>,
    has_dns: bool,
    addresses: Vec<IpAddr>,
}

impl Wanted {
    fn texts(&self) -> [String; 2] {
        [self.priority, MIDDLE].map(|priority| self.text(priority))
    }

    fn text(&self, priority: u8) -> String {
        let more = self.addresses.iter().filter(|&&address| address != VIP);
        let router = more.fold(router(priority), |router, address| router.address(&address.to_string()));
        let web = self.addresses.iter().map(|&address| self.service(address, WEB, Protocol::Tcp));
        let dns = self.has_dns.then(|| self.service(VIP, DNS, Protocol::Udp));
        web.chain(dns).fold(router.to_string(), |text, service| format!("{text}{service}"))
    }

    /// By a hash of client and port: both directors send a connection to the same server, whoever has begun it.
    fn service(&self, address: IpAddr, port: u16, protocol: Protocol) -> VirtualServer {
        let service = VirtualServer::new(address, port, protocol, "mh").line("mh-port");
        let there = SERVERS.iter().filter_map(|(name, own)| Some((own, self.servers.get(name)?)));
        there.fold(service, |service, (own, weight)| service.unchecked(*own, *weight))
    }
}

/// Two directors under load, and what must not be lost in them.
struct Run<'a> {
    pair: &'a Pair,
    load: &'a Load,
    wanted: Wanted,
    daemons: [Daemon; 2],
    last: [Status; 2],
    /// Changes of state that there have been.
    transitions: [usize; 2],
    /// Requests that the removal of their server has ended.
    lost: usize,
}

impl Run<'_> {
    /// Changes both files, that of the second director first: it must know the addresses of its master's adverts.
    fn change(&mut self, what: &str, change: impl FnOnce(&mut Wanted)) -> Result<()> {
        eprintln!("{what}");
        let before = self.wanted.texts();
        change(&mut self.wanted);
        let texts = self.wanted.texts();
        for place in [1, 0] {
            if texts[place] != before[place] {
                reload(&mut self.daemons[place], &texts[place])?;
            }
        }
        Ok(())
    }

    /// After a change: these servers serve, no other state was entered than those that were asked for, everything that
    /// counts counts on, and no request has failed.
    fn check(&mut self, what: &str, entered: [usize; 2]) -> Result<()> {
        let serving: Vec<&str> = self.wanted.servers.keys().copied().collect();
        self.load.wait_answers(&serving, ENOUGH)?;
        for (place, daemon) in self.daemons.iter().enumerate() {
            let now = daemon.status()?;
            ensure_counted_on(&self.last[place], &now).with_context(|| what.to_owned())?;
            self.last[place] = now;
            self.transitions[place] += entered[place];
            let log = daemon.log();
            ensure!(transitions(&log) == self.transitions[place], "{what}: {log}");
        }
        let failures = self.load.failures();
        ensure!(failures.len() == self.lost, "{what}: {failures:?}");
        Ok(())
    }

    fn add_a_server(&mut self) -> Result<()> {
        self.change("a server more", |wanted| {
            wanted.servers.insert("rs3", 1);
        })?;
        self.check("a server more", [0, 0])
    }

    fn remove_a_server(&mut self) -> Result<()> {
        self.change("a server less", |wanted| {
            wanted.servers.remove("rs2");
        })?;
        self.load.wait_answers(&["rs1", "rs3"], ENOUGH)?;
        // No request but these, for none is sent to it any more.
        self.lost = self.load.failures().len();
        ensure!(self.lost <= UNDER_WAY, "{:?}", self.load.failures());
        let before = self.load.answers();
        self.check("a server less", [0, 0])?;
        ensure!(self.load.answers()["rs2"] == before["rs2"], "it serves");
        Ok(())
    }

    fn change_a_weight(&mut self) -> Result<()> {
        self.change("another weight", |wanted| {
            wanted.servers.insert("rs1", 3);
        })?;
        self.check("another weight", [0, 0])?;
        ensure!(self.weights()? == [3, 1], "{:?}", self.last[0].services);
        Ok(())
    }

    fn add_a_service(&mut self) -> Result<()> {
        self.change("a service more", |wanted| wanted.has_dns = true)?;
        let from = self.pair.client.netns().enter(|| datagram((VIP, DNS).into()))?;
        ensure!(self.wanted.servers.contains_key(from.as_str()), "{from} answers");
        self.check("a service more", [0, 0])
    }

    /// One below that of the second director, which preempts, and back.
    fn change_the_priority(&mut self) -> Result<()> {
        self.change("a lower priority", |wanted| wanted.priority = LOWER)?;
        self.wait_master(1)?;
        self.check("a lower priority", [1, 1])?;
        self.change("the priority of before", |wanted| wanted.priority = HIGHER)?;
        self.wait_master(0)?;
        self.check("the priority of before", [1, 1])?;
        let masterships = self.daemons.iter().map(|daemon| Ok(instance(&daemon.status()?)?.masterships));
        ensure!(masterships.collect::<Result<Vec<_>>>()? == [2, 1]);
        Ok(())
    }

    fn add_an_address(&mut self) -> Result<()> {
        self.change("an address more", |wanted| wanted.addresses.push(MORE))?;
        self.pair.first.wait_held(MORE)?;
        let from = self.pair.client.netns().enter(|| http::get((MORE, WEB).into(), "/"))?;
        ensure!(self.wanted.servers.contains_key(from.as_str()), "{from} answers");
        ensure!(!self.pair.second.holds(MORE)?, "the backup holds {MORE}");
        self.check("an address more", [0, 0])
    }

    /// The file of the master alone.
    fn break_the_file(&mut self) -> Result<()> {
        eprintln!("a broken file");
        let before = self.daemons[0].status()?;
        let broken = self.wanted.texts()[0].replace("weight 3", "weight three");
        self.daemons[0].reload(&broken)?;
        wait::until("the error", TAKEOVER, || {
            let log = self.daemons[0].log();
            let is_named = |line: &str| line.contains("keepalived.conf:") && line.contains("three");
            let stays = |line: &str| line.contains("the reload failed") && line.contains("stays in force");
            let is_told = log.lines().any(is_named) && log.lines().any(stays);
            Ok(if is_told { ControlFlow::Break(()) } else { ControlFlow::Continue(log) })
        })?;
        self.check("a broken file", [0, 0])?;
        let now = &self.last[0];
        let failure = now.configuration.failure.as_ref().context("no failure in the status")?;
        ensure!(failure.reason.contains("keepalived.conf:"), "{failure:?}");
        ensure!(now.configuration.reloads == before.configuration.reloads);
        ensure!(in_force(now)? == in_force(&before)?, "{now:?} after {before:?}");
        let client = self.pair.client.netns();
        client.enter(|| datagram((VIP, DNS).into()))?;
        client.enter(|| http::get((MORE, WEB).into(), "/")).map(drop)
    }

    fn mend_the_file(&mut self) -> Result<()> {
        self.change("a mended file", |wanted| {
            wanted.servers.insert("rs1", 2);
        })?;
        self.check("a mended file", [0, 0])?;
        ensure!(self.last[0].configuration.failure.is_none());
        ensure!(self.weights()? == [2, 1], "{:?}", self.last[0].services);
        Ok(())
    }

    /// Of the real servers in the master's first service.
    fn weights(&self) -> Result<Vec<u32>> {
        let service = self.last[0].services.first().context("no service")?;
        Ok(service.servers.iter().map(|server| server.weight).collect())
    }

    fn wait_master(&self, place: usize) -> Result<()> {
        let nodes = [&self.pair.first, &self.pair.second];
        nodes[place].wait_held(VIP)?;
        nodes[1 - place].wait_released(VIP)
    }
}

/// Puts another file into force and waits for it.
fn reload(daemon: &mut Daemon, text: &str) -> Result<()> {
    let reloads = daemon.status()?.configuration.reloads;
    daemon.reload(text)?;
    let director = daemon.director().context("it is xlvs")?;
    let is_taken = |status: &Status| status.configuration.reloads > reloads;
    director.wait_status("the reload", TAKEOVER, is_taken).map(drop)
}

/// How often a virtual router has entered another state.
fn transitions(log: &str) -> usize {
    let enters =
        |line: &&str| ["MASTER", "BACKUP", "FAULT"].iter().any(|to| line.contains(&format!(" is {to}: ")));
    log.lines().filter(enters).count()
}

fn instance(status: &Status) -> Result<&Instance> {
    status.instances.iter().find(|instance| instance.name == VirtualRouter::NAME).context("no instance")
}

/// What a configuration decides, without what is counted.
fn in_force(status: &Status) -> Result<String> {
    let servers = |service: &Service| -> Vec<_> {
        service.servers.iter().map(|server| (server.address, server.weight, server.eligible)).collect()
    };
    let services: Vec<_> =
        status.services.iter().map(|service| (service.address, service.port, servers(service))).collect();
    let Instance { state, priority, addresses, .. } = instance(status)?;
    Ok(format!("{services:?} {state} {priority} {addresses:?}"))
}

/// Everything that is counted in both has not become less.
fn ensure_counted_on(was: &Status, is: &Status) -> Result<()> {
    ensure!(is.pid == was.pid && is.configuration.reloads >= was.configuration.reloads);
    for old in &was.services {
        let key = |service: &Service| (service.address, service.port, service.protocol.clone());
        let new = is.services.iter().find(|new| key(new) == key(old)).context("a service is gone")?;
        let counts = |service: &Service| [service.connections, service.packets, service.bytes];
        ensure_not_less(&counts(old), &counts(new)).with_context(|| format!("{old:?}, then {new:?}"))?;
        for server in &old.servers {
            let Some(new) = new.servers.iter().find(|new| new.address == server.address) else { continue };
            let counts = |server: &Server| [server.connections, server.packets, server.bytes];
            ensure_not_less(&counts(server), &counts(new))
                .with_context(|| format!("{server:?}, then {new:?}"))?;
        }
    }
    for (name, count) in &was.counters {
        ensure!(is.counters[name] >= *count, "{name} was {count}, is {}", is.counters[name]);
    }
    let (old, new) = (instance(was)?, instance(is)?);
    let counts = |instance: &Instance| {
        let refused: u64 = instance.adverts_refused.values().sum();
        [instance.masterships, instance.adverts_sent, instance.adverts_received, refused]
    };
    ensure_not_less(&counts(old), &counts(new)).with_context(|| format!("{old:?}, then {new:?}"))
}

fn ensure_not_less(was: &[u64], is: &[u64]) -> Result<()> {
    ensure!(was.iter().zip(is).all(|(was, is)| is >= was), "a count went back");
    Ok(())
}

/// The real servers, with both addresses, the web and the names.
fn start_servers(site: &mut Site) -> Result<Vec<(Arc<Node>, Nginx, UdpEcho)>> {
    let start = |&(name, own): &(&str, Ipv4Addr)| {
        let node = site.host(name, INTERFACE, &[&format!("{own}/24")])?;
        let web = node.serve(&[VIP, MORE])?;
        let names = UdpEcho::start(node.netns(), (VIP, DNS), name)?;
        Ok((node, web, names))
    };
    SERVERS.iter().map(start).collect()
}

#[test]
fn no_change_of_two_directors_costs_a_request() -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let _servers = start_servers(site)?;
        let wanted = Wanted {
            priority: HIGHER,
            servers: BTreeMap::from([("rs1", 1), ("rs2", 1)]),
            has_dns: false,
            addresses: vec![VIP],
        };
        let [first, second] = wanted.texts();
        let first = Xlvs.start(&pair.first, &first)?;
        pair.first.wait_held(VIP)?;
        let second = Xlvs.start(&pair.second, &second)?;
        // As backup, and before that the first as backup and as master.
        let transitions = [2, 1];
        let is_heard = |status: &Status| instance(status).is_ok_and(|router| router.master.is_some());
        let director = second.director().context("it is xlvs")?;
        director.wait_status("the second to hear its master", TAKEOVER, is_heard)?;
        let last = [first.status()?, second.status()?];
        Load::during(pair.client.netns(), (VIP, WEB).into(), |load| {
            let daemons = [first, second];
            let mut run = Run { pair: &pair, load, wanted, daemons, last, transitions, lost: 0 };
            run.check("before any change", [0, 0])?;
            let begin = std::time::Instant::now();
            run.add_a_server()?;
            run.remove_a_server()?;
            run.change_a_weight()?;
            run.add_a_service()?;
            run.change_the_priority()?;
            run.add_an_address()?;
            run.break_the_file()?;
            run.mend_the_file()?;
            let (answers, took) = (load.answers().values().sum::<usize>(), begin.elapsed());
            eprintln!("{answers} requests, {took:?} since the first change, {} lost", run.lost);
            ensure!(took < Duration::from_mins(2), "it took {took:?}");
            Ok(())
        })
    })
}
