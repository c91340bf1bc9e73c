//! `xlvs adm`, and the binary under ipvsadm's name, before a daemon that answers with a table made for it.

use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use serde::Serialize;
use tempfile::TempDir;
use xlvs::adm::{
    Command as Change, Table,
    state::{
        Connections, Counts, Family, Forwarding, ListedServer, ListedService, Netmask, Protocol,
        SchedulerFlags, Server, ServerId, Service, ServiceId, Timeouts, Tunnel,
    },
};

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
fn rates_and_timeouts_are_listed() {
    let rates = text(&ask(&["-Ln", "--rate"]).stdout);
    assert!(rates.contains("TCP  192.0.2.10:80                       3        0"), "{rates}");
    assert_eq!(text(&ask(&["-L", "--timeout"]).stdout), "Timeout (tcp tcpfin udp): 800 90 30\n");
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
fn what_a_command_changes_is_asked_of_the_daemon_and_what_it_says_is_told() {
    let words = &["-d", "-t", "192.0.2.10:80", "-r", "198.51.100.11:80"];
    let (output, asked) = ask_for(words, "", &["{\"Ok\":null}".to_owned()]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    let server = ServerId { address: [198, 51, 100, 11].into(), port: 80 };
    assert_eq!(asked, [Change::DeleteServer(web(), server)]);

    let (output, _) = ask_for(words, "", &["{\"Err\":\"there is no room\"}".to_owned()]);
    let said = "ipvsadm: there is no room\n";
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(255), said));
}

#[test]
fn a_change_that_the_table_denies_is_asked_of_nobody() {
    let output = ask(&["-A", "-t", "192.0.2.10:80"]);
    assert_eq!(
        (output.status.code(), text(&output.stderr).as_str()),
        (Some(255), "Service already exists\n")
    );
}

#[test]
fn all_lines_that_are_restored_are_one_change() {
    let lines = "-A -u 192.0.2.10:53 -s rr\n-A -t 192.0.2.10:80 -s rr\n-a -u 192.0.2.10:53 -r 198.51.100.9\n";
    let (output, asked) = ask_for(&["-R"], lines, &["{\"Ok\":null}".to_owned()]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), "Service already exists\n"));
    assert!(matches!(asked[..], [Change::AddService(_), Change::AddServer(..)]), "{asked:?}");
}

/// As a director sends them.
const CONNECTIONS: [&str; 2] = [
    r#"{"protocol":"TCP","expires":899,"state":"ESTABLISHED","client":["192.0.2.7",40000],"service":["192.0.2.10",80],"server":["198.51.100.11",80],"engine":null}"#,
    r#"{"protocol":"IP","expires":61,"state":"ASSURED","client":["2001:db8::",0],"service":["0:7::",0],"server":["2001:db8::11",0],"engine":null}"#,
];

#[test]
fn connections_are_printed_as_they_come() {
    let lines = CONNECTIONS.map(|line| format!("{line}\n")).concat();
    let (output, _) = ask_at(&["-Lnc"], "", &[("/connections", lines.clone())]);
    let listing = "\
IPVS connection entries
pro expire state       source             virtual            destination
TCP 14:59  ESTABLISHED 192.0.2.7:40000    192.0.2.10:80      198.51.100.11:80
IP  01:01  ASSURED     [2001:db8::]:0     [0:7::]:0          [2001:db8::11]:0
";
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), listing));
    let (output, _) = ask_at(&["-Lnc"], "", &[("/connections", String::new())]);
    let head: String = listing.split_inclusive('\n').take(2).collect();
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), head));

    let (output, _) = ask_at(&["-Lnc"], "", &[("/connections", lines[..lines.len() - 9].to_owned())]);
    assert_eq!(output.status.code(), Some(2), "not all came: {output:?}");
    assert!(text(&output.stdout).ends_with(":80\n"), "{output:?}");
}

#[test]
fn clients_that_stay_are_asked_for_and_connections_not_among_others() {
    let (output, _) = ask_at(&["-Ln", "--persistent-conn"], "", &[("/table/persistent", json(&table()))]);
    assert!(text(&output.stdout).contains("Weight    PersistConn ActiveConn InActConn"), "{output:?}");
    let (output, _) = ask_for(&["-R"], "-L -n -c\n", &[]);
    assert_eq!(output.status.code(), Some(255));
    assert!(text(&output.stderr).contains("by a command of their own"), "{output:?}");
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
    ask_for(words, "", &[]).0
}

