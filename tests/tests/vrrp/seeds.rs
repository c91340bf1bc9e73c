//! The example configurations as they are, between a client and real servers: the address floats and comes back, and
//! requests go on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use lb_tests::daemon::Daemon;
use lb_tests::forge::{Forged, GROUP};
use lb_tests::nginx::Nginx;
use lb_tests::node::Node;
use lb_tests::probe::Probe;
use lb_tests::requests::Requests;
use lb_tests::sender::Sender;
use lb_tests::switch::Link;
use lb_tests::wait::TAKEOVER;
use lb_tests::{Site, wait, with_site};

use crate::pair::SLACK;

/// Enough for a checker with its retries to take a real server out or in.
const CHECKED: Duration = Duration::from_mins(1);
const SECOND: Duration = Duration::from_secs(1);

macro_rules! seed {
    ($name:literal) => {
        include_str!(concat!("../../../lb-userspace/tests/fixtures/seeds/", $name))
    };
}

/// Waits until the last twenty requests were answered by exactly these servers.
pub(crate) fn wait_served_by(requests: &Requests, names: &[&str]) -> Result<()> {
    wait::until(&format!("only {names:?} to answer"), CHECKED, || {
        let answers = requests.answers();
        let last = &answers[answers.len().saturating_sub(20)..];
        let all_known = last.iter().all(|answer| names.contains(&&*answer.from));
        let all_seen = names.iter().all(|name| last.iter().any(|answer| answer.from == *name));
        Ok(if last.len() == 20 && all_known && all_seen {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(format!("{:?}", last.iter().map(|answer| &answer.from).collect::<Vec<_>>()))
        })
    })
}

/// Takes the host off the network together with its daemon.
fn power_off(site: &Site, node: &Node, daemon: &mut Daemon) -> Result<()> {
    daemon.kill()?;
    site.set_link(node, Link::Down)
}

fn power_on(site: &Site, node: &Node, daemon: &mut Daemon) -> Result<()> {
    site.set_link(node, Link::Up)?;
    daemon.restart()
}

#[test]
fn seed_000_requests_go_on_when_the_master_goes_and_a_dead_server_leaves() -> Result<()> {
    let vip = IpAddr::from([192, 168, 56, 200]);
    let service = IpAddr::from([192, 168, 213, 200]);
    with_site(|site| {
        let dr1 = site.director("dr1", "ens33", &["192.168.56.11/24", "192.168.213.11/24"])?;
        let dr2 = site.director("dr2", "ens33", &["192.168.56.12/24", "192.168.213.12/24"])?;
        let client = site.host("client", "ens33", &["192.168.56.9/24"])?;
        // The service's address is none that floats: it is reached through the one that does.
        client.run(&["ip", "route", "add", &service.to_string(), "via", &vip.to_string()])?;
        let mut web = Vec::new();
        for (name, address) in [("rs102", "192.168.213.102/24"), ("rs103", "192.168.213.103/24")] {
            let server = site.host(name, "ens33", &[address])?;
            server.run(&["ip", "route", "add", "192.168.56.0/24", "dev", "ens33"])?;
            web.push((server.serve(&[service])?, server));
        }
        let mut master = dr1.xlvs(seed!("000-master.conf"))?;
        dr1.wait_held(vip)?;
        let _backup = dr2.xlvs(seed!("000-backup.conf"))?;
        let requests = Requests::start(client.netns(), SocketAddr::new(service, 80))?;
        wait_served_by(&requests, &["rs102", "rs103"])?;

        let probe = Probe::start(client.netns(), vip)?;
        power_off(site, &dr1, &mut master)?;
        dr2.wait_held(vip)?;
        requests.wait_answers(20, TAKEOVER)?;
        let gap = probe.longest_gap()?;
        ensure!(gap < 3 * SECOND + SECOND * 206 / 256 + SLACK, "a gap of {gap:?}");

        power_on(site, &dr1, &mut master)?;
        dr1.wait_held(vip)?;
        dr2.wait_released(vip)?;
        requests.wait_answers(20, TAKEOVER)?;

        web[0].0.stop()?;
        wait_served_by(&requests, &["rs103"])?;
        let (nginx, server) = &mut web[0];
        nginx.start(server.netns())?;
        wait_served_by(&requests, &["rs102", "rs103"])
    })
}

