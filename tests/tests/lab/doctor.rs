//! `xlvs doctor` in a lab: each fault that a namespace can have is made, found alone, and mended by the command that is told.

use std::fs;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lb_tests::doctor::{Finding, Mend, findings};
use lb_tests::family::Family;
use lb_tests::netns::Netns;
use lb_tests::process::{self, Running};
use lb_tests::{Lab, Plan, wait, with_lab};
use nix::sys::signal::Signal;

const BOUND: Duration = Duration::from_secs(20);
/// Where the other end of a director's veth is.
const OTHER_END: &str = "the namespace of its other end";

/// A doctor's visit: where, and with which arguments beside those of every director.
struct Visit<'a> {
    lab: &'a Lab,
    netns: &'a Netns,
    arguments: Vec<String>,
}

impl<'a> Visit<'a> {
    fn new(lab: &'a Lab, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { lab, netns: lab.director.netns(), arguments }
    }

    /// With a file that says `config`, on all interfaces of the director.
    fn with_file(lab: &'a Lab, config: &str) -> Result<Self> {
        let file = lab.dir().join("doctor.conf");
        fs::write(&file, config)?;
        let mut visit = Self::new(lab, &["--config", &file.display().to_string()]);
        for interface in lab.director.interfaces() {
            visit.arguments.extend(["--iface".to_owned(), interface.clone()]);
        }
        Ok(visit)
    }

    /// What is found; the exit code tells of faults.
    fn found(&self) -> Result<Vec<Finding>> {
        let mut command = self.netns.command(self.lab.director.binary())?;
        let director = &self.lab.director;
        let pins = director.pin_dir().display().to_string();
        command.args(["doctor", "--state-dir"]).arg(self.lab.dir().join("director/state"));
        if !self.arguments.iter().any(|argument| argument == "--pin-dir") {
            command.args(["--pin-dir", &pins]);
        }
        command.args(&self.arguments);
        findings(&mut command)
    }

    fn content(&self) -> Result<()> {
        let found = self.found()?;
        ensure!(found.is_empty(), "nothing is wrong any more, and it finds {found:#?}");
        Ok(())
    }

    /// Exactly `check` is found, of these subjects; gives what is told to do.
    fn finds(&self, check: &str, subjects: &[&str]) -> Result<Vec<Mend>> {
        let found = self.found()?;
        let told: Vec<(&str, &str)> =
            found.iter().map(|finding| (finding.check.as_str(), finding.subject.as_str())).collect();
        let expected: Vec<(&str, &str)> = subjects.iter().map(|subject| (check, *subject)).collect();
        ensure!(told == expected, "it is to find {expected:?} alone, and finds {found:#?}");
        ensure!(found.iter().all(|finding| !finding.text.is_empty()));
        Ok(found.into_iter().filter_map(|finding| finding.mend).collect())
    }

    /// Finds exactly that, does as it is told, and then nothing is wrong.
    fn heals(&self, check: &str, subjects: &[&str]) -> Result<()> {
        let mends = self.finds(check, subjects)?;
        ensure!(mends.len() == subjects.len(), "{check}: not everything can be mended: {mends:?}");
        for mend in &mends {
            self.mend(mend)?;
        }
        self.content().with_context(|| format!("{check}, after {mends:?}"))
    }

    fn mend(&self, Mend { on, command }: &Mend) -> Result<()> {
        let netns = match on.as_deref() {
            None => self.netns,
            Some(OTHER_END) => self.lab.switch().netns(),
            Some(rip) => {
                let rip: IpAddr = rip.parse().with_context(|| format!("no real server: {rip}"))?;
                let has =
                    |family| move |server: &&lb_tests::server::RealServer| server.address_in(family) == rip;
                let find = |family| self.lab.servers.iter().find(has(family));
                let server = find(Family::V4).or_else(|| find(Family::V6));
                server.with_context(|| format!("{rip} is no real server"))?.netns()
            }
        };
        netns.run("sh", &["-ec", command]).map(drop)
    }
}

/// A healthy director: what the machine's own settings are plays no part.
fn prepare(lab: &Lab) -> Result<()> {
    let netns = lab.director.netns();
    netns.sysctl("ipv4/ip_forward", "0")?;
    netns.sysctl("ipv4/conf/all/arp_ignore", "0")
}

fn both(lab: &Lab) -> String {
    format!("{}\n{}", lab.http_in(Family::V4, "rr"), lab.http_in(Family::V6, "rr"))
}

