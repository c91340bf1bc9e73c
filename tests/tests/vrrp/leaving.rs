//! A clean stop of the master as a client of the service sees it: requests go on, first by one director, then by the
//! other.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::requests::Requests;
use lb_tests::wait::TAKEOVER;
use lb_tests::with_site;

use crate::pair::Program::{self, Keepalived, Xlvs};
use crate::pair::{INTERFACE, Pair, SLACK, VIP, router};

const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 11);

/// The longest time between two answers, with an advert a second, while `xlvs` leaves and `heir` follows.
fn gap_of_a_clean_stop(heir: Program) -> Result<Duration> {
    let mut gap = None;
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let _web = site.host("rs1", INTERFACE, &[&format!("{SERVER}/24")])?.serve(&[VIP])?;
        // keepalived balances nothing here: as master that host answers for itself.
        let _own = pair.second.serve(&[])?;
        let service = VirtualServer::new(SERVICE, 80, Protocol::Tcp, "rr").unchecked(SERVER, 1);
        let mut first = Xlvs.start(&pair.first, &format!("{}{service}", router(100)))?;
        pair.first.wait_held(VIP)?;
        let _second = match heir {
            Xlvs => Xlvs.start(&pair.second, &format!("{}{service}", router(90)))?,
            Keepalived => Keepalived.start(&pair.second, &router(90))?,
        };
        let requests = Requests::start(pair.client.netns(), (VIP, 80).into())?;
        requests.wait_answers(50, TAKEOVER)?;
        first.stop_clean()?;
        pair.second.wait_held(VIP)?;
        requests.wait_answers(50, TAKEOVER)?;
        let answers = requests.answers();
        let from: Vec<&str> =
            [answers.first(), answers.last()].into_iter().flatten().map(|a| &*a.from).collect();
        ensure!(from == ["rs1", if heir == Xlvs { "rs1" } else { "dr2" }], "{from:?}");
        gap = Some(requests.longest_gap()?);
        Ok(())
    })?;
    gap.ok_or_else(|| anyhow::anyhow!("nothing was measured"))
}

#[test]
fn requests_go_on_when_keepalived_follows() -> Result<()> {
    let gap = gap_of_a_clean_stop(Keepalived)?;
    ensure!(gap < SLACK, "a gap of {gap:?}");
    Ok(())
}

#[test]
fn requests_go_on_when_xlvs_follows() -> Result<()> {
    let gap = gap_of_a_clean_stop(Xlvs)?;
    ensure!(gap < SLACK, "a gap of {gap:?}");
    Ok(())
}