#[test]
fn seed_001_each_director_has_its_own_server_and_a_foreign_group_changes_nothing() -> Result<()> {
    let vip = IpAddr::from([192, 168, 2, 150]);
    with_site(|site| {
        let dr1 = site.director("dr1", "eth0", &["192.168.2.11/24"])?;
        let dr2 = site.director("dr2", "eth0", &["192.168.2.12/24"])?;
        let client = site.host("client", "eth0", &["192.168.2.9/24"])?;
        let foreign = site.host("foreign", "eth0", &["192.168.2.66/24"])?;
        let _rs90 = site.host("rs90", "eth0", &["192.168.2.90/24"])?.serve(&[vip])?;
        let _rs92 = site.host("rs92", "eth0", &["192.168.2.92/24"])?.serve(&[vip])?;
        let capture = site.capture(&[&dr1, &dr2])?;
        let mut master = dr1.xlvs(seed!("001-master.conf"))?;
        dr1.wait_held(vip)?;
        let _backup = dr2.xlvs(seed!("001-backup.conf"))?;
        let requests = Requests::start(client.netns(), SocketAddr::new(vip, 80))?;
        wait_served_by(&requests, &["rs90"])?;

        let probe = Probe::start(client.netns(), vip)?;
        power_off(site, &dr1, &mut master)?;
        wait_served_by(&requests, &["rs92"])?;
        let gap = probe.longest_gap()?;
        ensure!(gap < 3 * SECOND + SECOND * 166 / 256 + SLACK, "a gap of {gap:?}");
        power_on(site, &dr1, &mut master)?;
        dr1.wait_held(vip)?;
        dr2.wait_released(vip)?;
        wait_served_by(&requests, &["rs90"])?;

        let advert = Forged {
            mac: foreign.mac()?,
            source: Ipv4Addr::new(192, 168, 2, 66),
            group: GROUP,
            ttl: 255,
            version: 2,
            vrid: 51,
            priority: 200,
            interval: 1,
            password: Some(*b"1111\0\0\0\0"),
            addresses: vec![Ipv4Addr::new(192, 168, 2, 200), Ipv4Addr::new(192, 168, 2, 201)],
            checksum_error: 0,
        };
        let frame = advert.frame();
        let begun = SystemTime::now();
        let sender = Sender::start(foreign.netns(), "eth0", SECOND / 10, move |_| vec![frame.clone()])?;
        capture.wait_adverts(&dr1, begun, 6)?;
        ensure!(sender.finish()?.frames > 20);
        ensure!(dr1.holds(vip)?);
        let other = capture.adverts(&dr2)?;
        ensure!(other.iter().all(|(at, _)| *at < begun), "the backup sent {other:?}");
        requests.wait_answers(20, TAKEOVER)
    })
}

/// The three nodes of example 004, each director and real server.
struct Cluster {
    nodes: Vec<Arc<Node>>,
    web: Vec<Nginx>,
    daemons: Vec<Daemon>,
    client: Arc<Node>,
}

impl Cluster {
    fn start(site: &mut Site, configs: &[&str], vips: &[IpAddr]) -> Result<Self> {
        let client = site.host("client", "ens33", &["192.168.189.9/24"])?;
        let mut all = Self { nodes: Vec::new(), web: Vec::new(), daemons: Vec::new(), client };
        for number in 0..configs.len() {
            let address = format!("192.168.189.{}/24", 135 + number);
            let node = site.director(&format!("node{}", number + 1), "ens33", &[&address])?;
            all.web.push(node.serve(vips)?);
            all.nodes.push(node);
        }
        for (node, config) in all.nodes.iter().zip(configs) {
            all.daemons.push(node.xlvs(config)?);
        }
        Ok(all)
    }

