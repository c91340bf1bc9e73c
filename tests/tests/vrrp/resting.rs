//! `ha_suspend`: the checks of a service rest where its address is not.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use lb_tests::capture::Capture;
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::node::Node;
use lb_tests::wait::TAKEOVER;
use lb_tests::{wait, with_site};

use crate::pair::Program::Xlvs;
use crate::pair::{INTERFACE, Pair, VIP, router};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 11);
/// Several loops of the checker.
const A_WHILE: Duration = Duration::from_secs(4);

/// How many packets of a check `node` has sent since then.
fn checks(capture: &Capture, node: &Node, since: SystemTime) -> Result<usize> {
    let frames = capture.frames()?;
    let sent = frames.iter().filter(|frame| frame.at > since && frame.is_from(node));
    let is_check = |packet: lb_tests::frame::Packet<'_>| {
        packet.destination == IpAddr::from(SERVER) && packet.protocol == 6
    };
    Ok(sent.filter(|frame| frame.packet().is_some_and(is_check)).count())
}

fn wait_checks(capture: &Capture, node: &Node, since: SystemTime) -> Result<()> {
    wait::until(&format!("checks by {}", node.name()), TAKEOVER, || {
        Ok(match checks(capture, node, since)? {
            0 => ControlFlow::Continue("no packet came".into()),
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
        wait_checks(&capture, &pair.first, SystemTime::UNIX_EPOCH)?;
        let _second = Xlvs.start(&pair.second, &config(90))?;
        std::thread::sleep(A_WHILE);
        ensure!(checks(&capture, &pair.second, SystemTime::UNIX_EPOCH)? == 0, "the backup checks");

        let stopped = SystemTime::now();
        first.stop_clean()?;
        pair.second.wait_held(VIP)?;
        wait_checks(&capture, &pair.second, stopped)?;

        first.restart()?;
        pair.second.wait_released(VIP)?;
        wait_checks(&capture, &pair.first, stopped)?;
        // One that had begun may end.
        std::thread::sleep(Duration::from_secs(2));
        let resting = SystemTime::now();
        std::thread::sleep(A_WHILE);
        ensure!(checks(&capture, &pair.second, resting)? == 0, "the backup checks again");
        Ok(())
    })
}
