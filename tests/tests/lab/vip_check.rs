//! `vip_check`: a real server that is well and does not take what goes to the virtual address.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lb_tests::client::tally;
use lb_tests::config::{VirtualRouter, VirtualServer};
use lb_tests::echo::UdpEcho;
use lb_tests::lab::HTTP;
use lb_tests::netns::Netns;
use lb_tests::{Family, Lab, Plan, http, wait, with_lab};

const BOUND: Duration = Duration::from_secs(20);
/// Patient enough for a machine that does something else for a while, and quick to see what changes.
const CHECK: &str = "vip_check connect_timeout 1 retry 1 delay_before_retry 0.1 delay_loop 0.2 warmup 0";
const UDP: u16 = 5300;

/// Takes the virtual address from a real server, or gives it back.
fn address_of(lab: &Lab, server: usize, family: Family, what: &str) -> Result<()> {
    let (bits, option) = match family {
        Family::V4 => (32, ""),
        Family::V6 => (128, if what == "add" { "nodad" } else { "" }),
    };
    let vip = lab.vip_in(family);
    lab.servers[server].netns().ip(&format!("addr {what} {vip}/{bits} dev lo {option}")).map(drop)
}

/// Waits until a server of the services on `port` is down for a reason that says all of this; returns the reason.
fn wait_down(lab: &Lab, server: impl Into<IpAddr>, port: u16, says: &[&str]) -> Result<String> {
    let server = server.into();
    wait::until(&format!("{server} to be down: {says:?}"), BOUND, || {
        let status = lab.director.status()?;
        let services = status.services.iter().filter(|service| service.port == port);
        let mut servers = services.flat_map(|service| &service.servers);
        let found = servers.find(|known| known.address == server).context("it is not in the status")?;
        let reason = found.reason.clone().unwrap_or_default();
        let is_so = found.state == "down" && !found.eligible && says.iter().all(|word| reason.contains(word));
        Ok(if is_so { ControlFlow::Break(reason) } else { ControlFlow::Continue(format!("{found:?}")) })
    })
}

/// Who answers requests to `service`, each once.
fn answers(lab: &Lab, service: std::net::SocketAddr) -> Result<Vec<String>> {
    Ok(tally(&lab.client().sequence(service, 6)?).into_keys().collect())
}

/// A counter of the network stack of a namespace, as `nstat` names it.
fn counter(netns: &Netns, name: &str) -> Result<u64> {
    let text = netns.run("env", &["NSTAT_HISTORY=/dev/null", "nstat", "-asz", name])?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    value.with_context(|| text.clone())?.parse().with_context(|| text.clone())
}

fn wait_counter(netns: &Netns, name: &str, least: u64) -> Result<()> {
    wait::until(&format!("{name} to be {least}"), BOUND, || {
        let value = counter(netns, name)?;
        Ok(if value >= least { ControlFlow::Break(()) } else { ControlFlow::Continue(value.to_string()) })
    })
}

#[test]
fn a_server_that_forgot_the_address_is_named_and_comes_back() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        lab.balance(&lab.http_on_all("rr").line(CHECK), 2)?;
        let (service, rip) = (lab.service_in(Family::V4), lab.servers[0].address);
        assert_eq!(answers(lab, service)?, ["rs1", "rs2"]);

        address_of(lab, 0, Family::V4, "del")?;
        let reason = wait_down(lab, rip, HTTP, &["10.77.0.100 port 80", "lo"])?;
        assert!(reason.contains("ip addr add 10.77.0.100/32 dev lo"), "{reason}");
        // What a check of its own address sees is a server in good health.
        lab.director.netns().enter(|| http::get((rip, HTTP).into(), "/health"))?;
        assert_eq!(answers(lab, service)?, ["rs2"]);

        address_of(lab, 0, Family::V4, "add")?;
        lab.wait_eligible(2)?;
        assert_eq!(answers(lab, service)?, ["rs1", "rs2"]);
        Ok(())
    })
}

