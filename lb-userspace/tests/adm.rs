//! `xlvs adm`, and the binary under ipvsadm's name, before a daemon that answers with a status made for it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use tempfile::TempDir;
use xlvs::status::{Checks, Configuration, Persistence, RealServer, ServerState, Service, Status};

const LISTING: &str = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  192.0.2.10:80 sh (sh-fallback,sh-port) persistent 300 mask 255.255.255.0
  -> 198.51.100.11:80             Route   5      17         41        \n  -> 198.51.100.13:80             Route   0      0          0         \n\
FWM  7 IPv6 rr ops
  -> [2001:db8::11]:0             Route   1      0          0         \n";

#[test]
fn services_are_listed_as_ipvsadm_lists_those_of_the_kernel() {
    let output = ask(&["-ln"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), LISTING));
    let output = ask(&["-Ln", "-f", "7", "-6"]);
    let alone = LISTING.split_once("IP Virtual Server version 1.2.1 (size=4096)\n").expect("a version").1;
    let (head, services) = alone.split_once("TCP").expect("a service");
    let mark = services.split_once("FWM").expect("a mark").1;
    assert_eq!(text(&output.stdout), format!("{head}FWM{mark}"));
}

#[test]
fn what_was_counted_is_listed() {
    let stats = text(&ask(&["-Ln", "--stats"]).stdout);
    let shown = stats.lines().find(|line| line.starts_with("TCP"));
    assert_eq!(shown, Some("TCP  192.0.2.10:80                       9    5000M        0        0        0"));
}

#[test]
fn what_is_saved_are_the_commands_that_would_make_it() {
    let saved = "\
-A -t 192.0.2.10:80 -s sh -p 300 -M 255.255.255.0 -b sh-fallback,sh-port
-a -t 192.0.2.10:80 -r 198.51.100.11:80 -g -w 5
-a -t 192.0.2.10:80 -r 198.51.100.13:80 -g -w 0
-A -f 7 -6 -s rr -o
-a -f 7 -6 -r [2001:db8::11]:0 -g -w 1
";
    assert_eq!(text(&ask(&["-S", "-n"]).stdout), saved);
}

#[test]
fn a_change_is_refused_and_says_what_to_do() {
    for words in [&["-A", "-t", "192.0.2.10:81"][..], &["-C"], &["-R"], &["--set", "1", "2", "3"]] {
        let output = ipvsadm(words, Path::new("/nowhere"));
        let said =
            "ipvsadm: the services are those of the configuration: change the file, then run `xlvs reload`\n";
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(255), said), "{words:?}");
    }
    let output = ipvsadm(&["-L", "-c"], Path::new("/nowhere"));
    assert_eq!(output.status.code(), Some(255));
    assert!(text(&output.stderr).contains("xlvs status --json"), "{output:?}");
}

#[test]
fn a_wrong_command_line_needs_no_daemon() {
    let output = ipvsadm(&["-A"], Path::new("/nowhere"));
    let said = "You need to supply the 'service-address' option for the 'add-service' command\n";
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(2), said));
    let output = run(Command::new(env!("CARGO_BIN_EXE_xlvs")).args(["adm", "-nL"]), Path::new("/nowhere"));
    let said = "Try `xlvs adm -h' or 'xlvs adm --help' for more information.\n";
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(255), said));
    let output = ipvsadm(&["-ln"], Path::new("/nowhere"));
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).starts_with("ipvsadm: /nowhere/control.sock: no daemon answers"),
        "{output:?}"
    );
}

/// Asks with these arguments, once there is somebody who answers.
fn ask(words: &[&str]) -> Output {
    let place = TempDir::new().expect("a directory can be made");
    let listener = UnixListener::bind(place.path().join("control.sock")).expect("a socket can be made");
    let daemon = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("it is asked");
        let mut question = Vec::new();
        while !question.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("the question ends");
            question.extend(byte);
        }
        assert!(question.starts_with(b"GET /status "), "{question:?}");
        let body = serde_json::to_string(&status()).expect("it can be written");
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).expect("it can be answered");
    });
    let output = ipvsadm(words, place.path());
    daemon.join().expect("the daemon ends well");
    output
}

fn ipvsadm(words: &[&str], state_dir: &Path) -> Output {
    run(Command::new(env!("CARGO_BIN_EXE_xlvs")).arg0("ipvsadm").args(words), state_dir)
}

fn run(command: &mut Command, state_dir: &Path) -> Output {
    command.env("XLVS_STATE_DIR", state_dir).output().expect("xlvs can be run")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn server(address: &str) -> RealServer {
    RealServer {
        address: address.parse().expect("an address"),
        port: 80,
        weight: 1,
        upper_threshold: 0,
        lower_threshold: 0,
        state: ServerState::Up,
        reason: None,
        eligible: true,
        local: false,
        sorry: false,
        withdrawn: false,
        mac: None,
        interface: None,
        connections: 0,
        active_connections: 0,
        inactive_connections: 0,
        packets: 0,
        bytes: 0,
    }
}

/// A service with a real server that is up, one that a check took out and one whose weight it took, and one of a mark.
fn status() -> Status {
    let up =
        RealServer { weight: 5, active_connections: 17, inactive_connections: 41, ..server("198.51.100.11") };
    let down =
        || RealServer { state: ServerState::Down, eligible: false, weight: 3, ..server("198.51.100.12") };
    let gone = RealServer { withdrawn: true, ..down() };
    let inhibited = RealServer { address: IpAddr::from([198, 51, 100, 13]), ..down() };
    let service = Service {
        address: IpAddr::from([192, 0, 2, 10]),
        port: 80,
        protocol: "TCP".to_owned(),
        fwmark: None,
        scheduler: "sh".to_owned(),
        scheduler_flags: vec!["sh-fallback".to_owned(), "sh-port".to_owned()],
        persistence: Some(Persistence { timeout_seconds: 300, granularity: 24, expire_quiescent: false }),
        one_packet: false,
        sloppy: false,
        instance: None,
        active: true,
        quorum: 1,
        quorum_lost: false,
        connections: 9,
        active_connections: 17,
        inactive_connections: 41,
        packets: 5_000_000_000,
        bytes: 0,
        servers: vec![up, gone, inhibited],
    };
    let mark = Service {
        address: "::".parse().expect("an address"),
        port: 0,
        protocol: "FWM".to_owned(),
        fwmark: Some(7),
        scheduler: "rr".to_owned(),
        scheduler_flags: Vec::new(),
        persistence: None,
        one_packet: true,
        servers: vec![RealServer { port: 0, ..server("2001:db8::11") }],
        ..service.clone()
    };
    Status {
        version: "1".to_owned(),
        pid: 1,
        uptime_seconds: 1,
        mode: "native".to_owned(),
        configuration: Configuration::default(),
        interfaces: Vec::new(),
        instances: Vec::new(),
        services: vec![service, mark],
        checks: Checks::default(),
        counters: BTreeMap::default(),
    }
}