/// Asks with these arguments and this input; the daemon answers with its table, and with these then. Tells what changes it was
/// asked for.
fn ask_for(words: &[&str], input: &str, answers: &[String]) -> (Output, Vec<Change>) {
    let answers: Vec<String> = [json(&table())].into_iter().chain(answers.iter().cloned()).collect();
    let places = ["/table", "/changes"].into_iter().zip(answers);
    ask_at(words, input, &places.collect::<Vec<_>>())
}

/// The same of a daemon that gives these answers to questions at these places.
fn ask_at(words: &[&str], input: &str, answers: &[(&'static str, String)]) -> (Output, Vec<Change>) {
    let place = TempDir::new().expect("a directory can be made");
    let listener = UnixListener::bind(place.path().join("control.sock")).expect("a socket can be made");
    let answers = answers.to_vec();
    let daemon = thread::spawn(move || {
        let mut asked = Vec::new();
        for (path, answer) in answers {
            let (mut stream, _) = listener.accept().expect("it is asked");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("xlvs asks for all that is answered");
                head.extend(byte);
            }
            let head = String::from_utf8(head).expect("a head is text");
            assert_eq!(head.split(' ').nth(1), Some(path), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a number"))];
            stream.read_exact(&mut body).expect("the body ends");
            if path == "/changes" {
                asked = serde_json::from_slice(&body).expect("changes");
            } else if !body.is_empty() {
                let scope: Vec<ServiceId> = serde_json::from_slice(&body).expect("services");
                assert_eq!(scope, [web()], "what else there is does not matter");
            }
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
            stream.write_all((head + &answer).as_bytes()).expect("it can be answered");
        }
        asked
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_xlvs"));
    command.arg0("ipvsadm").args(words).env("XLVS_STATE_DIR", place.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("xlvs can be run");
    let mut stdin = child.stdin.take().expect("it has an input");
    // Most command lines read nothing.
    let _unread = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    // Ends a daemon that waits for a question in vain.
    let _nobody = UnixStream::connect(place.path().join("control.sock"));
    (output, daemon.join().expect("the daemon ends well"))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it can be written")
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

fn web() -> ServiceId {
    ServiceId::Address { protocol: Protocol::Tcp, address: [192, 0, 2, 10].into(), port: 80 }
}

fn server(address: &str, port: u16, weight: u32) -> ListedServer {
    ListedServer {
        server: Server {
            id: ServerId { address: address.parse().expect("an address"), port },
            forwarding: Forwarding::Route,
            tunnel: Tunnel::default(),
            weight,
            upper_threshold: 0,
            lower_threshold: 0,
        },
        connections: Connections::default(),
        counts: Counts::default(),
        rates: Counts::default(),
    }
}

fn service(service: Service, counts: Counts, servers: Vec<ListedServer>) -> ListedService {
    ListedService { service, counts, rates: Counts { connections: 3, ..Counts::default() }, servers }
}

/// A service with a real server and one whose weight a check took, and one of a mark.
fn table() -> Table {
    let busy = Connections { active: 17, inactive: 41, persistent: 0 };
    let up = ListedServer { connections: busy, ..server("198.51.100.11", 80, 5) };
    let hashed = Service {
        scheduler: "sh".to_owned(),
        flags: SchedulerFlags([true, true, false]),
        persistence: Some(300),
        netmask: Netmask::V4(Ipv4Addr::new(255, 255, 255, 0)),
        ..Service::new(web())
    };
    let marked = Service {
        scheduler: "rr".to_owned(),
        one_packet: true,
        ..Service::new(ServiceId::Mark { mark: 7, family: Family::V6 })
    };
    let counts = Counts { connections: 9, in_packets: 5_000_000_000, ..Counts::default() };
    Table {
        services: vec![
            service(hashed, counts, vec![up, server("198.51.100.13", 80, 0)]),
            service(marked, Counts::default(), vec![server("2001:db8::11", 0, 1)]),
        ],
        timeouts: Timeouts { tcp: 800, tcp_fin: 90, udp: 30 },
        ..Table::default()
    }
}
