//! A configuration that is read again while the virtual routers run, with keepalived as the other director.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;
use std::time::SystemTime;

use anyhow::{Result, ensure};
use lb_tests::capture::Capture;
use lb_tests::config::VirtualRouter;
use lb_tests::daemon::Daemon;
use lb_tests::frame::Frame;
use lb_tests::node::Node;
use lb_tests::requests::Requests;
use lb_tests::wait::{self, TAKEOVER};
use lb_tests::{Site, with_site};

use crate::pair::Program::{Keepalived, Xlvs};
use crate::pair::{INTERFACE, Pair, SLACK, VIP, VRID, router};

const MORE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 101));
const IGMP: u8 = 2;

/// `xlvs` is master with priority 100, and keepalived backup with 90.
struct Running {
    pair: Pair,
    capture: Capture,
    first: Daemon,
    second: Daemon,
}

impl Running {
    fn start(site: &mut Site, config: impl Fn(u8) -> String) -> Result<Self> {
        let pair = Pair::plug(site)?;
        let first = Xlvs.start(&pair.first, &config(100))?;
        pair.first.wait_held(VIP)?;
        let capture = pair.capture(site)?;
        let second = Keepalived.start(&pair.second, &config(90))?;
        // It hears its master then.
        capture.wait_adverts(&pair.first, SystemTime::now(), 5)?;
        capture.clear();
        Ok(Self { pair, capture, first, second })
    }

    /// `xlvs` was the only master, and gave nothing away.
    fn ensure_undisturbed(&self) -> Result<()> {
        let foreign = self.capture.adverts(&self.pair.second)?;
        ensure!(foreign.is_empty(), "keepalived sent {foreign:?}");
        let given_away = |(_, advert): &(_, lb_tests::frame::Advert)| advert.priority == 0;
        ensure!(!self.capture.adverts(&self.pair.first)?.iter().any(given_away), "{}", self.first.log());
        let masterships = self.first.instance(VirtualRouter::NAME)?.masterships;
        ensure!(masterships == 1, "it became master {masterships} times: {}", self.first.log());
        Ok(())
    }
}

/// Both virtual routers, of which the one in front has another address. They announce nothing again later.
fn two(priority: u8) -> String {
    let other = VirtualRouter::new(INTERFACE, VRID + 1, priority, &MORE.to_string());
    let once = |router: VirtualRouter| router.line("garp_master_delay 0");
    format!("{}{}", once(other.named("VI_2")), once(router(priority)))
}

fn is_igmp(frame: &Frame) -> bool {
    frame.packet().is_some_and(|packet| packet.protocol == IGMP)
}

/// Waits for an advert of this priority that was sent from now on.
fn wait_priority(capture: &Capture, node: &Node, priority: u8) -> Result<()> {
    capture.wait_advert(node, SystemTime::now(), |advert| advert.priority == priority).map(drop)
}

#[test]
fn what_is_the_same_does_not_notice() -> Result<()> {
    with_site(|site| {
        let mut running = Running::start(site, two)?;
        // As master that host answers for itself.
        let _web = running.pair.first.serve(&[])?;
        let requests = Requests::start(running.pair.client.netns(), (VIP, 80).into())?;
        requests.wait_answers(50, TAKEOVER)?;
        running.capture.clear();
        for _ in 0..3 {
            running.first.reload(&format!("! read again\n{}", two(100)))?;
            running.capture.wait_adverts(&running.pair.first, SystemTime::now(), 2)?;
        }
        let frames = running.capture.frames()?;
        let stirs = |frame: &&Frame| is_igmp(frame) || frame.announces().is_some();
        let stirred: Vec<_> =
            frames.iter().filter(|frame| frame.is_from(&running.pair.first)).filter(stirs).collect();
        ensure!(stirred.is_empty(), "a reload of the same file told the network {stirred:?}");

        // That it was read at all.
        running.first.reload(&two(101))?;
        wait_priority(&running.capture, &running.pair.first, 101)?;
        running.ensure_undisturbed()?;
        let gap = requests.longest_gap()?;
        ensure!(gap < SLACK, "a gap of {gap:?}");
        Ok(())
    })
}

#[test]
fn addresses_come_and_go_and_those_that_stay_answer() -> Result<()> {
    with_site(|site| {
        let mut running = Running::start(site, |priority| router(priority).to_string())?;
        let _web = running.pair.first.serve(&[])?;
        let requests = Requests::start(running.pair.client.netns(), (VIP, 80).into())?;
        let more = |priority| router(priority).address(&MORE.to_string()).to_string();
        let told = SystemTime::now();
        // keepalived refuses adverts with other addresses than its own, and so has to be told in time.
        running.first.reload(&more(100))?;
        running.second.reload(&more(90))?;
        running.pair.first.wait_held(MORE)?;
        let what = format!("an announcement of {MORE}");
        running.capture.wait_for(&what, TAKEOVER, told, |frame| frame.announces() == Some(MORE))?;
        running.capture.wait_adverts(&running.pair.first, SystemTime::now(), 5)?;
        running.ensure_undisturbed()?;

        running.first.reload(&router(100).to_string())?;
        running.second.reload(&router(90).to_string())?;
        running.pair.first.wait_released(MORE)?;
        running.capture.wait_adverts(&running.pair.first, SystemTime::now(), 5)?;
        running.ensure_undisturbed()?;
        let gap = requests.longest_gap()?;
        ensure!(gap < SLACK, "a gap of {gap:?}");
        Ok(())
    })
}

