//! The rig of the failover bench: two directors, a client and two real servers on one switch, and a single measurement.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use lb_tests::Site;
use lb_tests::capture::Capture;
use lb_tests::config::{Protocol, VirtualRouter, VirtualServer};
use lb_tests::daemon::Daemon;
use lb_tests::echo::UdpEcho;
use lb_tests::frame::Frame;
use lb_tests::node::Node;
use lb_tests::probe::Probe;
use lb_tests::switch::Link;
use lb_tests::wait::{self, TAKEOVER};

use super::plan::{Event, Setting, Subject};

const INTERFACE: &str = "eth0";
const VRID: u8 = 51;
const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 0, 11), Ipv4Addr::new(10, 77, 0, 12)];
const PORT: u16 = 5353;
/// Priorities of the master and its backup.
const PRIORITIES: [u8; 2] = [150, 100];
/// Answers after the takeover before the probe ends.
const AFTER: u32 = 20;

const ICMP: u8 = 1;
const ECHO_REPLY: u8 = 0;
const UDP: u8 = 17;

/// The hosts; the directors run nothing between measurements.
pub(super) struct Rig {
    directors: [Arc<Node>; 2],
    client: Arc<Node>,
    _servers: [(Arc<Node>, UdpEcho); 2],
}

/// What came of one measurement.
#[derive(Clone, Copy)]
pub(super) struct Figure {
    /// The longest time without an answer.
    pub(super) gap: Duration,
    /// From the master's last advert to the last answer before that, in seconds; negative if that came first.
    pub(super) began: f64,
    /// How late a request of the probe left at worst.
    pub(super) late: Duration,
    /// When the heir took the steps.
    pub(super) steps: Steps,
}

/// Times since the master's last advert; one of priority 0 counts.
#[derive(Clone, Copy)]
pub(super) struct Steps {
    /// The heir's first advert.
    pub(super) advert: Duration,
    /// Its first announcement of the address.
    pub(super) announced: Duration,
    /// The first answer that went through it.
    pub(super) answered: Duration,
}

impl Rig {
    pub(super) fn plug(site: &mut Site) -> Result<Self> {
        let directors = [
            site.director("dr1", INTERFACE, &["10.77.0.2/24"])?,
            site.director("dr2", INTERFACE, &["10.77.0.3/24"])?,
        ];
        let client = site.host("client", INTERFACE, &["10.77.0.9/24"])?;
        let mut server = |name: &str, address: Ipv4Addr| {
            let node = site.host(name, INTERFACE, &[&format!("{address}/24")])?;
            let echo = node.mirror(SocketAddr::from((VIP, PORT)))?;
            anyhow::Ok((node, echo))
        };
        let servers = [server("rs1", SERVERS[0])?, server("rs2", SERVERS[1])?];
        Ok(Self { directors, client, _servers: servers })
    }

    /// Starts a pair, lets `event` happen `phase` after an advert, and cleans up.
    pub(super) fn measure(
        &self,
        site: &Site,
        setting: Setting,
        event: Event,
        subject: Subject,
        phase: Duration,
    ) -> Result<Figure> {
        let [master, heir] = &self.directors;
        let capture = site.capture(&[master, heir])?;
        let mut first = start(master, setting, subject, PRIORITIES[0])?;
        let second = start(heir, setting, subject, PRIORITIES[1])?;
        master.wait_held(VIP.into())?;
        let probe = match subject {
            Subject::Xlvs | Subject::Keepalived => Probe::start(self.client.netns(), VIP.into())?,
            Subject::Datagrams => Probe::datagrams(self.client.netns(), SocketAddr::from((VIP, PORT)))?,
        };
        sleep_until(self.wait_settled(&capture, setting, phase)?);

        let begun = SystemTime::now();
        match event {
            Event::Killed => {
                site.set_link(master, Link::Down)?;
                first.kill()?;
            }
            Event::Stopped => first.stop_clean()?,
        }
        capture.wait_for("an answer through the heir", TAKEOVER, begun, |frame| answered_by(heir, frame))?;
        probe.wait_answers(AFTER, TAKEOVER)?;
        let outage = probe.finish_since(begun)?;
        let frames = capture.frames()?;

        drop((first, second, capture));
        for director in &self.directors {
            director.clear(VIP.into())?;
            site.set_link(director, Link::Up)?;
        }
        let last = self.last_advert(&frames, begun, event)?;
        Ok(Figure {
            gap: outage.longest,
            began: seconds_since(last, outage.began),
            late: outage.late,
            steps: self.steps(&frames, last)?,
        })
    }

