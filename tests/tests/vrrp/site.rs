//! The site itself, with keepalived on both sides: what the other scenarios stand on is true.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::forge::{Forged, GROUP};
use lb_tests::probe::Probe;
use lb_tests::requests::Requests;
use lb_tests::sender::Sender;
use lb_tests::switch::Link;
use lb_tests::wait::TAKEOVER;
use lb_tests::{wait, with_site};

use crate::pair::{INTERFACE, Pair, Program, SLACK, VIP, VRID, router};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_higher_priority_is_elected_and_announced() -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let capture = pair.capture(site)?;
        let _second = Program::Keepalived.start(&pair.second, &router(90))?;
        pair.second.wait_held(VIP)?;
        let _first = Program::Keepalived.start(&pair.first, &router(100))?;
        pair.first.wait_held(VIP)?;
        pair.second.wait_released(VIP)?;

        let mut arp = capture.arp_for(VIP)?;
        arp.retain(|frame| frame.is_from(&pair.first));
        ensure!(!arp.is_empty(), "no gratuitous ARP");
        let mac = pair.first.mac()?;
        ensure!(arp.iter().all(|frame| frame.source_mac() == Some(mac)), "{arp:?}");
        let advert = capture.adverts(&pair.first)?.first().context("no advert")?.1;
        assert_eq!((advert.version, advert.vrid, advert.priority), (2, VRID, 100));
        assert_eq!(advert.source, IpAddr::from([10, 77, 0, 2]));
        assert_eq!(advert.destination, IpAddr::from(GROUP));
        Ok(())
    })
}

#[test]
fn a_dead_master_is_followed_within_the_time_of_the_protocol() -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let capture = pair.capture(site)?;
        let mut first = Program::Keepalived.start(&pair.first, &router(100))?;
        pair.first.wait_held(VIP)?;
        let _second = Program::Keepalived.start(&pair.second, &router(90))?;
        let probe = Probe::start(pair.client.netns(), VIP)?;

        let died = SystemTime::now();
        first.kill()?;
        site.set_link(&pair.first, Link::Down)?;
        pair.second.wait_held(VIP)?;
        ensure!(capture.adverts(&pair.first)?.iter().all(|(_, advert)| advert.priority == 100));
        ensure!(capture.arp_for(VIP)?.iter().any(|frame| frame.at > died && frame.is_from(&pair.second)));

        probe.wait_answers(10, TAKEOVER)?;
        let gap = probe.longest_gap()?;
        // Three intervals and the skew since the last advert, which may have left a whole interval before the death.
        ensure!(gap > 2 * SECOND && gap < 3 * SECOND + SECOND * 166 / 256 + SLACK, "a gap of {gap:?}");
        Ok(())
    })
}

#[test]
fn a_clean_stop_gives_the_mastership_away_and_a_restart_takes_it_back() -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let capture = pair.capture(site)?;
        let mut first = Program::Keepalived.start(&pair.first, &router(100))?;
        pair.first.wait_held(VIP)?;
        let _second = Program::Keepalived.start(&pair.second, &router(90))?;
        let probe = Probe::start(pair.client.netns(), VIP)?;

        let before = SystemTime::now();
        first.stop_clean()?;
        capture.wait_advert(&pair.first, before, |advert| advert.priority == 0)?;
        pair.second.wait_held(VIP)?;
        ensure!(!pair.first.holds(VIP)?);
        probe.wait_answers(10, TAKEOVER)?;
        let gap = probe.longest_gap()?;
        ensure!(gap < SECOND + SLACK, "a gap of {gap:?}");

        first.restart()?;
        pair.first.wait_held(VIP)?;
        pair.second.wait_released(VIP)
    })
}

#[test]
fn a_frozen_daemon_sends_nothing_until_it_is_resumed() -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let capture = pair.capture(site)?;
        let fast = |priority| router(priority).version3("0.1");
        let first = Program::Keepalived.start(&pair.first, &fast(100))?;
        pair.first.wait_held(VIP)?;
        let _second = Program::Keepalived.start(&pair.second, &fast(90))?;
        first.freeze()?;
        let frozen = SystemTime::now();
        capture.wait_advert(&pair.second, frozen, |advert| advert.priority == 90)?;
        ensure!(capture.adverts(&pair.first)?.iter().all(|(at, _)| *at < frozen));
        let resumed = SystemTime::now();
        first.resume()?;
        capture.wait_advert(&pair.first, resumed, |advert| advert.version == 3)?;
        pair.second.wait_released(VIP)
    })
}

