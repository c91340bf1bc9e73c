//! A master that hangs or dies while its links stay up does not forward beside its follower.
//!
//! Every datagram is sent twice, once to each director's MAC address, as a switch floods it: whoever may forward it
//! does. What leaves towards the real server is seen on the switch.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use lb_tests::capture::Capture;
use lb_tests::config::{Protocol, VirtualRouter, VirtualServer};
use lb_tests::daemon::Daemon;
use lb_tests::echo::UdpEcho;
use lb_tests::forge::datagram;
use lb_tests::frame::{Frame, Mac};
use lb_tests::node::Node;
use lb_tests::requests::Requests;
use lb_tests::sender::Sender;
use lb_tests::wait::TAKEOVER;
use lb_tests::{Site, with_site};

use crate::pair::{INTERFACE, Pair, Program, SLACK, VIP, router};

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 11);
const DNS: u16 = 53;
const UDP: u8 = 17;
/// Of the backup.
const LOWER: u8 = 90;

/// How often adverts are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beat {
    EverySecond,
    TenASecond,
}

impl Beat {
    fn interval(self) -> Duration {
        Duration::from_millis(if self == Self::EverySecond { 1000 } else { 100 })
    }

    fn config(self, priority: u8, more: &str) -> String {
        let router = match self {
            Self::EverySecond => router(priority),
            Self::TenASecond => router(priority).version3("0.1"),
        };
        let udp = VirtualServer::new(SERVICE, DNS, Protocol::Udp, "rr").unchecked(SERVER, 1);
        let tcp = VirtualServer::new(SERVICE, 80, Protocol::Tcp, "rr").unchecked(SERVER, 1);
        format!("{}{udp}{tcp}", router.line(more))
    }
}

/// Two directors that run `xlvs`, a real server behind them, and datagrams to both.
struct Fenced {
    beat: Beat,
    pair: Pair,
    capture: Capture,
    first: Daemon,
    _second: Daemon,
    server: Mac,
    _server: (Arc<Node>, UdpEcho, lb_tests::nginx::Nginx),
    requests: Requests,
    sender: Sender,
}

impl Fenced {
    fn start(site: &mut Site, beat: Beat, more: &str) -> Result<Self> {
        let pair = Pair::plug(site)?;
        let server = site.host("rs1", INTERFACE, &[&format!("{SERVER}/24")])?;
        let web = server.serve(&[VIP])?;
        let echo = UdpEcho::start(server.netns(), SocketAddrV4::new(SERVICE, DNS), "rs1")?;
        let capture = pair.capture(site)?;
        let first = Program::Xlvs.start(&pair.first, &beat.config(100, more))?;
        pair.first.wait_held(VIP)?;
        let second = Program::Xlvs.start(&pair.second, &beat.config(LOWER, more))?;
        let requests = Requests::start(pair.client.netns(), (VIP, 80).into())?;
        let sender = send_to_both(&pair)?;
        let mac = server.mac()?;
        let all = Self {
            beat,
            pair,
            capture,
            first,
            _second: second,
            server: mac,
            _server: (server, echo, web),
            requests,
            sender,
        };
        all.wait_forwarded(&all.pair.first, SystemTime::now())?;
        // The backup has heard the master when that lasts for longer than it would wait.
        all.capture.wait_adverts(&all.pair.first, SystemTime::now(), 5)?;
        ensure!(all.forwarded(&all.pair.second)?.is_empty(), "the backup forwards");
        Ok(all)
    }

    /// What `node` has forwarded to the real server, by time.
    fn forwarded(&self, node: &Node) -> Result<Vec<Frame>> {
        let mut frames = self.capture.frames()?;
        frames.retain(|frame| frame.is_from(node) && self.is_forwarded(frame));
        Ok(frames)
    }

    fn is_forwarded(&self, frame: &Frame) -> bool {
        let forwarded = frame.packet().is_some_and(|packet| {
            packet.destination == VIP && (packet.protocol == UDP || packet.protocol == 6)
        });
        forwarded && frame.destination_mac() == Some(self.server)
    }

    fn wait_forwarded(&self, node: &Node, since: SystemTime) -> Result<Frame> {
        let what = format!("{} to forward", node.name());
        self.capture.wait_for(&what, TAKEOVER, since, |frame| frame.is_from(node) && self.is_forwarded(frame))
    }

    /// After the first director was hit: the second follows, and only when the first has ended. Says when.
    fn follows(&self, hit: SystemTime) -> Result<SystemTime> {
        self.wait_forwarded(&self.pair.second, hit)?;
        self.requests.wait_answers(10, TAKEOVER)?;
        let last = self.forwarded(&self.pair.first)?.last().context("the first never forwarded")?.at;
        let begins = self.forwarded(&self.pair.second)?.first().context("the second never forwarded")?.at;
        let gap = begins.duration_since(last).context("both forwarded")?;
        // The lease ends three intervals after the last advert, the down timer the skew later.
        let skew = self.beat.interval() * (256 - u32::from(LOWER)) / 256;
        ensure!(gap < skew + SLACK, "nobody forwarded for {gap:?}");
        let adverts = self.capture.adverts(&self.pair.first)?;
        let (sent, _) = adverts.last().context("the first never sent")?;
        let leased = last.duration_since(*sent).unwrap_or_default();
        ensure!(leased < 3 * self.beat.interval() + SLACK, "it forwarded for {leased:?} without an advert");
        Ok(begins)
    }
}

