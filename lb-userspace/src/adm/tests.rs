use std::net::IpAddr;

use proptest::prelude::*;

use super::{
    state::{
        Counts, Daemon, Family, Forwarding, Netmask, Protocol, Role, SchedulerFlags, Server, ServerId,
        Service, ServiceId, Timeouts, Tunnel, TunnelChecksum, TunnelType,
    },
    *,
};

fn split(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn command(line: &str) -> Result<Command, String> {
    parse("ipvsadm", &split(line), &Nameless).map_err(|refusal| refusal.to_string())
}

fn call(table: &mut Table, line: &str) -> (u8, String) {
    let outcome = run("ipvsadm", &split(line), "", table, &Nameless);
    (outcome.status, outcome.stdout + &outcome.stderr)
}

fn v4(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

const fn web(address: IpAddr) -> ServiceId {
    ServiceId::Address { protocol: Protocol::Tcp, address, port: 80 }
}

#[test]
fn what_is_not_said_has_its_default() {
    let service = Service { scheduler: "wlc".to_owned(), ..Service::new(web(v4(1))) };
    assert_eq!(command("-A -t 10.0.0.1:80"), Ok(Command::AddService(service.clone())));
    let persistent = Service { persistence: Some(360), ..service };
    assert_eq!(command("-A -t 10.0.0.1:80 -p"), Ok(Command::AddService(persistent)));
    let server = Server {
        id: ServerId { address: v4(2), port: 80 },
        forwarding: Forwarding::Route,
        tunnel: Tunnel::default(),
        weight: 1,
        upper_threshold: 0,
        lower_threshold: 0,
    };
    assert_eq!(command("-a -t 10.0.0.1:80 -r 10.0.0.2"), Ok(Command::AddServer(web(v4(1)), server)));
    let daemon = Daemon {
        role: Role::Master,
        interface: "eth0".to_owned(),
        sync_id: 0,
        max_length: None,
        group: None,
        port: None,
        ttl: None,
    };
    assert_eq!(command("--start-daemon master"), Ok(Command::StartDaemon(daemon)));
    assert_eq!(command(""), Ok(Command::List(Listing::default())));
}

#[test]
fn a_command_of_one_service_needs_no_other() {
    let commands = |lines: &[&str]| {
        let read = lines.iter().map(|line| command(line).expect("a command"));
        Scope::of(&read.collect::<Vec<_>>())
    };
    let only = |services: &[ServiceId]| Scope::Only(services.iter().copied().collect());
    let edit = "-e -t 10.0.0.1:80 -r 10.0.0.9 -w 2";
    assert_eq!(commands(&[edit]), only(&[web(v4(1))]));
    assert_eq!(commands(&[edit, "-Z -t 10.0.0.2:80", "-D -t 10.0.0.1:80"]), only(&[web(v4(1)), web(v4(2))]));
    assert_eq!(commands(&["--set 1 2 3"]), only(&[]));
    for whole in ["-Ln", "-S", "-R", "-C", "-Z"] {
        assert_eq!(commands(&[edit, whole]), Scope::Whole, "{whole}");
    }
}

#[test]
fn everything_can_be_said_of_a_service_and_a_server() {
    let service = Service {
        id: ServiceId::Mark { mark: 7, family: Family::V6 },
        scheduler: "mh".to_owned(),
        flags: SchedulerFlags([true, true, false]),
        persistence: Some(60),
        netmask: Netmask::V6(64),
        engine: "sip".to_owned(),
        one_packet: true,
    };
    let line = "--edit-service --fwmark-service=7 -6 -M 64 -b mh-port,mh-fallback -p60 -smh --pe sip -o";
    assert_eq!(command(line), Ok(Command::EditService(service)));
    let id = ServerId { address: IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]), port: 80 };
    let tunnel = Tunnel { kind: TunnelType::Gue, port: 6080, checksum: TunnelChecksum::Remote };
    let forwarding = Forwarding::Tunnel;
    let server = Server { id, forwarding, tunnel, weight: 5, upper_threshold: 9, lower_threshold: 3 };
    let line =
        "-et 10.0.0.1:80 -r [2001:db8::1]:99 -iw5 -x 9 -y=3 --tun-type gue --tun-port 6080 --tun-remcsum";
    assert_eq!(command(line), Ok(Command::EditServer(web(v4(1)), server)));
}