#[test]
fn a_virtual_router_that_is_removed_goes_to_the_other_director_and_comes_back() -> Result<()> {
    with_site(|site| {
        let mut running = Running::start(site, two)?;
        running.pair.first.wait_held(MORE)?;
        let told = SystemTime::now();
        running.first.reload(&router(100).to_string())?;
        let sent = |vrid, priority| {
            move |advert: &lb_tests::frame::Advert| (advert.vrid, advert.priority) == (vrid, priority)
        };
        running.capture.wait_advert(&running.pair.first, told, sent(VRID + 1, 0))?;
        running.capture.wait_advert(&running.pair.second, told, sent(VRID + 1, 90))?;
        running.pair.first.wait_released(MORE)?;
        running.pair.second.wait_held(MORE)?;
        ensure!(running.pair.first.holds(VIP)?, "{VIP} belongs to the other");
        let only = running.first.status()?.instances;
        ensure!(only.len() == 1 && only[0].masterships == 1, "{only:?}");

        running.first.reload(&two(100))?;
        running.pair.first.wait_held(MORE)?;
        running.pair.second.wait_released(MORE)?;
        let adverts = running.capture.adverts(&running.pair.second)?;
        ensure!(adverts.iter().all(|(_, advert)| advert.vrid != VRID), "{adverts:?}");
        Ok(())
    })
}

#[test]
fn a_backup_with_a_higher_priority_takes_over_and_one_with_a_lower_gives_way() -> Result<()> {
    with_site(|site| {
        let mut running = Running::start(site, |priority| router(priority).to_string())?;
        running.first.reload(&router(80).to_string())?;
        running.pair.second.wait_held(VIP)?;
        running.pair.first.wait_released(VIP)?;
        running.first.reload(&router(120).to_string())?;
        running.pair.first.wait_held(VIP)?;
        running.pair.second.wait_released(VIP)
    })
}

/// Waits until the address is on this interface and the other one is gone.
fn wait_moved(node: &Node, to: &str, gone: &str) -> Result<()> {
    wait::until(&format!("{VIP} on {to} and no {gone}"), TAKEOVER, || {
        let (there, left) = (node.addresses(to).unwrap_or_default(), node.addresses(gone));
        let is_moved = there.contains(&VIP) && left.is_err();
        Ok(if is_moved {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(format!("{there:?} {left:?}"))
        })
    })
}

#[test]
fn one_that_is_another_now_ends_with_its_virtual_interface_before_the_next_begins() -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let config = |vrid: u8, lines: &[&str]| {
            let new = VirtualRouter::new(INTERFACE, vrid, 100, &VIP.to_string()).version3("0.1");
            lines.iter().fold(new, |router, line| router.line(line)).to_string()
        };
        let mut daemon = Xlvs.start(&pair.first, &config(VRID, &["use_vmac"]))?;
        wait_moved(&pair.first, "vrrp.51", "vrrp.52")?;
        let capture = pair.capture(site)?;
        daemon.reload(&config(VRID + 1, &["use_vmac"]))?;
        wait_moved(&pair.first, "vrrp.52", "vrrp.51")?;
        let adverts = capture.adverts(&pair.first)?;
        let ended = adverts.iter().rposition(|(_, advert)| advert.vrid == VRID);
        let began = adverts.iter().position(|(_, advert)| advert.vrid == VRID + 1);
        let last = ended.and_then(|place| adverts.get(place)).map(|(_, advert)| advert.priority);
        ensure!(last == Some(0) && ended < began, "{adverts:?}");

        daemon.reload(&config(VRID + 1, &["use_vmac v"]))?;
        wait_moved(&pair.first, "v", "vrrp.52")?;
        daemon.reload(&config(VRID + 1, &[]))?;
        wait_moved(&pair.first, INTERFACE, "v")?;
        daemon.stop_clean()
    })
}

#[test]
fn a_file_that_is_wrong_changes_nothing() -> Result<()> {
    with_site(|site| {
        let mut running = Running::start(site, |priority| router(priority).to_string())?;
        running.first.reload(&router(100).line("priority many").to_string())?;
        wait::until("the error", TAKEOVER, || {
            let log = running.first.log();
            let said =
                log.lines().any(|line| line.contains("the reload failed") && line.contains("stays in force"));
            Ok(if said { ControlFlow::Break(()) } else { ControlFlow::Continue(log) })
        })?;
        running.capture.wait_adverts(&running.pair.first, SystemTime::now(), 3)?;
        running.ensure_undisturbed()
    })
}