#[test]
fn a_healthy_director_has_nothing_with_and_without_a_daemon() -> Result<()> {
    with_lab(&Plan::servers(2).two_legs().dual_stack(), |lab| {
        prepare(lab)?;
        Visit::with_file(lab, &both(lab))?.content().context("by a file, without a daemon")?;
        let config = both(lab);
        lab.balance(&config, 4)?;
        Visit::new(lab, &[]).content().context("by the daemon")?;
        let text = lab.director.finished(lab.director.subcommand("doctor")?)?;
        let text = String::from_utf8(text.stdout)?;
        let expected =
            "0 faults and 0 warnings; looked at: lan0, wan0, 2 virtual addresses and 4 real servers\n";
        let other = expected.replace("lan0, wan0", "wan0, lan0");
        ensure!([expected, &other].contains(&text.as_str()), "{text}");
        Ok(())
    })
}

#[test]
fn settings_and_links_are_found_and_mended() -> Result<()> {
    with_lab(&Plan::servers(2).two_legs(), |lab| {
        prepare(lab)?;
        let netns = lab.director.netns();
        let visit = Visit::with_file(lab, &lab.http_on_all("rr").to_string())?;
        visit.content()?;

        netns.sysctl("ipv4/conf/lan0/rp_filter", "1")?;
        visit.heals("rp-filter", &["lan0"])?;
        netns.ip("link set lan0 mtu 1400")?;
        ensure!(visit.finds("mtu", &["lan0"])?.is_empty(), "which of the two is right, nobody knows");
        netns.ip("link set lan0 mtu 1500")?;
        netns.ip("link set lan0 down")?;
        visit.heals("link-down", &["lan0"])?;
        lab.switch().netns().ip("link set dir-lan0 down")?;
        visit.heals("no-carrier", &["lan0"])?;

        let vip = lab.vip().to_string();
        netns.ip(&format!("addr del {vip}/32 dev wan0"))?;
        visit.heals("unclaimed", &[&vip])?;
        netns.ip(&format!("addr del {vip}/32 dev wan0"))?;
        netns.ip(&format!("addr add {vip}/32 dev lo"))?;
        let instance = format!(
            "vrrp_instance VI_1 {{\n interface wan0\n virtual_router_id 51\n virtual_ipaddress {{\n {vip}/32\n }}\n}}\n"
        );
        let owned = Visit::with_file(lab, &format!("{instance}{}", lab.http_on_all("rr")))?;
        owned.heals("own-arp", &[&vip])?;
        netns.sysctl("ipv4/ip_forward", "1")?;
        ensure!(owned.finds("ip-forward", &["host"])?.is_empty(), "it may be a router as well");
        let visit = Visit::with_file(lab, &lab.http_on_all("rr").to_string())?;
        visit.content().context("an address that is never elsewhere")?;
        netns.sysctl("ipv4/ip_forward", "0")?;

        let missing = Visit::new(lab, &["--iface", "eth9"]).finds("no-interface", &["eth9"])?;
        ensure!(missing.is_empty(), "{missing:?}");
        Ok(())
    })
}

#[test]
fn real_servers_that_answer_or_are_silent_are_found() -> Result<()> {
    with_lab(&Plan::servers(2).two_legs().dual_stack(), |lab| {
        prepare(lab)?;
        let visit = Visit::with_file(lab, &both(lab))?;
        visit.content()?;
        let (vip, vip6) = (lab.vip().to_string(), lab.vip_in(Family::V6).to_string());
        let (first, second) = (lab.servers[0].netns(), lab.servers[1].netns());

        for scope in ["all", "lo"] {
            first.sysctl(&format!("ipv4/conf/{scope}/arp_ignore"), "0")?;
        }
        let told = visit.finds("real-server-arp", &[&vip])?;
        let hide = format!(
            "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2 \
             net.ipv4.conf.all.promote_secondaries=1; ip -4 address flush to {vip}/32; \
             ip -4 address add {vip}/32 dev lo"
        );
        ensure!(told[0].command == hide && told[0].on.as_deref() == Some("10.77.0.11"), "{told:?}");
        visit.heals("real-server-arp", &[&vip])?;

        second.ip(&format!("-6 addr add {vip6}/64 dev net0 nodad"))?;
        visit.heals("real-server-arp", &[&vip6])?;

        let client = lab.client().netns();
        client.ip(&format!("addr add {vip}/24 dev net0"))?;
        ensure!(visit.finds("duplicate", &[&vip])?.is_empty());
        client.ip(&format!("addr del {vip}/24 dev net0"))?;
        visit.content()?;

        // The kernel believes for a while that a neighbour is there which it has just spoken with.
        let forget = || lab.director.netns().ip("neigh flush all").map(drop);
        lab.switch().netns().ip("link set rs2 nomaster")?;
        forget()?;
        ensure!(visit.finds("silent", &["10.77.0.12", "fd77::12"])?.is_empty());
        lab.switch().netns().ip("link set rs2 master lan")?;
        forget()?;
        visit.content()?;

        let lost = lab.http("rr").unchecked([10, 99, 0, 7], 1).to_string();
        let lost = Visit::with_file(lab, &lost)?;
        ensure!(lost.finds("no-route", &["10.99.0.7"])?.is_empty(), "nobody knows by which interface");
        client.ip("addr add 10.99.0.7/32 dev net0")?;
        lab.director.netns().ip("route add 10.99.0.7/32 dev wan0")?;
        lost.content()
    })
}