#[test]
fn a_word_is_an_option_a_value_or_neither_as_popt_has_it() {
    let plain = Ok(Command::List(Listing { numeric: true, exact: true, ..Listing::default() }));
    for line in ["-LnX", "-Ln --exact", "-l --numeric -X", "-LnX --", "-L --sort -nX --sort"] {
        assert_eq!(command(line), plain, "{line}");
    }
    for (line, said) in [
        ("-nL", "Try `ipvsadm -h' or 'ipvsadm --help' for more information."),
        ("--add -t 10.0.0.1:80", "Try `ipvsadm -h' or 'ipvsadm --help' for more information."),
        ("-L --num", "--num: unknown option"),
        ("-Lq", "-Lq: unknown option"),
        ("-L --stats=1", "--stats=1: option does not take an argument"),
        ("-Ln=", "-Ln=: option does not take an argument"),
        ("-A -t", "-t: missing argument"),
        ("-LnL", "invalid option `-LnL'"),
        ("-A --stop-daemon master", "invalid option `master'"),
        ("-L -- -n", "unexpected argument -n"),
        ("-L -", "unexpected argument -"),
        ("-A -t 10.0.0.1:80 -p -s rr 5", "unexpected argument 5"),
    ] {
        assert_eq!(command(line), Err(said.to_owned()), "{line}");
    }
}

#[test]
fn the_first_complaint_is_the_one_that_is_made() {
    for (line, said) in [
        ("-A -n", "Illegal 'numeric' option with the 'add-service' command"),
        ("-A -o", "You need to supply the 'service-address' option for the 'add-service' command"),
        ("-A -f 1 -w 1 -w x", "multiple 'weight' options specified"),
        ("-A -f 1 -b nosuch -n", "invalid scheduler flag `nosuch'"),
        ("-A -f 1 -b sh-port -s mh", "incompatible scheduler flag `sh-port'"),
        ("-A -t 10.0.0.1 -o", "Zero port specified for non-persistent service"),
        (
            "-L -c --daemon",
            "The option 'daemon' conflicts with the 'connection' option in the 'list' command",
        ),
        ("-L -c --rate", "options conflicts in the list command"),
        ("--set 1 2", "--set option requires 3 timeout values"),
        ("--set 1 2 3 4", "unexpected argument 4"),
        (
            "-a -f 1 -r 10.0.0.2 -i --tun-type gue",
            "You need to supply the 'tun-port' option for the 'gue' tunnel type",
        ),
        ("-a -f 1 -r 10.0.0.2 --tun-csum", "Tunnel options conflict with forward method"),
        ("--start-daemon master --mcast-group 1.2.3.4", "invalid IPv4 mcast-group `1.2.3.4'"),
    ] {
        assert_eq!(command(line), Err(said.to_owned()), "{line}");
    }
}

#[test]
fn addresses_are_what_the_c_library_takes_for_such() {
    let id = |text: &str| match command(&format!("-D -t {text}")) {
        Ok(Command::DeleteService(ServiceId::Address { address, port, .. })) => {
            Some((address.to_string(), port))
        }
        _ => None,
    };
    for (text, address, port) in [
        ("1.2.3.4:80", "1.2.3.4", 80),
        ("1.2:+80", "1.0.0.2", 80),
        ("0x7f.1:010", "127.0.0.1", 10),
        ("010.0.0.1", "8.0.0.1", 0),
        ("4294967295:1", "255.255.255.255", 1),
        ("[::1]:80", "::1", 80),
        ("::1:80", "::1:80", 0),
        ("[1.2.3.4]:80", "1.2.3.4", 0),
    ] {
        assert_eq!(id(text), Some((address.to_owned(), port)), "{text}");
    }
    for text in [
        "1.2.3.4.5:1",
        "1.2.3.256:1",
        "08.1:1",
        "5",
        "[::1]",
        "[::1]80",
        "1.2.3.4:",
        "1.2.3.4:65536",
        "::1%lo",
    ] {
        assert_eq!(id(text), None, "{text}");
    }
}