    /// Waits until only the master has sent adverts for a while, and hands back what is `phase` after its last one, or
    /// after its next one where that has passed.
    fn wait_settled(&self, capture: &Capture, setting: Setting, phase: Duration) -> Result<SystemTime> {
        let [master, heir] = &self.directors;
        let quiet = match setting {
            Setting::Second => 1,
            Setting::Tenth => 5,
            Setting::Hundredth => 50,
        };
        let last = wait::until("the pair to settle", TAKEOVER, || {
            let mut adverts: Vec<Frame> = capture.frames()?;
            adverts.retain(|frame| frame.advert().is_some());
            let alone = adverts.iter().rev().take_while(|frame| !frame.is_from(heir)).count();
            Ok(match adverts.last() {
                Some(last) if alone >= quiet => ControlFlow::Break(last.at),
                _ => ControlFlow::Continue(format!("{alone} adverts of the master alone")),
            })
        })?;
        if last + phase > SystemTime::now() {
            return Ok(last + phase);
        }
        Ok(capture.wait_advert(master, last, |_| true)? + phase)
    }

    /// When the advert left from which the heir waits: the last that a dead master sent, or the first of priority 0, which
    /// a stopping one repeats for as long as nobody follows.
    fn last_advert(&self, frames: &[Frame], begun: SystemTime, event: Event) -> Result<SystemTime> {
        let [master, _] = &self.directors;
        let mut adverts = frames
            .iter()
            .filter(|frame| frame.is_from(master))
            .filter_map(|frame| Some((frame.at, frame.advert()?.priority)));
        let found = match event {
            Event::Killed => adverts.next_back(),
            Event::Stopped => adverts.find(|(at, priority)| *at > begun && *priority == 0),
        };
        found.map(|(at, _)| at).context("the master's last advert was not seen")
    }

    /// What the heir did after the master's last advert.
    fn steps(&self, frames: &[Frame], last: SystemTime) -> Result<Steps> {
        let [_, heir] = &self.directors;
        let step = |what: &str, wanted: &dyn Fn(&Frame) -> bool| {
            let mut sent = frames.iter().filter(|frame| frame.is_from(heir) && frame.at > last);
            let found =
                sent.find(|frame| wanted(frame)).with_context(|| format!("the heir sent no {what}"))?;
            Ok::<_, anyhow::Error>(found.at.duration_since(last)?)
        };
        Ok(Steps {
            advert: step("advert", &|frame| frame.advert().is_some())?,
            announced: step("announcement", &|frame| frame.announces() == Some(IpAddr::V4(VIP)))?,
            answered: step("answer", &|frame| answered_by(heir, frame))?,
        })
    }
}

fn start(node: &Node, setting: Setting, subject: Subject, priority: u8) -> Result<Daemon> {
    let router = setting.apply(VirtualRouter::new(INTERFACE, VRID, priority, &VIP.to_string()));
    match subject {
        Subject::Xlvs => node.xlvs(&router.to_string()),
        Subject::Keepalived => node.keepalived(&router.to_string()),
        Subject::Datagrams => {
            let empty = VirtualServer::new(VIP, PORT, Protocol::Udp, "rr");
            let service = SERVERS.iter().fold(empty, |service, server| service.unchecked(*server, 1));
            node.xlvs(&format!("{router}{service}"))
        }
    }
}

/// Whether the heir answers an echo, or hands a datagram on to a real server.
fn answered_by(heir: &Node, frame: &Frame) -> bool {
    let Some(packet) = frame.packet() else { return false };
    let vip = IpAddr::V4(VIP);
    frame.is_from(heir)
        && match packet.protocol {
            ICMP => packet.source == vip && packet.payload.first() == Some(&ECHO_REPLY),
            UDP => packet.destination == vip,
            _ => false,
        }
}

fn seconds_since(from: SystemTime, to: SystemTime) -> f64 {
    to.duration_since(from)
        .map_or_else(|before| -before.duration().as_secs_f64(), |after| after.as_secs_f64())
}

fn sleep_until(at: SystemTime) {
    std::thread::sleep(at.duration_since(SystemTime::now()).unwrap_or_default());
}
