//! `ha_suspend`: the checks of a service rest where its address is not.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;
use std::time::SystemTime;

use anyhow::{Result, ensure};
use lb_tests::capture::Capture;
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::node::Node;
use lb_tests::wait::TAKEOVER;
use lb_tests::{wait, with_site};

use crate::pair::Program::Xlvs;
use crate::pair::{INTERFACE, Pair, VIP, router};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 11);
/// Packets of several checks: connections to one server are opened and closed at least three times in the meantime.
const SEVERAL: usize = 20;

/// How many packets of a check `node` has sent since then.
fn checks(capture: &Capture, node: &Node, since: SystemTime) -> Result<usize> {
    let frames = capture.frames()?;
    let sent = frames.iter().filter(|frame| frame.at > since && frame.is_from(node));
    let is_check = |packet: lb_tests::frame::Packet<'_>| {
        packet.destination == IpAddr::from(SERVER) && packet.protocol == 6
    };
    Ok(sent.filter(|frame| frame.packet().is_some_and(is_check)).count())
}

fn wait_checks(capture: &Capture, node: &Node, since: SystemTime, packets: usize) -> Result<()> {
    wait::until(&format!("checks by {}", node.name()), TAKEOVER, || {
        Ok(match checks(capture, node, since)? {
            sent if sent < packets => ControlFlow::Continue(format!("{sent} of {packets} packets came")),
            _ => ControlFlow::Break(()),
        })
    })
}

#[test]
fn a_backup_sends_no_checks_before_it_is_master() -> Result<()> {
    with_site(|site| {
        let pair = Pair::plug(site)?;
        let _web = site.host("rs1", INTERFACE, &[&format!("{SERVER}/24")])?.serve(&[VIP])?;
        let capture = pair.capture(site)?;
        let service = VirtualServer::new(VIP, 80, Protocol::Tcp, "rr").line("ha_suspend").checked(SERVER, 1);
        let config = |priority| format!("{}{service}", router(priority));
        let mut first = Xlvs.start(&pair.first, &config(100))?;
        pair.first.wait_held(VIP)?;
        let _second = Xlvs.start(&pair.second, &config(90))?;
        // Both would check as often.
        wait_checks(&capture, &pair.first, SystemTime::now(), SEVERAL)?;
        ensure!(checks(&capture, &pair.second, SystemTime::UNIX_EPOCH)? == 0, "the backup checks");

        let stopped = SystemTime::now();
        first.stop_clean()?;
        pair.second.wait_held(VIP)?;
        wait_checks(&capture, &pair.second, stopped, 1)?;

        first.restart()?;
        pair.second.wait_released(VIP)?;
        // A check of the other one that had begun may end meanwhile.
        wait_checks(&capture, &pair.first, stopped, SEVERAL)?;
        let resting = SystemTime::now();
        wait_checks(&capture, &pair.first, resting, SEVERAL)?;
        ensure!(checks(&capture, &pair.second, resting)? == 0, "the backup checks again");
        Ok(())
    })
}
