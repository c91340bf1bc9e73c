//! Configurations that change under traffic.

use std::net::Ipv4Addr;
use std::process::Output;
use std::time::Duration;

use anyhow::{Result, ensure};
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::director::Director;
use lb_tests::echo::UdpEcho;
use lb_tests::http::Download;
use lb_tests::lab::{BIG_MEGABYTES, HTTP};
use lb_tests::load::Load;
use lb_tests::status::Status;
use lb_tests::{Family, Lab, Plan, with_lab};
use nix::sys::signal::Signal;

const BOUND: Duration = Duration::from_secs(15);
const UDP: u16 = 5300;
/// Requests that each server must answer after each change.
const ENOUGH: usize = 60;

/// The last server of the lab, whose nginx is down.
const DEAD: usize = 3;

/// A lab under load, and what must not be lost in it.
struct Watched<'a> {
    lab: &'a Lab,
    load: &'a Load,
    downloads: Vec<Download>,
    megabytes: usize,
    last: Status,
}

impl Watched<'_> {
    /// After a change: nothing was lost until now, everything that counts counts on, and these servers serve.
    fn check(&mut self, what: &str, serving: &[&str]) -> Result<()> {
        self.load.wait_answers(serving, ENOUGH)?;
        self.megabytes += 1;
        for download in &mut self.downloads {
            download.advance_to(self.megabytes)?;
        }
        let now = self.lab.director.status()?;
        ensure!(now.pid == self.last.pid);
        let (was, is) = (http(&self.last)?, http(&now)?);
        ensure!(is.connections > was.connections && is.packets > was.packets, "{what}: {was:?}, then {is:?}");
        for old in &was.servers {
            let Some(new) = is.servers.iter().find(|new| new.address == old.address) else { continue };
            ensure!(
                new.connections >= old.connections && new.packets >= old.packets,
                "{what}: {old:?}, {new:?}"
            );
        }
        for (name, count) in &self.last.counters {
            ensure!(now.counters[name] >= *count, "{what}: {name} was {count}, is {}", now.counters[name]);
        }
        let address = self.lab.servers[DEAD].address;
        let dead = is.servers.iter().find(|server| server.address == address);
        let dead = dead.ok_or_else(|| anyhow::anyhow!("{what}: {address} is gone"))?;
        ensure!(dead.state == "down" && dead.connections == 0, "{what}: {dead:?}");
        ensure!(self.load.failures().is_empty(), "{what}: {:?}", self.load.failures());
        self.last = now;
        Ok(())
    }
}

fn http(status: &Status) -> Result<&lb_tests::status::Service> {
    let service = status.services.iter().find(|service| service.port == HTTP);
    service.ok_or_else(|| anyhow::anyhow!("no HTTP service in {status:?}"))
}

/// The output of a reload that must succeed, in place or with another program.
fn reloaded(output: &Output, in_place: bool) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{output:?}");
    ensure!(said.contains("was replaced") != in_place, "{said}");
    Ok(said)
}

/// The services of an HTTP service and the text around them.
fn config(lab: &Lab, scheduler: &str, weights: &[(usize, u32)]) -> String {
    let add = |service: VirtualServer, &(server, weight): &(usize, u32)| {
        service.checked(lab.servers[server].address, weight)
    };
    weights.iter().fold(lab.http(scheduler), add).to_string()
}

fn hang_up(director: &Director, config: &str) -> Result<()> {
    let reloads = director.status()?.configuration.reloads;
    director.write_config(config)?;
    director.signal(Signal::SIGHUP)?;
    director.wait_status("the reload", BOUND, |status| status.configuration.reloads > reloads)?;
    Ok(())
}

#[test]
fn nothing_is_lost_while_the_configuration_changes() -> Result<()> {
    with_lab(&Plan::servers(4), |lab| {
        lab.make_big_file()?;
        lab.servers[DEAD].stop()?;
        let echoes = lab.servers[..3]
            .iter()
            .map(|server| UdpEcho::start(server.netns(), (lab.vip(), UDP), server.name()));
        let _echoes = echoes.collect::<Result<Vec<_>>>()?;
        let first = config(lab, "wrr", &[(0, 1), (1, 1), (DEAD, 1)]);
        lab.director.start(&first)?;
        let down =
            |status: &Status| status.server(lab.servers[DEAD].address).is_ok_and(|dead| dead.state == "down");
        let last = lab.director.wait_status("rs4 to be down", BOUND, down)?;
        let begin = |_| lab.client().download(lab.service(), "/big");
        let downloads = (0..4).map(begin).collect::<Result<Vec<_>>>()?;
        Load::during(lab.client().netns(), lab.service().into(), |load| {
            let mut watched = Watched { lab, load, downloads, megabytes: 0, last };
            watched.check("before any change", &["rs1", "rs2"])?;
            let begin = std::time::Instant::now();
            changes(lab, &mut watched)?;
            let answers: usize = load.answers().values().sum();
            eprintln!("{answers} requests, {:?} since the first change", begin.elapsed());
            watched.downloads.iter_mut().try_for_each(|download| download.advance_to(BIG_MEGABYTES))?;
            watched.downloads.into_iter().try_for_each(Download::finish)
        })
    })
}