#[test]
fn ipv6_routers_advertise_and_announce() -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let capture = pair.capture(site)?;
        let vip: IpAddr = "fd77::100".parse()?;
        let config = format!(
            "vrrp_instance VI_6 {{\ninterface {INTERFACE}\nversion 3\nadvert_int 0.1\nvirtual_router_id 6\n"
        ) + &format!("priority 100\nvirtual_ipaddress {{\nfe80::100\n{vip}\n}}\n}}\n");
        let _first = pair.first.keepalived(&config)?;
        pair.first.wait_held(vip)?;
        capture.wait_advert(&pair.first, SystemTime::UNIX_EPOCH, |advert| advert.source.is_ipv6())?;
        ensure!(!capture.arp_for(vip)?.is_empty(), "no neighbour advertisement");
        Probe::start(pair.client.netns(), vip)?.wait_answers(10, TAKEOVER)
    })
}

#[test]
fn a_forged_advert_is_believed_and_a_damaged_one_is_not() -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let capture = pair.capture(site)?;
        let _first = Program::Keepalived.start(&pair.first, &router(100))?;
        pair.first.wait_held(VIP)?;
        let right = Forged {
            mac: pair.other.mac()?,
            source: Ipv4Addr::new(10, 77, 0, 66),
            group: GROUP,
            ttl: 255,
            version: 2,
            vrid: VRID,
            priority: 200,
            interval: 1,
            password: None,
            addresses: vec![Ipv4Addr::new(10, 77, 0, 100)],
            checksum_error: 0,
        };
        let damaged = Forged { checksum_error: 1, ..right.clone() }.frame();
        // keepalived as master waits a whole interval after every packet, a damaged one too.
        let beat = SECOND * 3 / 2;
        let sender = Sender::start(pair.other.netns(), INTERFACE, beat, move |_| vec![damaged.clone()])?;
        for _ in 0..3 {
            capture.wait_advert(&pair.first, SystemTime::now(), |advert| advert.priority == 100)?;
        }
        ensure!(sender.finish()?.frames >= 2 && pair.first.holds(VIP)?);

        let frame = right.frame();
        let sender = Sender::start(pair.other.netns(), INTERFACE, SECOND / 2, move |_| vec![frame.clone()])?;
        pair.first.wait_released(VIP)?;
        sender.finish().map(drop)
    })
}

#[test]
fn the_sender_floods_ten_thousand_frames_a_second() -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let capture = site.capture(&[&pair.other])?;
        let frame = [&[0xff; 6][..], &pair.other.mac()?, &[0x88, 0xb5], &[0; 60]].concat();
        let beat = Duration::from_millis(1);
        let sender = Sender::start(pair.other.netns(), INTERFACE, beat, move |_| vec![frame.clone(); 12])?;
        wait::until("20000 frames", Duration::from_secs(4), || {
            let frames = capture.frames()?.len();
            Ok(if frames >= 20_000 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(format!("{frames} came"))
            })
        })?;
        let sent = sender.finish()?;
        ensure!(sent.rate() >= 10_000.0, "{} frames a second", sent.rate());
        Ok(())
    })
}

#[test]
fn xlvs_serves_a_client_from_hosts_of_the_site() -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let servers = [
            site.host("rs1", INTERFACE, &["10.77.0.11/24"])?,
            site.host("rs2", INTERFACE, &["10.77.0.12/24"])?,
        ];
        let _web = [servers[0].serve(&[VIP])?, servers[1].serve(&[VIP])?];
        let service = VirtualServer::new(Ipv4Addr::new(10, 77, 0, 100), 80, Protocol::Tcp, "rr")
            .checked(Ipv4Addr::new(10, 77, 0, 11), 1)
            .checked(Ipv4Addr::new(10, 77, 0, 12), 1);
        pair.first.netns().ip(&format!("addr add {VIP} dev {INTERFACE}"))?;
        let mut daemon = Program::Xlvs.start(&pair.first, &format!("{}{service}", router(100)))?;
        let requests = Requests::start(pair.client.netns(), SocketAddr::new(VIP, 80))?;
        requests.wait_answers(20, TAKEOVER)?;
        let answers = requests.answers();
        for server in ["rs1", "rs2"] {
            ensure!(answers.iter().any(|answer| answer.from == server), "{answers:?}");
        }
        ensure!(requests.longest_gap()? < SECOND);
        daemon.stop_clean()
    })
}