#[test]
fn a_change_that_cannot_be_says_why_and_changes_nothing() {
    let mut table = Table::default();
    for line in ["-A -t 10.0.0.1:80", "-a -t 10.0.0.1:80 -r 10.0.0.2", "--start-daemon master"] {
        assert_eq!(call(&mut table, line), (0, String::new()), "{line}");
    }
    let before = table.clone();
    for (line, status, said) in [
        ("-A -t 10.0.0.1:80", 255, "Service already exists"),
        ("-A -t 10.0.0.1:81 -s nosuch", 255, "Scheduler or persistence engine not found"),
        ("-E -t 10.0.0.1:81", 255, "No such service"),
        ("-D -t 10.0.0.1:81", 255, "No such service"),
        ("-Z -t 10.0.0.1:81", 255, "No such service"),
        ("-L -t 10.0.0.1:81", 1, "No such service"),
        ("-a -t 10.0.0.1:81 -r 10.0.0.2", 255, "Service not defined"),
        ("-a -t 10.0.0.1:80 -r 10.0.0.2:81", 255, "Destination already exists"),
        ("-e -t 10.0.0.1:80 -r 10.0.0.3", 255, "No such destination"),
        ("-d -t 10.0.0.1:80 -r 10.0.0.2:81", 255, "No such destination"),
        ("-a -t 10.0.0.1:80 -r 10.0.0.3 -y 5", 255, "Numerical result out of range"),
        ("--start-daemon master", 255, "Daemon has already run"),
        ("--stop-daemon backup", 255, "No daemon is running"),
    ] {
        assert_eq!(call(&mut table, line), (status, format!("{said}\n")), "{line}");
        assert_eq!(table, before, "{line}");
    }
}

#[test]
fn zeroing_takes_counts_and_leaves_the_rest() {
    let mut table = Table::default();
    for line in ["-A -t 10.0.0.1:80", "-a -t 10.0.0.1:80 -r 10.0.0.2", "-A -f 7"] {
        assert_eq!(call(&mut table, line).0, 0);
    }
    let before = table.clone();
    let counts = Counts { connections: 1, ..Counts::default() };
    for listed in &mut table.services {
        listed.counts = counts;
        listed.servers.iter_mut().for_each(|server| server.rates = counts);
    }
    assert_eq!(call(&mut table, "-Z -t 10.0.0.1:80").0, 0);
    assert_eq!(table.services[0], before.services[0]);
    assert_eq!(table.services[1].counts, counts);
    assert_eq!(call(&mut table, "-Z").0, 0);
    assert_eq!(table, before);
}

#[test]
fn a_timeout_of_nothing_stays_as_it_was() {
    let mut table = Table::default();
    assert_eq!(call(&mut table, "--set 100 0 60").0, 0);
    assert_eq!(table.timeouts, Timeouts { tcp: 100, tcp_fin: 120, udp: 60 });
}

#[test]
fn restoring_goes_on_after_what_the_kernel_denies_and_not_after_what_is_no_command_line() {
    let mut table = Table::default();
    let input = "-D -f 1\n\n-A -f 2 --nosuch\nipvsadm -A -f 3\n-A\n-A -f 4\n";
    let outcome = run("ipvsadm", &["-R".to_owned()], input, &mut table, &Nameless);
    let said = "No such service\n--nosuch: unknown option\n\
                You need to supply the 'service-address' option for the 'add-service' command\n";
    assert_eq!((outcome.status, outcome.stderr.as_str()), (2, said));
    assert_eq!(save(&table, true, &Nameless), "-A -f 3 -s wlc\n");
}