#[test]
fn other_programs_and_other_kinds_of_interfaces_are_found() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        prepare(lab)?;
        let (netns, switch) = (lab.director.netns(), lab.switch().netns());
        let empty = lab.dir().join("empty.conf").display().to_string();
        fs::write(&empty, "")?;
        let of = |interface: &str| Visit::new(lab, &["--config", &empty, "--iface", interface]);
        of("lan0").content()?;

        netns.ip("link add link lan0 name mac0 type macvlan")?;
        netns.ip("link set mac0 up")?;
        let generic = |interface: &str| format!("xlvs run --iface {interface} --mode generic");
        assert_eq!(of("mac0").finds("stacked", &["mac0"])?[0].command, generic("mac0"));
        of("lan0").content().context("what is below it")?;
        netns.ip("link del mac0")?;
        netns.ip("link add br7 type bridge")?;
        netns.ip("link set br7 up")?;
        netns.ip("link set lan0 master br7")?;
        assert_eq!(of("br7").finds("stacked", &["br7"])?[0].command, generic("br7"));

        netns.ip(&format!("link add x0 type veth peer name x1 netns {}", switch.name()))?;
        netns.ip("link set x0 up")?;
        switch.ip("link set x1 up")?;
        let told = of("x0").finds("veth-peer", &["x0"])?;
        ensure!(told[0].on.as_deref() == Some(OTHER_END), "{told:?}");
        let mut passing = run_beside(lab, switch, &told[0].command)?;
        wait::until("a program at the other end", BOUND, || {
            let found = of("x0").found()?;
            Ok(if found.is_empty() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(format!("{found:?}"))
            })
        })?;

        ensure!(passing.stop(Signal::SIGTERM, BOUND)?.success(), "it ends cleanly");

        // The port at the other end of the director's cable has a program of the lab's.
        netns.ip("link set lan0 nomaster")?;
        let mut visit = of("dir-lan0");
        visit.netns = switch;
        let found = visit.found()?;
        let told =
            found.iter().find(|finding| finding.check == "other-program").context("no other program")?;
        let mend = told.mend.clone().context("no command")?;
        ensure!(mend.command.starts_with("bpftool link detach id "), "{mend:?}");
        visit.mend(&mend)?;
        let left = visit.found()?;
        ensure!(!left.iter().any(|finding| finding.check == "other-program"), "{left:?}");
        Ok(())
    })
}

/// Runs a command that goes on, with the binary under test and directories of the lab's.
fn run_beside(lab: &Lab, netns: &Netns, command: &str) -> Result<Running> {
    let mut words = command.split_whitespace();
    ensure!(words.next() == Some("xlvs"), "{command}");
    let log = fs::File::create(lab.dir().join("beside.log"))?;
    let mut run = netns.command(lab.director.binary())?;
    let mut takes = None;
    for word in words {
        let word = match takes.take() {
            Some("--state-dir") => lab.dir().join("beside").display().to_string(),
            Some("--pin-dir") => format!("{}-beside", lab.director.pin_dir().display()),
            _ => word.to_owned(),
        };
        takes = ["--state-dir", "--pin-dir"].into_iter().find(|option| *option == word);
        run.arg(word);
    }
    run.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Running::start("xlvs at the other end", &mut run)
}

#[test]
fn a_directory_that_is_no_bpf_file_system_is_found_and_mended() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        prepare(lab)?;
        let pins = Mounted(lab.dir().join("pins"));
        let file = lab.dir().join("empty.conf");
        fs::write(&file, "")?;
        let (file, under) = (file.display().to_string(), pins.0.display().to_string());
        Visit::new(lab, &["--config", &file, "--iface", "lan0", "--pin-dir", &under])
            .heals("bpffs", &["host"])
    })
}

/// A directory on which something may be mounted.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = process::output(Command::new("umount").arg(&self.0)) {
            eprintln!("lab: {error:#}");
        }
    }
}