#[test]
fn a_director_without_the_address_sees_the_same() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let interface = lab.director.interfaces()[0].clone();
        lab.director.netns().ip(&format!("addr del {}/32 dev {interface}", lab.vip()))?;
        lab.balance(&lab.http_on_all("rr").line(CHECK), 2)?;
        address_of(lab, 1, Family::V4, "del")?;
        let rip = lab.servers[1].address;
        wait_down(lab, rip, HTTP, &["it does not answer for 10.77.0.100 port 80 within 1 s"])?;
        address_of(lab, 1, Family::V4, "add")?;
        lab.wait_eligible(2).map(drop)
    })
}

#[test]
fn the_answer_of_another_server_does_not_count() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        lab.balance(&lab.http_on_all("rr").line(CHECK), 2)?;
        // What it does not take itself goes back to the director, which would balance it.
        lab.servers[0].netns().sysctl("ipv4/ip_forward", "1")?;
        address_of(lab, 0, Family::V4, "del")?;
        let rip = lab.servers[0].address;
        wait_down(lab, rip, HTTP, &["10.77.0.11 passes on what goes to 10.77.0.100"])?;
        assert_eq!(answers(lab, lab.service_in(Family::V4))?, ["rs2"]);
        Ok(())
    })
}

#[test]
fn a_port_where_nothing_listens_is_refused() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let servers = [0, 1].map(|index| lab.servers[index].address);
        let service = servers.iter().fold(lab.http("rr").line(CHECK), |all, rip| all.unchecked(*rip, 1));
        lab.balance(&service, 2)?;
        lab.servers[0].stop()?;
        wait_down(lab, servers[0], HTTP, &["connection refused on 10.77.0.100 port 80"])?;
        assert_eq!(answers(lab, lab.service_in(Family::V4))?, ["rs2"]);
        lab.servers[0].start()?;
        lab.wait_eligible(2).map(drop)
    })
}

#[test]
fn a_udp_service_is_asked_for_echoes() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let vip = lab.vip_in(Family::V4);
        let echo = |index: usize| {
            let server = &lab.servers[index];
            UdpEcho::start(server.netns(), (vip, UDP), server.name())
        };
        let _echoes = [echo(0)?, echo(1)?];
        lab.balance(&lab.udp_in(Family::V4, UDP, "rr").line(CHECK), 2)?;
        address_of(lab, 0, Family::V4, "del")?;
        let rip = lab.servers[0].address;
        let reason = wait_down(lab, rip, UDP, &["it does not answer for 10.77.0.100 within 1 s"])?;
        assert!(!reason.contains("port"), "{reason}");
        address_of(lab, 0, Family::V4, "add")?;
        lab.wait_eligible(2).map(drop)
    })
}

#[test]
fn ipv6_services_are_asked_likewise() -> Result<()> {
    with_lab(&Plan::servers(2).dual_stack(), |lab| {
        let [web, udp] =
            [lab.http_in(Family::V6, "rr"), lab.udp_in(Family::V6, UDP, "rr")].map(|all| all.line(CHECK));
        lab.balance(&format!("{web}{udp}"), 4)?;
        address_of(lab, 0, Family::V6, "del")?;
        let rip = lab.servers[0].address_in(Family::V6);
        let advice = "(ip addr add fd77::100/128 dev lo)";
        wait_down(lab, rip, HTTP, &["it does not answer for fd77::100 port 80 within 1 s", advice])?;
        wait_down(lab, rip, UDP, &["it does not answer for fd77::100 within 1 s", advice])?;
        assert_eq!(answers(lab, lab.service_in(Family::V6))?, ["rs2"]);

        address_of(lab, 0, Family::V6, "add")?;
        lab.wait_eligible(4)?;
        assert_eq!(answers(lab, lab.service_in(Family::V6))?, ["rs1", "rs2"]);
        lab.servers[0].netns().sysctl("ipv6/conf/all/forwarding", "1")?;
        address_of(lab, 0, Family::V6, "del")?;
        wait_down(lab, rip, HTTP, &["fd77::11 passes on what goes to fd77::100"])?;
        wait_down(lab, rip, UDP, &["fd77::11 passes on what goes to fd77::100"]).map(drop)
    })
}

