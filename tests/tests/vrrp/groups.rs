//! Sync groups: two virtual routers that are master on the same director, whatever happens to one of them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Result, ensure};
use lb_tests::node::Node;
use lb_tests::with_site;

use crate::pair::Program::{self, Keepalived, Xlvs};
use crate::pair::{INTERFACE, Pair};

const INSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 101));
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 102));

/// A file named `down` beside the configuration is a fault of the inside one alone.
fn config(node: &Node, priority: u8) -> String {
    let instance = |name: &str, vrid: u8, address: IpAddr, more: &str| {
        format!(
            "vrrp_instance {name} {{\n interface {INTERFACE}\n virtual_router_id {vrid}\n priority {priority}\n \
             version 3\n advert_int 0.1\n {more}\n virtual_ipaddress {{\n  {address}\n }}\n}}\n"
        )
    };
    let flag = node.dir().join("down");
    let track = "track_script {\n  chk_down\n }";
    format!(
        "global_defs {{\n script_user root\n}}\nvrrp_script chk_down {{\n script \"/usr/bin/test ! -e {}\"\n interval 1\n}}\n\
         vrrp_sync_group both {{\n group {{\n  inside\n  outside\n }}\n}}\n{}{}",
        flag.display(),
        instance("inside", 61, INSIDE, track),
        instance("outside", 62, OUTSIDE, ""),
    )
}

fn wait_both(master: &Arc<Node>, backup: &Arc<Node>) -> Result<()> {
    for address in [INSIDE, OUTSIDE] {
        master.wait_held(address)?;
        backup.wait_released(address)?;
    }
    Ok(())
}

fn together(programs: [Program; 2]) -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let capture = pair.capture(site)?;
        let _first = programs[0].start(&pair.first, &config(&pair.first, 100))?;
        wait_both(&pair.first, &pair.second)?;
        let _second = programs[1].start(&pair.second, &config(&pair.second, 90))?;
        capture.wait_adverts(&pair.first, SystemTime::now(), 10)?;
        let flag = pair.first.dir().join("down");
        fs::write(&flag, "")?;
        wait_both(&pair.second, &pair.first)?;
        fs::remove_file(&flag)?;
        wait_both(&pair.first, &pair.second)?;
        let back = SystemTime::now();
        capture.wait_adverts(&pair.first, back, 10)?;
        let late = capture.adverts(&pair.second)?;
        ensure!(late.iter().all(|(at, _)| *at <= back), "two masters: {late:?}");
        Ok(())
    })
}

#[test]
fn a_fault_of_one_moves_both_from_xlvs_to_keepalived() -> Result<()> {
    together([Xlvs, Keepalived])
}

#[test]
fn a_fault_of_one_moves_both_from_keepalived_to_xlvs() -> Result<()> {
    together([Keepalived, Xlvs])
}
