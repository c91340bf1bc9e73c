//! `xlvs` and keepalived as each other's backup, in every form of the protocol that both speak.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use lb_tests::capture::Capture;
use lb_tests::config::VirtualRouter;
use lb_tests::daemon::Daemon;
use lb_tests::node::Node;
use lb_tests::probe::Probe;
use lb_tests::switch::Link;
use lb_tests::wait::TAKEOVER;
use lb_tests::{Site, with_site};

use crate::pair::Program::{self, Keepalived, Xlvs};
use crate::pair::{INTERFACE, Pair, SLACK, VIP, VRID, router};

const VIP6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x100));
const HIGHER: u8 = 100;
const LOWER: u8 = 90;

/// A form of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Pass,
    Ah,
    Fast,
    Unicast,
    OwnGroup,
    Ipv6,
}

impl Form {
    fn vip(self) -> IpAddr {
        if self == Self::Ipv6 { VIP6 } else { VIP }
    }

    fn interval(self) -> Duration {
        match self {
            Self::Pass | Self::Ah => Duration::from_secs(1),
            Self::Fast | Self::Unicast | Self::OwnGroup | Self::Ipv6 => Duration::from_millis(100),
        }
    }

    /// The longest time from a master's last advert to its follower's first.
    fn down_timer(self) -> Duration {
        3 * self.interval() + self.skew()
    }

    fn skew(self) -> Duration {
        self.interval() * (256 - u32::from(LOWER)) / 256
    }

    /// The configuration of the director with this last byte in its address.
    fn config(self, own: u8, priority: u8, more: &str) -> String {
        let version2 = |kind| {
            router(priority).line(&format!("authentication {{\n auth_type {kind}\n auth_pass 1111\n }}"))
        };
        let fast = || router(priority).version3("0.1");
        let router = match self {
            Self::Pass => version2("PASS"),
            Self::Ah => version2("AH"),
            Self::Fast | Self::OwnGroup => fast(),
            Self::Unicast => fast()
                .line(&format!("unicast_src_ip 10.77.0.{own}"))
                .line(&format!("unicast_peer {{\n 10.77.0.{}\n }}", 5 - own)),
            Self::Ipv6 => VirtualRouter::new(INTERFACE, VRID, priority, "fe80::77:100")
                .version3("0.1")
                .address(&VIP6.to_string()),
        };
        let globals = match self {
            Self::OwnGroup => "global_defs {\n vrrp_mcast_group4 224.0.0.33\n}\n",
            _ => "",
        };
        format!("{globals}{}", router.line(more))
    }

    /// Where its adverts go.
    fn destination(self) -> Option<IpAddr> {
        match self {
            Self::Pass | Self::Ah | Self::Fast => Some(IpAddr::from([224, 0, 0, 18])),
            Self::OwnGroup => Some(IpAddr::from([224, 0, 0, 33])),
            Self::Ipv6 => Some(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12).into()),
            Self::Unicast => None,
        }
    }
}

/// A master and its backup, both running.
struct Running<'a> {
    site: &'a Site,
    form: Form,
    pair: Pair,
    capture: Capture,
    first: Daemon,
    second: Daemon,
}

impl<'a> Running<'a> {
    /// Starts `first` with the higher priority, and `second` once the first is master.
    fn start(site: &'a mut Site, form: Form, [first, second]: [Program; 2], more: &str) -> Result<Self> {
        let pair = Pair::plug(site)?;
        let capture = pair.capture(site)?;
        let first = first.start(&pair.first, &form.config(2, HIGHER, more))?;
        pair.first.wait_held(form.vip())?;
        let second = second.start(&pair.second, &form.config(3, LOWER, more))?;
        Ok(Self { site, form, pair, capture, first, second })
    }

