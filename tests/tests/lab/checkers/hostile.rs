//! Servers that mean harm: each check comes to its verdict in bounded time and memory, and those of others stay on time.

use std::fs;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::director::Director;
use lb_tests::netns::Netns;
use lb_tests::rude::Rude;
use lb_tests::{Lab, Plan, timed, wait, with_lab};

use super::attacks::{ATTACKS, Attack, Manner};
use super::journal::{LEVEL, Tail};
use super::judge::{Judge, Window};
use super::timing::{Takes, Timing};

const BOUND: Duration = Duration::from_secs(20);
/// Of the service with the server that means no harm; the others follow.
const FIRST_PORT: u16 = 1000;
/// Two rounds of the slowest.
const LASTS: Duration = Duration::from_secs(9);
const HEALTHY: Timing = Timing::of(1000, 1, 500, 500);
/// What a probe of a server that means harm may take beside what it must.
const MARGIN: Duration = Duration::from_millis(500);
/// By which the daemon may grow for all of them together.
const MOST: u64 = 20 << 20;

fn healthy(lab: &Lab) -> String {
    let check = "HTTP_GET {\n connect_port 80\n delay_loop 1\n retry 1\n delay_before_retry 0.5\n connect_timeout 0.5\n \
                 url {\n path /health\n status_code 200\n }\n }";
    let service = VirtualServer::new(lab.vip(), FIRST_PORT, Protocol::Tcp, "rr");
    format!("global_defs {{\n script_user root\n}}\n{}", service.checked_by(lab.servers[1].address, 1, check))
}

fn hostile(lab: &Lab) -> String {
    let services = ATTACKS.iter().map(|attack| {
        let service = VirtualServer::new(lab.vip(), attack.port, Protocol::Tcp, "rr");
        let check = attack.check(lab.dir());
        service.checked_by(lab.servers[0].address, 1, &check).to_string()
    });
    services.collect()
}

fn start(attack: &Attack, netns: &Netns, address: SocketAddr, dir: &Path) -> Result<Option<Rude>> {
    match attack.manner {
        Manner::Absent => Ok(None),
        Manner::Speaks(speech) => Rude::tcp(netns, address, speech()).map(Some),
        Manner::Answers(answers) => Rude::udp(netns, address, answers).map(Some),
        Manner::Echoes(answers) => {
            netns.ip(&format!("addr add {}/24 dev net0", attack.own_address()))?;
            Rude::icmp(netns, attack.own_address(), answers).map(Some)
        }
        Manner::Runs(script) => {
            let path = attack.program(dir);
            fs::write(&path, script).with_context(|| path.display().to_string())?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            Ok(None)
        }
    }
}

/// A number of kilobytes from the daemon's own account of its memory, in bytes.
fn memory(director: &Director, what: &str) -> Result<u64> {
    let path = format!("/proc/{}/status", director.pid().context("no daemon")?);
    let status = fs::read_to_string(&path).context(path)?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)).context("no such line")?;
    let kilobytes: u64 = line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().context(line.to_owned())?;
    Ok(kilobytes << 10)
}

/// Lets the highest use of memory count from now on.
fn forget_highest(director: &Director) -> Result<()> {
    let path = format!("/proc/{}/clear_refs", director.pid().context("no daemon")?);
    fs::write(&path, "5").context(path)
}

/// The processes in a namespace.
fn processes(netns: &Netns) -> Result<Vec<u32>> {
    let own = netns.enter(|| Ok(fs::metadata("/proc/thread-self/ns/net")?.ino()))?;
    let numbers = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_there = |number: &u32| {
        fs::metadata(format!("/proc/{number}/ns/net")).is_ok_and(|namespace| namespace.ino() == own)
    };
    Ok(numbers.filter(is_there).collect())
}