    fn stop(&mut self, number: usize) -> Result<()> {
        self.daemons[number].stop_clean()?;
        self.web[number].stop()
    }

    fn go_on(&mut self, number: usize) -> Result<()> {
        self.web[number].start(self.nodes[number].netns())?;
        self.daemons[number].restart()
    }
}

#[test]
fn seed_004_two_of_three_nodes_stop_and_service_goes_on() -> Result<()> {
    let vip = IpAddr::from([192, 168, 189, 100]);
    let configs = [seed!("004-node1.conf"), seed!("004-node2.conf"), seed!("004-node3.conf")];
    with_site(|site| {
        let mut all = Cluster::start(site, &configs, &[vip])?;
        let [node1, node2, node3] = [0, 1, 2].map(|number| Arc::clone(&all.nodes[number]));
        node1.wait_held(vip)?;
        let capture = site.capture(&[&node2, &node3])?;
        let requests = Requests::start(all.client.netns(), SocketAddr::new(vip, 80))?;
        requests.wait_answers(200, TAKEOVER)?;
        let balanced_again = capture.frames()?.into_iter().find(|frame| {
            frame.packet().is_some_and(|packet| packet.destination == vip && packet.protocol == 6)
        });
        ensure!(balanced_again.is_none(), "a backup balanced {balanced_again:?}");
        drop(capture);

        all.stop(0)?;
        node2.wait_held(vip)?;
        requests.wait_answers(100, CHECKED)?;
        all.stop(1)?;
        node3.wait_held(vip)?;
        wait_served_by(&requests, &["node3"])?;
        requests.wait_answers(100, CHECKED)?;

        all.go_on(0)?;
        node1.wait_held(vip)?;
        node3.wait_released(vip)?;
        requests.wait_answers(100, CHECKED)
    })
}

#[test]
fn seed_004_both_nodes_of_a_pair_carry_traffic_and_each_follows_the_other() -> Result<()> {
    let vips = [IpAddr::from([192, 168, 189, 100]), IpAddr::from([192, 168, 189, 101])];
    let first = seed!("004-multi-master.conf");
    let swap = |text: &str, [a, b]: [&str; 2]| text.replace(a, "\0").replace(b, a).replace('\0', b);
    let second = swap(&swap(first, ["MASTER", "BACKUP"]), ["priority 100", "priority 90"]);
    with_site(|site| {
        let mut all = Cluster::start(site, &[first, &second], &vips)?;
        let [node1, node2] = [0, 1].map(|number| Arc::clone(&all.nodes[number]));
        node1.wait_held(vips[0])?;
        node2.wait_held(vips[1])?;
        node2.wait_released(vips[0])?;
        node1.wait_released(vips[1])?;
        let mut requests = Vec::new();
        for vip in vips {
            requests.push(Requests::start(all.client.netns(), SocketAddr::new(vip, 80))?);
        }
        for requests in &requests {
            wait_served_by(requests, &["node1", "node2"])?;
        }
        for (daemon, own) in all.daemons.iter().zip(vips) {
            let services = daemon.status()?.services;
            assert_eq!(services.len(), vips.len());
            for service in services {
                let is_own = service.address == own;
                assert_eq!((service.active, service.packets > 0), (is_own, is_own), "{service:?}");
            }
        }

        all.daemons[0].kill()?;
        node2.wait_held(vips[0])?;
        ensure!(node2.holds(vips[1])?);
        for requests in &requests {
            requests.wait_answers(50, TAKEOVER)?;
        }
        all.daemons[0].restart()?;
        node2.wait_released(vips[0])?;
        ensure!(node1.holds(vips[0])? && node2.holds(vips[1])?);
        for requests in &requests {
            requests.wait_answers(50, TAKEOVER)?;
        }
        Ok(())
    })
}