    /// Sees the backup hear the master for longer than it would wait for one it does not hear.
    fn master_is_heard(&self) -> Result<()> {
        self.capture.wait_adverts(&self.pair.first, SystemTime::now(), 6)?;
        let silent = self.capture.adverts(&self.pair.second)?;
        ensure!(silent.is_empty(), "the backup sent {silent:?}");
        ensure!(!self.pair.second.holds(self.form.vip())?);
        let (version, authenticated) = match self.form {
            Form::Pass => (2, false),
            Form::Ah => (2, true),
            Form::Fast | Form::Unicast | Form::OwnGroup | Form::Ipv6 => (3, false),
        };
        for (_, advert) in self.capture.adverts(&self.pair.first)? {
            assert_eq!(
                (advert.version, advert.authenticated, advert.priority),
                (version, authenticated, HIGHER)
            );
            assert_eq!(advert.destination, self.form.destination().unwrap_or(IpAddr::from([10, 77, 0, 3])));
        }
        Ok(())
    }

    /// Kills the master, and wants the backup to follow within the time of the protocol.
    fn master_dies(&mut self) -> Result<()> {
        let probe = Probe::start(self.pair.client.netns(), self.form.vip())?;
        let died = SystemTime::now();
        self.first.kill()?;
        self.site.set_link(&self.pair.first, Link::Down)?;
        self.pair.second.wait_held(self.form.vip())?;
        probe.wait_answers(10, TAKEOVER)?;
        let gap = probe.longest_gap()?;
        ensure!(gap < self.form.down_timer() + SLACK, "a gap of {gap:?}");
        let arp = self.capture.arp_for(self.form.vip())?;
        ensure!(arp.iter().any(|frame| frame.at > died && *frame.port == *self.pair.second.name()));
        self.site.set_link(&self.pair.first, Link::Up)
    }

    /// Starts the one with the higher priority again, and wants it to take the mastership back.
    fn master_returns(&mut self) -> Result<()> {
        self.first.restart()?;
        self.pair.first.wait_held(self.form.vip())?;
        self.pair.second.wait_released(self.form.vip())?;
        let returned = SystemTime::now();
        self.capture.wait_adverts(&self.pair.first, returned, 3)?;
        let late = self.capture.adverts(&self.pair.second)?;
        ensure!(late.iter().all(|(at, _)| *at <= returned), "the backup still sends");
        Ok(())
    }

    /// Stops the master cleanly, and wants the backup to follow after the skew alone.
    fn master_leaves(&mut self) -> Result<()> {
        let probe = Probe::start(self.pair.client.netns(), self.form.vip())?;
        let before = SystemTime::now();
        self.first.stop_clean()?;
        let left = self.capture.wait_advert(&self.pair.first, before, |advert| advert.priority == 0)?;
        let heir = self.capture.wait_advert(&self.pair.second, left, |advert| advert.priority == LOWER)?;
        let waited = heir.duration_since(left)?;
        ensure!(waited < self.form.skew() + SLACK, "the heir waited {waited:?}");
        self.pair.second.wait_held(self.form.vip())?;
        ensure!(!self.pair.first.holds(self.form.vip())?);
        probe.wait_answers(10, TAKEOVER)?;
        let gap = probe.longest_gap()?;
        // xlvs stays until the heir has spoken.
        let alone = if matches!(self.first, Daemon::Xlvs(_)) { Duration::ZERO } else { self.form.skew() };
        ensure!(gap < alone + SLACK, "a gap of {gap:?}");
        Ok(())
    }
}

fn lives(form: Form, programs: [Program; 2]) -> Result<()> {
    with_site(|site| {
        let mut running = Running::start(site, form, programs, "")?;
        running.master_is_heard()?;
        running.master_dies()?;
        running.master_returns()?;
        running.master_leaves()
    })
}

#[test]
fn version_2_with_a_password_xlvs_first() -> Result<()> {
    lives(Form::Pass, [Xlvs, Keepalived])
}

#[test]
fn version_2_with_a_password_keepalived_first() -> Result<()> {
    lives(Form::Pass, [Keepalived, Xlvs])
}

#[test]
fn version_2_with_an_authentication_header_xlvs_first() -> Result<()> {
    lives(Form::Ah, [Xlvs, Keepalived])
}

#[test]
fn version_2_with_an_authentication_header_keepalived_first() -> Result<()> {
    lives(Form::Ah, [Keepalived, Xlvs])
}