/// What is not as it should be.
fn problems(lab: &Lab, tail: &Tail<'_>, window: Window) -> Vec<String> {
    let address = lab.servers[0].address;
    let attacks = ATTACKS.iter().map(|attack| {
        let subject = attack.subject(address.into(), lab.dir());
        let whose = format!("{address} service=TCP {}:{}", lab.vip(), attack.port);
        let takes = Takes { passing: attack.takes, failing: attack.takes };
        let (probes, moves, timing) =
            (tail.journal.probes(&subject), tail.journal.moves(&whose), attack.timing());
        let judge = Judge { probes, moves, timing: &timing, takes, window };
        let judged = judge.is_always(attack.reason, MARGIN);
        judged.map_err(|problem| format!("{}, {subject}: {problem}", attack.name))
    });
    let subject = format!("HTTP_GET {}:80", lab.servers[1].address);
    let whose = format!("{} service=TCP {}:{FIRST_PORT}", lab.servers[1].address, lab.vip());
    let (probes, moves) = (tail.journal.probes(&subject), tail.journal.moves(&whose));
    let healthy = Judge { probes, moves, timing: &HEALTHY, takes: Takes::default(), window }.stays();
    let healthy = healthy.map_err(|problem| format!("the healthy server: {problem}"));
    attacks.chain([healthy]).filter_map(Result::err).collect()
}

#[test]
fn servers_that_mean_harm_do_none() -> Result<()> {
    timed::on_time(harm_done)
}

/// Has all of them checked; gives what is not as it should be.
fn harm_done() -> Result<String> {
    let mut found = Vec::new();
    with_lab(&Plan::servers(2), |lab| {
        let address = lab.servers[0].address;
        lab.servers[0].netns().sysctl("ipv4/icmp_ratelimit", "0")?;
        // Nobody echoes but those that mean harm.
        lab.servers[0].netns().sysctl("ipv4/icmp_echo_ignore_all", "1")?;
        let mut rude = Vec::new();
        for attack in &ATTACKS {
            let at = SocketAddr::new(address.into(), attack.port);
            rude.extend(start(attack, lab.servers[0].netns(), at, lab.dir())?);
        }
        lab.director.set_options(&LEVEL);
        lab.balance(&healthy(lab), 1)?;
        let mut tail = Tail::new(&lab.director);
        let ours = format!("HTTP_GET {}:80", lab.servers[1].address);
        wait_for(&mut tail, &|subject, tail| tail.journal.probes(subject).len() > 1, &[ours])?;
        let before = memory(&lab.director, "VmRSS")?;
        forget_highest(&lab.director)?;

        let both = format!("{}{}", healthy(lab), hostile(lab));
        let output = lab.director.reload(&both)?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let subjects: Vec<String> =
            ATTACKS.iter().map(|attack| attack.subject(address.into(), lab.dir())).collect();
        wait_for(&mut tail, &|subject, tail| !tail.journal.probes(subject).is_empty(), &subjects)?;
        let began = SystemTime::now();
        thread::sleep(LASTS);
        let window = Window { began, done: began, ended: SystemTime::now() };
        let highest = memory(&lab.director, "VmHWM")?;
        tail.read()?;
        found = problems(lab, &tail, window);
        let grown = highest.saturating_sub(before);
        println!("the daemon grew by {} kB", grown >> 10);
        ensure!(grown < MOST, "the daemon grew by {grown} bytes");

        lab.director.term()?;
        wait::until("all programs to end", BOUND, || {
            let left = processes(lab.director.netns())?;
            Ok(if left.is_empty() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(format!("{left:?}"))
            })
        })
    })?;
    Ok(found.join("\n"))
}

fn wait_for(tail: &mut Tail<'_>, is_so: &dyn Fn(&str, &Tail<'_>) -> bool, subjects: &[String]) -> Result<()> {
    wait::until("probes of all", BOUND, || {
        tail.read()?;
        let missing: Vec<&str> =
            subjects.iter().map(String::as_str).filter(|subject| !is_so(subject, tail)).collect();
        Ok(if missing.is_empty() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(missing.join(", "))
        })
    })
}