/// Every kind of change, one after the other.
fn changes(lab: &Lab, watched: &mut Watched<'_>) -> Result<()> {
    let director = &lab.director;
    let same = config(lab, "wrr", &[(0, 1), (1, 1), (DEAD, 1)]);
    let said = reloaded(&director.reload(&same)?, true)?;
    assert_eq!(said, "nothing changed\n");
    assert_eq!(director.status()?.configuration.reloads, 0);
    watched.check("the same file", &["rs1", "rs2"])?;

    let three = config(lab, "wrr", &[(0, 1), (1, 1), (2, 1), (DEAD, 1)]);
    let said = reloaded(&director.reload(&three)?, true)?;
    assert_eq!(said.lines().next(), Some("TCP 10.77.0.100:80: real server 10.77.0.13 added with weight 1"));
    watched.check("a server more", &["rs1", "rs2", "rs3"])?;

    hang_up(director, &config(lab, "wrr", &[(0, 3), (1, 1), (2, 2), (DEAD, 5)]))?;
    watched.check("other weights", &["rs1", "rs2", "rs3"])?;
    let weights: Vec<_> = http(&watched.last)?.servers.iter().map(|server| server.weight).collect();
    assert_eq!(weights, [3, 1, 2, 5]);

    let http_service = config(lab, "wrr", &[(0, 3), (1, 1), (2, 2), (DEAD, 5)]);
    let timeouts = format!("global_defs {{\n    lvs_timeouts tcp 1234\n}}\n{http_service}");
    reloaded(&director.reload(&timeouts)?, true)?;
    assert!(director.dump("timeouts")?.to_string().contains("1234"), "{}", director.dump("timeouts")?);
    watched.check("other timeouts", &["rs1", "rs2", "rs3"])?;

    let own: Vec<Ipv4Addr> = lab.servers[..3].iter().map(|server| server.address).collect();
    let udp = VirtualServer::new(lab.vip_in(Family::V4), UDP, Protocol::Udp, "rr");
    let udp = own.iter().fold(udp, |service, address| service.unchecked(*address, 1));
    let both = format!("{timeouts}{udp}");
    let program = director.program_id()?;
    let said = reloaded(&director.reload(&both)?, true)?;
    assert!(said.contains("UDP 10.77.0.100:5300: added, real servers: 3"), "{said}");
    let vip = (lab.vip(), UDP);
    assert_eq!(lab.client().datagrams(vip, 6)?, ["rs3", "rs2", "rs1"].repeat(2));
    watched.check("a service more", &["rs1", "rs2", "rs3"])?;

    let broken = both.replace("weight 3", "weight three");
    let output = director.reload(&broken)?;
    assert_eq!(output.status.code(), Some(6));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("three") && said.contains("nothing was changed"), "{said}");
    let failure = director.status()?.configuration.failure.map(|failure| failure.reason);
    assert!(failure.as_ref().is_some_and(|reason| reason.contains("keepalived.conf:")), "{failure:?}");
    watched.check("a broken file", &["rs1", "rs2", "rs3"])?;

    let by_hash = both.replacen("lb_algo wrr", "lb_algo sh", 1);
    let said = reloaded(&director.reload(&by_hash)?, true)?;
    assert!(said.contains("scheduler wrr is now sh"), "{said}");
    assert!(director.status()?.configuration.failure.is_none());
    watched.check("a scheduler by hash", &[])?;
    let said = reloaded(&director.reload(&both)?, true)?;
    assert!(said.contains("scheduler sh is now wrr"), "{said}");
    watched.check("and back", &["rs1", "rs2", "rs3"])?;

    reloaded(&director.reload(&timeouts)?, true)?;
    watched.check("a service less", &["rs1", "rs2", "rs3"])?;
    assert_eq!(director.program_id()?, program);

    let marked =
        format!("{timeouts}fwmark_rules {{\n    mark 1 {{\n        destination 10.77.0.99\n    }}\n}}\n");
    let said = reloaded(&director.reload(&marked)?, false)?;
    assert!(said.contains("firewall marks"), "{said}");
    assert_ne!(director.program_id()?, program);
    watched.check("another program", &["rs1", "rs2", "rs3"])?;

    // Whoever is being served by it at this moment may fail, and nobody else.
    let before = watched.load.answers();
    hang_up(director, &config(lab, "wrr", &[(0, 3), (1, 1), (DEAD, 5)]))?;
    watched.load.wait_answers(&["rs1", "rs2"], ENOUGH)?;
    let after = watched.load.answers();
    let failures = watched.load.failures();
    assert!(failures.len() <= 8, "{failures:?}");
    assert!(after["rs3"] - before["rs3"] < after["rs1"] - before["rs1"], "{before:?}, then {after:?}");
    let status = director.status()?;
    assert!(
        http(&status)?.connections > http(&watched.last)?.connections,
        "{status:?}, before {:?}",
        watched.last
    );
    watched.megabytes += 1;
    let megabytes = watched.megabytes;
    watched.downloads.iter_mut().try_for_each(|download| download.advance_to(megabytes))
}