#[test]
fn version_3_ten_times_a_second_xlvs_first() -> Result<()> {
    lives(Form::Fast, [Xlvs, Keepalived])
}

#[test]
fn version_3_ten_times_a_second_keepalived_first() -> Result<()> {
    lives(Form::Fast, [Keepalived, Xlvs])
}

#[test]
fn unicast_xlvs_first() -> Result<()> {
    lives(Form::Unicast, [Xlvs, Keepalived])
}

#[test]
fn unicast_keepalived_first() -> Result<()> {
    lives(Form::Unicast, [Keepalived, Xlvs])
}

#[test]
fn a_group_of_its_own_xlvs_first() -> Result<()> {
    lives(Form::OwnGroup, [Xlvs, Keepalived])
}

#[test]
fn a_group_of_its_own_keepalived_first() -> Result<()> {
    lives(Form::OwnGroup, [Keepalived, Xlvs])
}

#[test]
fn ipv6_xlvs_first() -> Result<()> {
    lives(Form::Ipv6, [Xlvs, Keepalived])
}

#[test]
fn ipv6_keepalived_first() -> Result<()> {
    lives(Form::Ipv6, [Keepalived, Xlvs])
}

#[test]
fn a_pair_of_xlvs_in_every_form() -> Result<()> {
    for form in [Form::Pass, Form::Ah, Form::Fast, Form::Unicast, Form::OwnGroup, Form::Ipv6] {
        lives(form, [Xlvs, Xlvs])?;
    }
    Ok(())
}

/// With `nopreempt` the higher priority that comes back stays backup.
fn keeps_its_backup(programs: [Program; 2]) -> Result<()> {
    with_site(|site| {
        let mut running = Running::start(site, Form::Fast, programs, "state BACKUP\nnopreempt")?;
        running.master_is_heard()?;
        running.master_dies()?;
        let returned = SystemTime::now();
        running.first.restart()?;
        running.pair.first.wait_released(VIP)?;
        running.capture.wait_adverts(&running.pair.second, SystemTime::now(), 20)?;
        let adverts = running.capture.adverts(&running.pair.first)?;
        ensure!(adverts.iter().all(|(at, _)| *at < returned), "it preempted: {adverts:?}");
        ensure!(running.pair.second.holds(VIP)?);
        ensure!(!running.pair.first.holds(VIP)?);
        // The one with the lower priority is still followed when it goes.
        running.second.stop_clean()?;
        running.pair.first.wait_held(VIP)
    })
}

#[test]
fn without_preemption_xlvs_comes_back_as_backup() -> Result<()> {
    keeps_its_backup([Xlvs, Keepalived])
}

#[test]
fn without_preemption_keepalived_comes_back_as_backup() -> Result<()> {
    keeps_its_backup([Keepalived, Xlvs])
}

/// Whoever gives way because of a higher priority does so at the first advert.
fn gives_way(programs: [Program; 2]) -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let capture = pair.capture(site)?;
        let [first, second] = programs;
        let start = |program: Program, node: &Node, own, priority| {
            program.start(node, &Form::Pass.config(own, priority, ""))
        };
        let _second = start(second, &pair.second, 3, LOWER)?;
        pair.second.wait_held(VIP)?;
        let started = SystemTime::now();
        let _first = start(first, &pair.first, 2, HIGHER)?;
        let higher = capture.wait_advert(&pair.first, started, |advert| advert.priority == HIGHER)?;
        pair.second.wait_released(VIP)?;
        capture.wait_adverts(&pair.first, higher, 3)?;
        let late = capture.adverts(&pair.second)?;
        ensure!(late.iter().all(|(at, _)| *at < higher + SLACK), "{late:?} after {higher:?}");
        Ok(())
    })
}

#[test]
fn xlvs_gives_way_to_a_higher_priority() -> Result<()> {
    gives_way([Keepalived, Xlvs])
}

#[test]
fn keepalived_gives_way_to_a_higher_priority() -> Result<()> {
    gives_way([Xlvs, Keepalived])
}
