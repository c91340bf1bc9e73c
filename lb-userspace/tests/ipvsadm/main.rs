//! `xlvs::adm` beside ipvsadm itself, which speaks with a kernel that these tests play: the same command lines, on the same
//! tables, must print the same, end the same and leave the same. Needs root, ipvsadm and a C compiler.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may panic; clippy only knows the test functions themselves"
)]

mod golden;
mod kernel;
mod lines;
mod netlink;
#[path = "../netns/mod.rs"]
#[expect(dead_code, reason = "each test needs a part of it")]
mod netns;
mod pools;
mod states;

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::{env, thread};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tempfile::TempDir;
use xlvs::adm::state::Protocol;
use xlvs::adm::{Names, Outcome, Table, run};

/// Command lines on one table, one after the other.
const LINES: u64 = 10;
/// How many of them the suite tries; `XLVS_ADM_LINES` asks for more.
const ALL: u64 = 1000;
/// Where the seeds begin; `XLVS_ADM_SEED` begins elsewhere.
const SEED: u64 = 1;

/// The names of `stand_in.c`.
struct TestNames;

impl Names for TestNames {
    fn address_of(&self, host: &str) -> Option<Ipv4Addr> {
        match host {
            "www" => Some(Ipv4Addr::new(192, 0, 2, 80)),
            "long" => Some(Ipv4Addr::new(192, 0, 2, 81)),
            _ => None,
        }
    }

    fn port_of(&self, service: &str, protocol: Protocol) -> Option<u16> {
        match (service, protocol) {
            ("http", Protocol::Tcp) => Some(80),
            ("domain", Protocol::Tcp | Protocol::Udp) => Some(53),
            ("m3ua", Protocol::Sctp) => Some(2905),
            _ => None,
        }
    }

    fn host_at(&self, address: IpAddr) -> Option<String> {
        let name = match address.to_string().as_str() {
            "192.0.2.80" => "www.example.net",
            "192.0.2.81" => "host-with-a-long-name.example.net",
            "2001:db8::80" => "six.example.net",
            _ => return None,
        };
        Some(name.to_owned())
    }

    fn service_at(&self, port: u16, protocol: Protocol) -> Option<String> {
        let names = ["http", "domain", "m3ua"];
        names.into_iter().find(|name| self.port_of(name, protocol) == Some(port)).map(str::to_owned)
    }
}

#[test]
fn every_command_line_does_what_it_does_to_ipvsadm() {
    let asked = |name, usual| env::var(name).ok().map_or(usual, |text| text.parse().expect("a number"));
    let (first, all) = (asked("XLVS_ADM_SEED", SEED), asked("XLVS_ADM_LINES", ALL));
    let host = netns::Pair::new();
    let place = TempDir::new().expect("a directory can be made");
    let stand_in = compile(place.path());
    let workers = thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let wrong = thread::scope(|scope| {
        let work = |worker: u64| {
            let (place, stand_in) = (place.path().join(worker.to_string()), &stand_in);
            fs::create_dir(&place).expect("a directory can be made");
            let seeds = (first..first + all / LINES).filter(move |seed| seed % workers == worker);
            seeds
                .filter_map(|seed| compare(seed, &Real { place: place.clone(), stand_in }))
                .collect::<Vec<_>>()
        };
        let director = &host.director;
        let running: Vec<_> =
            (0..workers).map(|worker| scope.spawn(move || netns::enter(director, || work(worker)))).collect();
        running.into_iter().flat_map(|worker| worker.join().expect("a worker ends well")).collect::<Vec<_>>()
    });
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

fn compile(place: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ipvsadm/stand_in.c");
    let object = place.join("stand_in.so");
    let done = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&object).arg(source).status();
    assert!(done.expect("cc can be run").success(), "stand_in.c cannot be compiled");
    object
}

/// How ipvsadm is run.
struct Real<'a> {
    place: PathBuf,
    stand_in: &'a Path,
}

impl Real<'_> {
    fn run(&self, line: &lines::Line, connections: &Path) -> Result<Outcome, String> {
        let mut child = Command::new("/usr/sbin/ipvsadm")
            .arg0("ipvsadm")
            .args(&line.words)
            .env_clear()
            .env("LD_PRELOAD", self.stand_in)
            .env("STAND_IN_KERNEL", self.place.join("kernel"))
            .env("STAND_IN_CONNECTIONS", connections)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "ipvsadm cannot be run: {error}; `cargo xtask setup --level lab` installs what is missing"
                )
            });
        let mut input = child.stdin.take().expect("it has an input");
        // Most command lines read nothing.
        let _unread = input.write_all(line.input.as_bytes());
        drop(input);
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints text");
        match output.status.code() {
            Some(status) => {
                let status = u8::try_from(status).expect("an exit status");
                Ok(Outcome {
                    stdout: text(output.stdout),
                    stderr: text(output.stderr),
                    status,
                    changes: Vec::new(),
                })
            }
            None => Err(format!("signal {:?}", output.status.signal())),
        }
    }
}

/// The lines of one seed, up to the first that differs.
fn compare(seed: u64, real: &Real<'_>) -> Option<String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut ours = states::table(&mut rng);
    let theirs = Arc::new(Mutex::new(ours.clone()));
    let (socket, connections) = (real.place.join("kernel"), real.place.join("connections"));
    let _absent = fs::remove_file(&socket);
    fs::write(&connections, states::file(&ours)).expect("a file can be written");
    let kernel = thread::spawn({
        let (socket, theirs) = (socket.clone(), Arc::clone(&theirs));
        move || kernel::serve(&socket, &theirs)
    });
    while !socket.exists() {
        assert!(!kernel.is_finished(), "the kernel that is played has ended");
        thread::yield_now();
    }
    let difference = (0..LINES).find_map(|place| {
        let line = lines::line(&mut rng);
        let told = run("ipvsadm", &line.words, &line.input, &mut ours, &TestNames);
        let told = Outcome { changes: Vec::new(), ..told };
        let difference =
            differ(&line, &told, &real.run(&line, &connections), &ours, &theirs.lock().expect("it lives"));
        difference.map(|difference| {
            format!("seed {seed}, line {place}: ipvsadm {:?} <<< {:?}\n{difference}", line.words, line.input)
        })
    });
    UnixDatagram::unbound().and_then(|end| end.send_to(&[], &socket)).expect("the kernel can be ended");
    kernel.join().expect("the kernel that is played ends well");
    difference
}

fn differ(
    line: &lines::Line,
    ours: &Outcome,
    real: &Result<Outcome, String>,
    left: &Table,
    theirs: &Table,
) -> Option<String> {
    let told = match real {
        Ok(told) => told,
        Err(signal) => return Some(format!("it ends by {signal}: {:?}", line.words)),
    };
    let comparable = |outcome: &Outcome| Outcome { stdout: without_help(&outcome.stdout), ..outcome.clone() };
    let (ours, told) = (comparable(ours), comparable(told));
    if ours != told {
        let show = |outcome: &Outcome| format!("[{}]\n{}{}", outcome.status, outcome.stdout, outcome.stderr);
        return Some(format!("--- ipvsadm {}--- xlvs {}", show(&told), show(&ours)));
    }
    (left != theirs).then(|| format!("--- ipvsadm {theirs:#?}\n--- xlvs {left:#?}"))
}

/// The help tells what options are for in words of its own, behind the forms of the commands.
fn without_help(stdout: &str) -> String {
    let last = "  ipvsadm -h\n";
    match stdout.split_once(last) {
        Some((forms, _)) => forms.to_owned() + last,
        None => stdout.to_owned(),
    }
}
