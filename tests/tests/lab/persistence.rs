//! Clients that come back to their server: by address, over ports, and over what a firewall mark holds together.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use lb_tests::echo::UdpEcho;
use lb_tests::lab::Lab;
use lb_tests::{Plan, with_lab};

/// UDP ports.
const FIRST: u16 = 5300;
const SECOND: u16 = 5301;

/// A `virtual_server` with persistence of all real servers, without checks.
fn persistent(lab: &Lab, selector: &str, protocol: &str, port: &str) -> Result<String> {
    let mut text = format!("virtual_server {selector} {{\n    lb_algo rr\n    lb_kind DR\n{protocol}");
    writeln!(text, "    persistence_timeout 60")?;
    for server in &lab.servers {
        writeln!(text, "    real_server {} {port} {{\n        weight 1\n    }}", server.address)?;
    }
    writeln!(text, "}}")?;
    Ok(text)
}

fn echoes(lab: &Lab, vip: Ipv4Addr) -> Result<Vec<UdpEcho>> {
    let ports = [FIRST, SECOND];
    let all = lab.servers.iter().flat_map(|server| ports.map(|port| (server, port)));
    all.map(|(server, port)| UdpEcho::start(server.netns(), (vip, port), server.name())).collect()
}

/// The only name among these.
fn only(names: &[String]) -> Result<&str> {
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    ensure!(names.len() == 1, "several servers: {names:?}");
    names.first().copied().ok_or_else(|| anyhow::anyhow!("nobody"))
}

#[test]
fn curl_comes_back_to_one_server_from_every_port() -> Result<()> {
    with_lab(&Plan::servers(3), |lab| {
        let config = persistent(lab, &format!("{} 80", lab.vip()), "    protocol TCP\n", "80")?;
        lab.balance(&config, 3)?;
        let url = format!("http://{}/", lab.service());
        let curl = ["--silent", "--show-error", "--max-time", "5", "--noproxy", "*", &url];
        let mut names = Vec::new();
        for _ in 0..9 {
            names.push(lab.client().netns().run("curl", &curl)?.trim().to_owned());
        }
        let first = only(&names)?.to_owned();
        // Another daemon knows it too.
        lab.director.kill9()?;
        lab.balance(&config, 3)?;
        ensure!(only(&lab.client().sequence(lab.service(), 9)?)? == first, "another server than {first}");
        let status = lab.director.status()?;
        let mut connections: Vec<u64> =
            status.service()?.servers.iter().map(|server| server.connections).collect();
        connections.sort_unstable();
        ensure!(connections == [0, 0, 18], "{connections:?}");
        Ok(())
    })
}

#[test]
fn a_firewall_mark_holds_http_and_datagrams_together() -> Result<()> {
    with_lab(&Plan::servers(3), |lab| {
        let vip = lab.vip();
        let _echoes = echoes(lab, vip)?;
        let rules = format!("fwmark_rules {{\n    mark 7 {{\n        destination {vip}\n    }}\n}}\n");
        lab.balance(&(rules + &persistent(lab, "fwmark 7", "", "")?), 3)?;
        let mut names = lab.client().sequence(lab.service(), 4)?;
        for port in [FIRST, SECOND] {
            names.extend(lab.client().datagrams((vip, port), 4)?);
        }
        only(&names)?;
        Ok(())
    })
}

#[test]
fn a_service_on_every_port_is_one_server_for_a_client() -> Result<()> {
    with_lab(&Plan::servers(3), |lab| {
        let vip = lab.vip();
        let _echoes = echoes(lab, vip)?;
        lab.balance(&persistent(lab, &format!("{vip} 0"), "    protocol UDP\n", "0")?, 3)?;
        let mut names = lab.client().datagrams((vip, FIRST), 4)?;
        names.extend(lab.client().datagrams((vip, SECOND), 4)?);
        only(&names)?;
        Ok(())
    })
}