#[test]
fn a_virtual_router_may_hold_the_address_on_an_interface_of_its_own() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let interface = lab.director.interfaces()[0].clone();
        let vip = lab.vip().to_string();
        lab.director.netns().ip(&format!("addr del {vip}/32 dev {interface}"))?;
        let router = VirtualRouter::new(&interface, 51, 100, &vip).version3("0.1").line("use_vmac");
        lab.balance(&format!("{router}{}", lab.http_on_all("rr").line(CHECK)), 2)?;
        let own = lab.director.netns();
        wait::until("the address to be on vrrp.51", BOUND, || {
            let held = own.ip("-o addr show dev vrrp.51").unwrap_or_default();
            Ok(if held.contains(&vip) { ControlFlow::Break(()) } else { ControlFlow::Continue(held) })
        })?;
        assert_eq!(answers(lab, lab.service_in(Family::V4))?, ["rs1", "rs2"]);
        address_of(lab, 0, Family::V4, "del")?;
        wait_down(lab, lab.servers[0].address, HTTP, &["it does not answer for 10.77.0.100 port 80"])?;
        assert_eq!(answers(lab, lab.service_in(Family::V4))?, ["rs2"]);
        address_of(lab, 0, Family::V4, "add")?;
        lab.wait_eligible(2).map(drop)
    })
}

#[test]
fn every_address_of_a_group_is_asked_for() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let second = "10.77.0.101/32";
        lab.director.netns().ip(&format!("addr add {second} dev {}", lab.director.interfaces()[0]))?;
        let add = |lab: &Lab, server: usize| {
            lab.servers[server].netns().ip(&format!("addr add {second} dev lo")).map(drop)
        };
        add(lab, 0)?;
        add(lab, 1)?;
        let [one, two] = [0, 1].map(|index| lab.servers[index].address);
        let config = format!(
            "virtual_server_group G {{\n 10.77.0.100-101 80\n}}\nvirtual_server group G {{\n delay_loop 1\n lb_algo rr\n lb_kind DR\n \
             protocol TCP\n {CHECK}\n real_server {one} 80 {{\n }}\n real_server {two} 80 {{\n }}\n}}\n"
        );
        lab.balance(&config, 4)?;
        lab.servers[0].netns().ip(&format!("addr del {second} dev lo"))?;
        let rip = lab.servers[0].address;
        // Of both addresses: it is one server of one group.
        let status = lab.wait_eligible(2)?;
        for service in &status.services {
            let server = service.servers.iter().find(|server| server.address == IpAddr::from(rip));
            let reason = server.and_then(|server| server.reason.clone()).unwrap_or_default();
            assert!(reason.contains("10.77.0.101 port 80"), "{reason}");
        }
        add(lab, 0)?;
        lab.wait_eligible(4).map(drop)
    })
}

#[test]
fn a_server_with_another_mac_address_is_asked_there() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let servers = [0, 1].map(|index| lab.servers[index].address);
        let service = servers.iter().fold(lab.http("rr").line(CHECK), |all, rip| all.unchecked(*rip, 1));
        lab.balance(&service, 2)?;
        let (own, mac) = (lab.servers[0].netns(), "02:77:00:00:00:11");
        own.sysctl("ipv4/conf/net0/arp_notify", "1")?;
        own.ip(&format!("link set net0 address {mac}"))?;
        // What goes to the address of before is no longer for it.
        lab.director.wait_status("rs1 to be known by its MAC address", BOUND, |status| {
            status.server(servers[0]).is_ok_and(|server| server.mac.as_deref() == Some(mac))
        })?;
        lab.wait_eligible(2)?;
        address_of(lab, 0, Family::V4, "del")?;
        wait_down(lab, servers[0], HTTP, &["it does not answer for 10.77.0.100 port 80"]).map(drop)
    })
}

#[test]
fn no_connection_comes_about_and_none_is_left_half_open() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        let server = lab.servers[0].netns();
        let opened = counter(server, "TcpPassiveOpens")?;
        let service: VirtualServer = lab.http("rr").line(CHECK).unchecked(lab.servers[0].address, 1);
        lab.balance(&service, 1)?;
        let server = lab.servers[0].netns();
        // Each that was begun is given up by a reset.
        wait_counter(server, "TcpExtEmbryonicRsts", 8)?;
        assert_eq!(counter(server, "TcpPassiveOpens")?, opened, "connections came about");
        assert_eq!(lab.servers[0].nginx().served(), 0);
        ensure!(lab.director.status()?.server(lab.servers[0].address)?.state == "up", "it went down");
        Ok(())
    })
}