/// Sends a datagram of one long flow and one of a new flow to both directors every millisecond.
fn send_to_both(pair: &Pair) -> Result<Sender> {
    let (own, directors) = (pair.other.mac()?, [pair.first.mac()?, pair.second.mac()?]);
    let target = SocketAddrV4::new(SERVICE, DNS);
    let source = |port| SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 66), port);
    Sender::start(pair.other.netns(), INTERFACE, Duration::from_millis(1), move |beat| {
        let ports = [9, 10_000 + (beat % 50_000) as u16];
        let flows = ports.iter().flat_map(|&port| directors.map(|director| (port, director)));
        flows
            .map(|(port, director)| datagram(director, own, source(port), target, &beat.to_be_bytes()))
            .collect()
    })
}

/// A frozen master is followed; when it runs on it is backup, and the master stays.
fn frozen_and_thawed(beat: Beat) -> Result<()> {
    with_site(|site| {
        let fenced = Fenced::start(site, beat, "state BACKUP\nnopreempt")?;
        let hit = SystemTime::now();
        fenced.first.freeze()?;
        let followed = fenced.follows(hit)?;

        let resumed = SystemTime::now();
        fenced.first.resume()?;
        fenced.pair.first.wait_released(VIP)?;
        assert_eq!(fenced.first.instance(VirtualRouter::NAME)?.state, "BACKUP");
        fenced.capture.wait_adverts(&fenced.pair.second, resumed, 8)?;
        let sent = fenced.capture.adverts(&fenced.pair.first)?;
        ensure!(sent.iter().all(|(at, _)| *at < resumed), "it sent {sent:?} on old state");
        ensure!(fenced.forwarded(&fenced.pair.first)?.iter().all(|frame| frame.at < followed));
        let kept = fenced.capture.adverts(&fenced.pair.second)?;
        ensure!(kept.iter().all(|(_, advert)| advert.priority == LOWER));
        ensure!(fenced.pair.second.holds(VIP)?);
        fenced.requests.wait_answers(10, TAKEOVER)?;
        fenced.sender.finish().map(drop)
    })
}

#[test]
fn a_frozen_master_forwards_nothing_beside_its_follower() -> Result<()> {
    frozen_and_thawed(Beat::EverySecond)
}

#[test]
fn a_frozen_master_forwards_nothing_beside_its_follower_ten_times_a_second() -> Result<()> {
    frozen_and_thawed(Beat::TenASecond)
}

#[test]
fn a_frozen_master_that_preempts_is_backup_first() -> Result<()> {
    with_site(|site| {
        let fenced = Fenced::start(site, Beat::TenASecond, "")?;
        let hit = SystemTime::now();
        fenced.first.freeze()?;
        let followed = fenced.follows(hit)?;
        fenced.pair.second.wait_held(VIP)?;

        let resumed = SystemTime::now();
        fenced.first.resume()?;
        let returned = fenced.capture.wait_advert(&fenced.pair.first, resumed, |_| true)?;
        let waited = returned.duration_since(resumed)?;
        ensure!(waited >= 3 * Beat::TenASecond.interval(), "it preempted after {waited:?}");
        fenced.pair.first.wait_held(VIP)?;
        fenced.pair.second.wait_released(VIP)?;
        fenced.wait_forwarded(&fenced.pair.first, returned)?;
        let early = fenced.forwarded(&fenced.pair.first)?;
        ensure!(early.iter().all(|frame| frame.at < followed || frame.at >= returned), "before its advert");
        fenced.requests.wait_answers(10, TAKEOVER)?;
        fenced.sender.finish().map(drop)
    })
}

fn killed_and_restarted(beat: Beat) -> Result<()> {
    with_site(|site| {
        let mut fenced = Fenced::start(site, beat, "state BACKUP\nnopreempt")?;
        let hit = SystemTime::now();
        fenced.first.kill()?;
        let followed = fenced.follows(hit)?;
        ensure!(fenced.pair.first.holds(IpAddr::V4(SERVICE))?, "who is killed takes nothing away");

        let restarted = SystemTime::now();
        fenced.first.restart()?;
        fenced.pair.first.wait_released(VIP)?;
        fenced.capture.wait_adverts(&fenced.pair.second, restarted, 8)?;
        let sent = fenced.capture.adverts(&fenced.pair.first)?;
        ensure!(sent.iter().all(|(at, _)| *at < hit + SLACK), "it sent {sent:?}");
        ensure!(fenced.forwarded(&fenced.pair.first)?.iter().all(|frame| frame.at < followed));
        fenced.requests.wait_answers(10, TAKEOVER)?;
        fenced.sender.finish().map(drop)
    })
}

#[test]
fn a_killed_master_forwards_nothing_beside_its_follower() -> Result<()> {
    killed_and_restarted(Beat::EverySecond)
}

#[test]
fn a_killed_master_forwards_nothing_beside_its_follower_ten_times_a_second() -> Result<()> {
    killed_and_restarted(Beat::TenASecond)
}