#[test]
fn addresses_are_ordered_by_the_sign_of_their_difference() {
    let mut table = Table::default();
    // Added in this order, the kernel has them in the opposite one.
    for address in ["200.0.0.1", "10.0.0.1", "100.0.0.1"] {
        assert_eq!(call(&mut table, &format!("-A -t {address}:80")).0, 0);
    }
    let order: Vec<_> = save(&table, true, &Nameless).lines().map(|line| split(line)[2].clone()).collect();
    // The difference of the first and the last of them, as a signed number, says the opposite.
    assert_eq!(order, ["100.0.0.1:80", "200.0.0.1:80", "10.0.0.1:80"]);
}

fn words() -> impl Strategy<Value = String> {
    let service = prop::sample::select(vec![
        "-t 10.0.0.1:80",
        "-u 10.0.0.1:53",
        "-t [2001:db8::1]:80",
        "-f 7",
        "-f 7 -6",
    ]);
    let server = prop::sample::select(vec!["10.0.0.2", "10.0.0.3:8080", "[2001:db8::2]:81", "224.0.0.1"]);
    let options = prop::sample::subsequence(
        vec!["-s rr", "-p 60", "-M 24", "-o", "-b flag-1,flag-2", "--pe sip"],
        0..4,
    );
    let ways = prop::sample::subsequence(
        vec!["-i", "-w 0", "-x 5", "-y 3", "--tun-type gre", "--tun-csum", "-y 9"],
        0..5,
    );
    let change = (prop::sample::select(vec!["-A", "-E"]), service.clone(), options)
        .prop_map(|(command, service, options)| format!("{command} {service} {}", options.join(" ")));
    let serve = (prop::sample::select(vec!["-a", "-e", "-d"]), service.clone(), server, ways).prop_map(
        |(command, service, server, ways)| format!("{command} {service} -r {server} {}", ways.join(" ")),
    );
    let rest = (prop::sample::select(vec!["-D", "-Z"]), service)
        .prop_map(|(command, service)| format!("{command} {service}"));
    let daemons =
        prop::sample::select(vec!["--start-daemon backup", "--stop-daemon backup"]).prop_map(str::to_owned);
    prop_oneof![4 => change, 4 => serve, 1 => rest, 1 => daemons]
}

/// A word of any characters, or one that an option begins.
fn odd() -> impl Strategy<Value = String> {
    let option = prop::sample::select(vec![
        "-A", "-a", "-L", "-R", "-t", "-r", "-M", "-b", "--set", "--stats", "-p", "-é", "--",
    ]);
    prop_oneof![
        any::<String>(),
        (option, "[-=:.\\[\\]0-9a-zé ]{0,8}").prop_map(|(option, rest)| format!("{option}{rest}"))
    ]
}

proptest! {
    #[test]
    fn nothing_is_too_odd_to_be_answered(
        words in prop::collection::vec(odd(), 0..6),
        lines in prop::collection::vec(odd(), 0..6)
    ) {
        let mut table = Table::default();
        let outcome = run("ipvsadm", &words, "", &mut table, &Nameless);
        prop_assert!(outcome.status == 0 || !outcome.stderr.is_empty());
        run("ipvsadm", &["-R".to_owned()], &lines.join(" "), &mut table, &Nameless);
    }

    #[test]
    fn whatever_is_done_is_listed_once_and_restored_from_what_is_saved(
        lines in prop::collection::vec(words(), 0..40)
    ) {
        let mut table = Table::default();
        for line in &lines {
            let before = table.clone();
            let (status, _) = call(&mut table, line);
            prop_assert!(status == 0 || table == before, "{}", line);
        }
        let saved = save(&table, true, &Nameless);
        let mut names: Vec<_> = saved.lines().map(|line| line.split(" -s ").next().unwrap_or(line)).collect();
        names.sort_unstable();
        prop_assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{}", saved);
        let mut restored = Table::default();
        let outcome = run("ipvsadm", &["-R".to_owned()], &saved, &mut restored, &Nameless);
        prop_assert_eq!((outcome.status, outcome.stderr), (0, String::new()), "{}", saved);
        prop_assert_eq!(save(&restored, true, &Nameless), saved);
    }
}
