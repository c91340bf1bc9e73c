//! What is done to a director's host while it is master or backup.

use std::ops::ControlFlow;
use std::time::SystemTime;

use anyhow::{Result, ensure};
use lb_tests::config::VirtualRouter;
use lb_tests::daemon::Daemon;
use lb_tests::wait::{self, TAKEOVER};
use lb_tests::with_site;

use crate::pair::{INTERFACE, Pair, Program, VIP, router};

fn wait_state(daemon: &Daemon, state: &str) -> Result<()> {
    wait::until(&format!("the state {state}"), TAKEOVER, || {
        let now = daemon.instance(VirtualRouter::NAME)?.state;
        Ok(if now == state { ControlFlow::Break(()) } else { ControlFlow::Continue(now) })
    })
}

#[test]
fn who_is_told_twice_to_stop_leaves_nothing_behind() -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let capture = pair.capture(site)?;
        let mut daemon = Program::Xlvs.start(&pair.first, &router(100))?;
        pair.first.wait_held(VIP)?;
        let told = SystemTime::now();
        daemon.terminate()?;
        // From here it waits a second for an heir, and there is none.
        capture.wait_advert(&pair.first, told, |advert| advert.priority == 0)?;
        daemon.stop_clean()?;
        ensure!(!pair.first.holds(VIP)?, "{VIP} is left behind");
        Ok(())
    })
}

#[test]
fn a_backup_hears_its_master_again_after_its_interface_was_without_ipv6() -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let capture = pair.capture(site)?;
        let config = |priority| VirtualRouter::new(INTERFACE, 6, priority, "fe80::100").version3("0.1");
        let _first = Program::Xlvs.start(&pair.first, &config(100))?;
        pair.first.wait_held("fe80::100".parse()?)?;
        let second = Program::Xlvs.start(&pair.second, &config(90))?;
        wait_state(&second, "BACKUP")?;

        // Below 1280 an interface has no IPv6 (RFC 8200 section 5), and is in no group any more.
        pair.second.netns().ip(&format!("link set {INTERFACE} mtu 1000"))?;
        wait_state(&second, "FAULT")?;
        let returns = SystemTime::now();
        pair.second.netns().ip(&format!("link set {INTERFACE} mtu 1500"))?;
        wait_state(&second, "BACKUP")?;
        capture.wait_adverts(&pair.first, SystemTime::now(), 10)?;
        let sent = capture.adverts(&pair.second)?;
        ensure!(sent.iter().all(|(at, _)| *at < returns), "two masters: it sent {sent:?}");
        wait_state(&second, "BACKUP")
    })
}

#[test]
fn a_virtual_interface_that_somebody_removes_is_made_again() -> Result<()> {
    const VIRTUAL: &str = "vrrp.51";
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let daemon = Program::Xlvs.start(&pair.first, &router(100).version3("0.1").line("use_vmac"))?;
        let holds = || {
            wait::until(&format!("{VIP} on {VIRTUAL}"), TAKEOVER, || {
                let held = pair.first.addresses(VIRTUAL).is_ok_and(|held| held.contains(&VIP));
                Ok(if held { ControlFlow::Break(()) } else { ControlFlow::Continue(daemon.log()) })
            })
        };
        holds()?;
        let capture = pair.capture(site)?;
        pair.first.netns().ip(&format!("link del {VIRTUAL}"))?;
        holds()?;
        capture.wait_advert(&pair.first, SystemTime::now(), |advert| advert.priority == 100).map(drop)
    })
}
