//! What else belongs to a master: addresses that no advert names, routes and rules. They come and go with mastership.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;

use anyhow::{Result, ensure};
use lb_tests::node::Node;
use lb_tests::wait::{self, TAKEOVER};
use lb_tests::with_site;

use crate::pair::Program::{self, Keepalived, Xlvs};
use crate::pair::{INTERFACE, Pair, VIP, router};

const EXCLUDED: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 120));
const ROUTE: &str = "10.99.0.0/24";
const TABLE: &str = "177";
const RULE: &str = "from 10.98.0.0/24 lookup 177";

fn config(priority: u8, more: &str) -> String {
    router(priority)
        .version3("0.1")
        .line(&format!("virtual_ipaddress_excluded {{\n        {EXCLUDED}/32\n    }}"))
        .line(&format!(
            "virtual_routes {{\n        {ROUTE} via 10.77.0.66 dev {INTERFACE}\n        \
             default via 10.77.0.66 dev {INTERFACE} table {TABLE}\n    }}"
        ))
        .line(&format!("virtual_rules {{\n        from 10.98.0.0/24 table {TABLE}\n    }}"))
        .line(more)
        .to_string()
}

/// What of a master's belongings the host has.
fn found(node: &Node) -> Result<Vec<String>> {
    let mut found: Vec<String> = node.addresses(INTERFACE)?.iter().map(IpAddr::to_string).collect();
    found.retain(|address| [VIP, EXCLUDED].iter().any(|own| own.to_string() == *address));
    let routes = node.run(&["ip", "route", "show", "table", "all"])?;
    for route in
        [format!("{ROUTE} via 10.77.0.66"), format!("default via 10.77.0.66 dev {INTERFACE} table {TABLE}")]
    {
        found.extend(routes.contains(&route).then_some(route));
    }
    let rules = node.run(&["ip", "rule", "show"])?;
    found.extend(rules.contains(RULE).then(|| RULE.to_owned()));
    Ok(found)
}

fn wait_found(node: &Node, count: usize) -> Result<()> {
    wait::until(&format!("{} to have {count} belongings", node.name()), TAKEOVER, || {
        let found = found(node)?;
        Ok(if found.len() == count {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(format!("{found:?}"))
        })
    })
}

const ALL: usize = 5;

fn come_and_go(programs: [Program; 2]) -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let mut first = programs[0].start(&pair.first, &config(100, ""))?;
        wait_found(&pair.first, ALL)?;
        let _second = programs[1].start(&pair.second, &config(90, ""))?;
        first.stop_clean()?;
        wait_found(&pair.second, ALL)?;
        wait_found(&pair.first, 0)?;
        first.restart()?;
        wait_found(&pair.first, ALL)?;
        wait_found(&pair.second, 0)
    })
}

#[test]
fn they_move_from_xlvs_to_keepalived_and_back() -> Result<()> {
    come_and_go([Xlvs, Keepalived])
}

#[test]
fn they_move_from_keepalived_to_xlvs_and_back() -> Result<()> {
    come_and_go([Keepalived, Xlvs])
}

#[test]
fn what_a_killed_master_left_is_taken_away_by_its_successor() -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let more = "state BACKUP\nnopreempt";
        let mut first = Xlvs.start(&pair.first, &config(100, more))?;
        wait_found(&pair.first, ALL)?;
        let _second = Keepalived.start(&pair.second, &config(90, more))?;
        first.kill()?;
        wait_found(&pair.second, ALL)?;
        ensure!(found(&pair.first)?.len() == ALL, "who is killed takes nothing away");
        first.restart()?;
        wait_found(&pair.first, 0)?;
        wait_found(&pair.second, ALL)
    })
}
