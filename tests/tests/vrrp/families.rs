//! One daemon with a virtual router of IPv4 and one of IPv6 under the same number: each is elected by itself.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use lb_tests::config::VirtualRouter;
use lb_tests::probe::Probe;
use lb_tests::switch::Link;
use lb_tests::wait::TAKEOVER;
use lb_tests::with_site;

use crate::pair::Program::{self, Keepalived, Xlvs};
use crate::pair::{INTERFACE, Pair, SLACK, VIP, VRID, router};

const VIP6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x100));
/// Three intervals and the longest skew.
const DOWN_TIMER: Duration = Duration::from_millis(400);

fn config(priority: u8, priority6: u8) -> String {
    let over_ipv4 = router(priority).version3("0.1");
    let over_ipv6 = VirtualRouter::new(INTERFACE, VRID, priority6, "fe80::77:100")
        .named("VI_6")
        .version3("0.1")
        .address(&VIP6.to_string());
    format!("{over_ipv4}{over_ipv6}")
}

/// The first director is master over IPv4 and the second over IPv6; the first dies and comes back.
fn side_by_side(programs: [Program; 2]) -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let capture = pair.capture(site)?;
        let mut first = programs[0].start(&pair.first, &config(100, 90))?;
        pair.first.wait_held(VIP)?;
        let _second = programs[1].start(&pair.second, &config(90, 100))?;
        pair.second.wait_held(VIP6)?;
        pair.first.wait_released(VIP6)?;
        let elected = SystemTime::now();
        capture.wait_adverts(&pair.first, elected, 10)?;
        capture.wait_adverts(&pair.second, elected, 10)?;
        for (node, is_ipv4) in [(&pair.first, true), (&pair.second, false)] {
            let mut adverts = capture.adverts(node)?;
            adverts.retain(|(at, _)| *at > elected);
            let own = |source: IpAddr| source.is_ipv4() == is_ipv4;
            ensure!(
                adverts.iter().all(|(_, advert)| own(advert.source) && advert.vrid == VRID),
                "{adverts:?}"
            );
        }

        let probes = [VIP, VIP6].map(|vip| Probe::start(pair.client.netns(), vip));
        first.kill()?;
        site.set_link(&pair.first, Link::Down)?;
        pair.second.wait_held(VIP)?;
        ensure!(pair.second.holds(VIP6)?);
        for (probe, bound) in probes.into_iter().zip([DOWN_TIMER + SLACK, SLACK]) {
            let probe = probe?;
            probe.wait_answers(10, TAKEOVER)?;
            let gap = probe.longest_gap()?;
            ensure!(gap < bound, "a gap of {gap:?}, and {bound:?} is allowed");
        }

        site.set_link(&pair.first, Link::Up)?;
        first.restart()?;
        pair.first.wait_held(VIP)?;
        pair.second.wait_released(VIP)?;
        pair.first.wait_released(VIP6)?;
        ensure!(pair.second.holds(VIP6)?);
        Ok(())
    })
}

#[test]
fn xlvs_over_ipv4_and_keepalived_over_ipv6() -> Result<()> {
    side_by_side([Xlvs, Keepalived])
}

#[test]
fn keepalived_over_ipv4_and_xlvs_over_ipv6() -> Result<()> {
    side_by_side([Keepalived, Xlvs])
}
