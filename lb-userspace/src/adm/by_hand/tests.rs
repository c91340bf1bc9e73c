//! What commands make of a configuration, and what is left of that when the file changes.

use std::time::Duration;

use super::*;
use crate::adm::state::ServerId;
use crate::adm::{Nameless, Table, parse};
use crate::config::model::{Granularity, Scheduler};

/// A file with a service on port 80, whose lines and real servers are these.
fn file(lines: &str, servers: &[(u8, u16)]) -> Config {
    let servers = servers.iter().map(|(last, weight)| {
        format!("real_server 10.0.0.{last} 80 {{\n weight {weight}\n TCP_CHECK {{\n }}\n}}\n")
    });
    let servers: String = servers.collect();
    let text =
        format!("virtual_server 10.0.0.100 80 {{\n lb_kind DR\n protocol TCP\n {lines}\n {servers}}}\n");
    let parsed = crate::config::parse("k.conf", &text);
    parsed.config.unwrap_or_else(|| panic!("{:#?}", parsed.diagnostics))
}

fn command(line: &str) -> Command {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    parse("ipvsadm", &words, &Nameless).unwrap_or_else(|error| panic!("{line}: {error}"))
}

/// What commands make of what a file says.
fn after(file: Config, lines: &[&str]) -> Config {
    followed(&file.clone(), file, lines)
}

fn followed(file: &Config, mut config: Config, lines: &[&str]) -> Config {
    for line in lines {
        change(&mut config, file, &command(line)).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    config
}

type Shown = (String, &'static str, Vec<(u8, u16)>);

/// Every service by its scheduler and its real servers by the ends of their addresses and their weights.
fn shown(config: &Config) -> Vec<Shown> {
    let last = |address| match address {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(v6) => v6.octets()[15],
    };
    let servers = |service: &VirtualServer| {
        service.real_servers.iter().map(|server| (last(server.address), server.weight.0)).collect()
    };
    let service = |service: &VirtualServer| {
        (service.selector.to_string(), service.scheduler.keyword(), servers(service))
    };
    config.virtual_servers.iter().map(|known| service(known)).collect()
}

const EIGHTY: &str = "10.0.0.100 80 TCP";

#[test]
fn commands_add_edit_and_delete() {
    let made = after(
        Config::default(),
        &[
            "-A -t 10.0.0.100:80 -s rr",
            "-a -t 10.0.0.100:80 -r 10.0.0.1",
            "-a -t 10.0.0.100:80 -r 10.0.0.2:80 -w 3 -x 100 -y 50",
            "-A -f 7 -6 -s sh -b sh-port -p 60 -M 64",
        ],
    );
    assert_eq!(
        shown(&made),
        [(EIGHTY.to_owned(), "rr", vec![(1, 1), (2, 3)]), ("fwmark 7 of IPv6".to_owned(), "sh", Vec::new())]
    );
    let limits = &made.virtual_servers[0].real_servers[1];
    assert_eq!((limits.upper_threshold, limits.lower_threshold), (100, 50));
    let marked = &made.virtual_servers[1];
    assert!(marked.hash_port && !marked.hash_fallback && marked.is_available());
    assert_eq!(
        (marked.persistence, marked.granularity),
        (Some(Duration::from_mins(1)), Some(Granularity(64)))
    );

    let made = after(
        made,
        &[
            "-E -t 10.0.0.100:80 -s wlc",
            "-e -t 10.0.0.100:80 -r 10.0.0.1:80 -w 0",
            "-d -t 10.0.0.100:80 -r 10.0.0.2:80",
            "-D -f 7 -6",
        ],
    );
    assert_eq!(shown(&made), [(EIGHTY.to_owned(), "wlc", vec![(1, 0)])]);
    assert_eq!(shown(&after(made, &["-C"])), []);
}

#[test]
fn a_service_of_the_file_keeps_its_checks_when_it_is_edited() {
    let file = file("lb_algo rr", &[(1, 1), (2, 1)]);
    let now = after(file.clone(), &["-e -t 10.0.0.100:80 -r 10.0.0.1:80 -w 9", "-E -t 10.0.0.100:80 -s wrr"]);
    assert_eq!(shown(&now), [(EIGHTY.to_owned(), "wrr", vec![(1, 9), (2, 1)])]);
    let checkers: Vec<usize> =
        now.virtual_servers[0].real_servers.iter().map(|server| server.checkers.len()).collect();
    assert_eq!(checkers, [1, 1]);
    let selector = now.virtual_servers[0].selector;
    let first = Some(IpAddr::from([10, 0, 0, 1]));
    assert_eq!(made_by_hand(&file, &now), [(selector, None), (selector, first)]);
    assert_eq!(made_by_hand(&file, &file), []);
}

#[test]
fn what_xlvs_does_not_do_is_refused_and_changes_nothing() {
    let before = file("lb_algo rr", &[(1, 1)]);
    for (line, why) in [
        ("-a -t 10.0.0.100:80 -r 10.0.0.9:80 -m", Impossible::Forwarding),
        ("-a -t 10.0.0.100:80 -r 10.0.0.9:80 -i", Impossible::Forwarding),
        ("-A -t 10.0.0.101:80 -s none", Impossible::Scheduler),
        ("-A -u 10.0.0.101:80 --pe sip -p", Impossible::Engine),
        ("-A -t 10.0.0.101:80 -p -M 255.0.255.0", Impossible::Netmask),
        ("-a -t 10.0.0.100:80 -r 10.0.0.9:80 -w 65536", Impossible::Weight),
    ] {
        let mut config = before.clone();
        assert_eq!(possible(&command(line)), Err(why.clone()), "{line}");
        assert_eq!(change(&mut config, &before, &command(line)), Err(why), "{line}");
        assert_eq!(config, before, "{line}");
    }
}

#[test]
fn the_services_of_a_group_are_the_files() {
    let text = "virtual_server_group G {\n 10.0.0.100-101 80\n}\nvirtual_server group G {\n lb_kind DR\n lb_algo rr\n \
                protocol TCP\n real_server 10.0.0.1 80 {\n }\n}\n";
    let mut config = crate::config::parse("k.conf", text).config.expect("it loads");
    let denied = change(&mut config, &Config::default(), &command("-d -t 10.0.0.101:80 -r 10.0.0.1:80"));
    assert_eq!(denied, Err(Impossible::Group("G".to_owned())));
}

#[test]
fn what_the_file_does_not_touch_stays_as_it_was_made_by_hand() {
    let before = file("lb_algo rr", &[(1, 1), (2, 1), (3, 1)]);
    let now = after(
        before.clone(),
        &[
            "-e -t 10.0.0.100:80 -r 10.0.0.1:80 -w 9",
            "-d -t 10.0.0.100:80 -r 10.0.0.3:80",
            "-a -t 10.0.0.100:80 -r 10.0.0.4:80 -w 4",
            "-A -u 10.0.0.100:53 -s rr",
            "--set 100 0 0",
        ],
    );
    let by_hand = ("10.0.0.100 53 UDP".to_owned(), "rr", Vec::new());
    // The same file, with a comment in front, and one that changed something else.
    let same = file("! more\n lb_algo rr", &[(1, 1), (2, 1), (3, 1)]);
    let other = file("lb_algo wrr", &[(1, 1), (2, 5), (3, 1), (5, 1)]);
    let kept = merge(&before, &now, same);
    assert_eq!(shown(&kept), [(EIGHTY.to_owned(), "rr", vec![(1, 9), (2, 1), (4, 4)]), by_hand.clone()]);
    assert_eq!(kept.timeouts.tcp, Some(100));
    let merged = merge(&before, &now, other);
    assert_eq!(shown(&merged), [(EIGHTY.to_owned(), "wrr", vec![(1, 9), (2, 5), (5, 1), (4, 4)]), by_hand]);
}

#[test]
fn what_the_file_changes_is_as_it_says() {
    let before = file("lb_algo rr", &[(1, 1), (2, 1), (3, 1)]);
    let now = after(
        before.clone(),
        &[
            "-E -t 10.0.0.100:80 -s wlc",
            "-e -t 10.0.0.100:80 -r 10.0.0.1:80 -w 9",
            "-d -t 10.0.0.100:80 -r 10.0.0.3:80",
            "-a -t 10.0.0.100:80 -r 10.0.0.4:80 -w 4",
        ],
    );
    let changed = file("lb_algo sh", &[(1, 2), (3, 3), (4, 7)]);
    let merged = merge(&before, &now, changed);
    assert_eq!(shown(&merged), [(EIGHTY.to_owned(), "sh", vec![(1, 2), (3, 3), (4, 7)])]);
    assert!(!merged.virtual_servers[0].by_hand);
    assert_eq!(made_by_hand(&merged, &merged), []);
}

#[test]
fn a_service_taken_away_by_hand_comes_back_when_the_file_changes_it() {
    let before = file("lb_algo rr", &[(1, 1)]);
    let now = after(before.clone(), &["-C"]);
    assert_eq!(shown(&merge(&before, &now, before.clone())), []);
    let changed = file("lb_algo rr", &[(1, 2)]);
    assert_eq!(shown(&merge(&before, &now, changed)), [(EIGHTY.to_owned(), "rr", vec![(1, 2)])]);
    let gone = merge(&before, &before, Config::default());
    assert_eq!(shown(&gone), [], "what the file no longer has is gone");
}

#[test]
fn the_table_denies_before_the_configuration_is_asked() {
    let mut table = Table::default();
    let line = "-a -t 10.0.0.100:80 -r 10.0.0.1:80";
    assert_eq!(
        table.apply(&command(line)).map_err(|denial| denial.to_string()),
        Err("Service not defined".into())
    );
}

#[test]
fn what_the_file_names_comes_back_with_its_checks() {
    let file = file("lb_algo rr\n quorum 2\n sorry_server 10.0.0.9 80", &[(1, 1), (2, 1)]);
    let again = &["-C", "-A -t 10.0.0.100:80 -s rr", "-a -t 10.0.0.100:80 -r 10.0.0.1:80 -w 1"];
    let now = after(file.clone(), again);
    let service = &now.virtual_servers[0];
    assert_eq!((service.quorum.least, service.sorry.is_some()), (2, true));
    assert_eq!((service.real_servers.len(), service.real_servers[0].checkers.len()), (1, 1));
    assert_eq!(made_by_hand(&file, &now), [(service.selector, None)], "one is missing");
    let whole = followed(&file, now, &["-a -t 10.0.0.100:80 -r 10.0.0.2:80 -w 1"]);
    assert_eq!(whole.virtual_servers[0].real_servers[1].checkers.len(), 1);
    assert_eq!(made_by_hand(&file, &whole), []);
}

#[test]
fn nobody_is_a_real_server_twice() {
    let with_sorry = file("lb_algo rr\n sorry_server 10.0.0.9 80", &[(1, 1)]);
    for line in ["-a -t 10.0.0.100:80 -r 10.0.0.9:80", "-d -t 10.0.0.100:80 -r 10.0.0.9:80"] {
        let mut config = with_sorry.clone();
        let denied = change(&mut config, &with_sorry, &command(line));
        assert_eq!(denied, Err(Impossible::Sorry(IpAddr::from([10, 0, 0, 9]))), "{line}");
    }
    let plain = file("lb_algo rr", &[(1, 1)]);
    let now = after(plain.clone(), &["-a -t 10.0.0.100:80 -r 10.0.0.9:80"]);
    assert_eq!(shown(&merge(&plain, &now, with_sorry)), [(EIGHTY.to_owned(), "rr", vec![(1, 1)])]);
    let marked =
        after(Config::default(), &["-A -f 7 -s rr", "-a -f 7 -r 10.0.0.1:8080", "-e -f 7 -r 10.0.0.1 -w 5"]);
    assert_eq!(shown(&marked), [("fwmark 7".to_owned(), "rr", vec![(1, 5)])]);
    assert_eq!(marked.virtual_servers[0].real_servers[0].port, 0);
}

#[test]
fn each_thing_is_the_files_or_by_hand_by_itself() {
    let before = file("lb_algo rr", &[(1, 1)]);
    let now = after(
        before.clone(),
        &["-e -t 10.0.0.100:80 -r 10.0.0.1:80 -w 0", "-E -t 10.0.0.100:80 -s rr -p 60", "--set 0 0 77"],
    );
    let mut next = file("lb_algo wrr", &[(1, 1)]);
    Arc::make_mut(&mut next.virtual_servers[0]).real_servers[0].upper_threshold = 9;
    next.timeouts.tcp = Some(800);
    let merged = merge(&before, &now, next);
    let service = &merged.virtual_servers[0];
    assert_eq!((service.scheduler, service.persistence), (Scheduler::Wrr, Some(Duration::from_mins(1))));
    let server = &service.real_servers[0];
    assert_eq!(
        (server.weight, server.upper_threshold),
        (Weight(0), 9),
        "drained by hand, limited by the file"
    );
    assert_eq!((merged.timeouts.tcp, merged.timeouts.udp), (Some(800), Some(77)));
}

#[test]
fn what_cannot_be_forwarded_to_gives_way_to_what_can() {
    let nat = file("lb_algo rr", &[(1, 1)]);
    let nat = Config {
        virtual_servers: nat
            .virtual_servers
            .into_iter()
            .map(|mut service| {
                let servers = Arc::make_mut(&mut service).real_servers.iter_mut();
                servers.for_each(|server| server.forwarding = model::Forwarding::Nat);
                service
            })
            .collect(),
        ..nat
    };
    assert!(!nat.virtual_servers[0].is_available());
    let now = after(nat, &["-A -t 10.0.0.100:80 -s wlc", "-a -t 10.0.0.100:80 -r 10.0.0.1:80 -w 3"]);
    let service = &now.virtual_servers[0];
    assert!(service.is_available());
    let pool: Vec<_> = service.pool().map(|server| (server.address, server.weight)).collect();
    assert_eq!(pool, [(IpAddr::from([10, 0, 0, 1]), Weight(3))]);
}

fn drain(
    config: &mut Config,
    make: fn(ServiceId, ServerId) -> Command,
    port: u16,
    last: u8,
) -> Result<(), Impossible> {
    let address = IpAddr::from([10, 0, 0, 100]);
    let id = ServiceId::Address { protocol: model::Protocol::Tcp, address, port };
    let server = ServerId { address: IpAddr::from([10, 0, 0, last]), port };
    change(config, &Config::default(), &make(id, server))
}

#[test]
fn a_drained_server_gets_its_weight_back() {
    let before = file("lb_algo rr", &[(1, 7), (2, 0)]);
    let mut now = before.clone();
    for _twice in 0..2 {
        assert_eq!(drain(&mut now, Command::Drain, 80, 1), Ok(()));
        assert_eq!(shown(&now), [(EIGHTY.to_owned(), "rr", vec![(1, 0), (2, 0)])]);
    }
    let (selector, rip) = (now.virtual_servers[0].selector, |last| IpAddr::from([10, 0, 0, last]));
    assert_eq!(made_by_hand(&before, &now), [(selector, Some(rip(1)))]);
    let again = merge(&before, &now, before.clone());
    assert_eq!(
        again.virtual_servers[0].real_servers[0].drained,
        Some(Weight(7)),
        "the file says what it said"
    );

    let mut back = again;
    assert_eq!(drain(&mut back, Command::Undrain, 80, 1), Ok(()));
    assert_eq!((shown(&back), made_by_hand(&before, &back)), (shown(&before), Vec::new()));
    let at = SocketAddr::new(rip(1), 80);
    assert_eq!(drain(&mut back, Command::Undrain, 80, 1), Err(Impossible::NotDrained(at, 7)));
    assert_eq!(drain(&mut back, Command::Drain, 80, 2), Ok(()), "one without a weight is drained too");
    assert_eq!(made_by_hand(&before, &back), [(selector, Some(rip(2)))]);
}

#[test]
fn another_weight_ends_a_drain() {
    let before = file("lb_algo rr", &[(1, 7)]);
    let mut now = before.clone();
    assert_eq!(drain(&mut now, Command::Drain, 80, 1), Ok(()));
    let changed = merge(&before, &now, file("lb_algo rr", &[(1, 3)]));
    let server = &changed.virtual_servers[0].real_servers[0];
    assert_eq!((server.weight, server.drained), (Weight(3), None), "by the file");
    let edited = after(now, &["-e -t 10.0.0.100:80 -r 10.0.0.1:80 -w 4"]);
    let server = &edited.virtual_servers[0].real_servers[0];
    assert_eq!((server.weight, server.drained), (Weight(4), None), "by ipvsadm");
}

#[test]
fn what_is_not_there_to_drain_is_told_with_what_is() {
    let mut config = file("lb_algo rr\n sorry_server 10.0.0.9 80", &[(1, 7), (2, 1)]);
    let before = config.clone();
    let mut said =
        |port, last| drain(&mut config, Command::Drain, port, last).map_err(|error| error.to_string());
    let no_service = "there is no service 10.0.0.100 81 TCP; there are: 10.0.0.100 80 TCP";
    assert_eq!(said(81, 1), Err(no_service.to_owned()));
    let no_server =
        "the service 10.0.0.100 80 TCP has no real server 10.0.0.3:80; it has: 10.0.0.1:80, 10.0.0.2:80";
    assert_eq!(said(80, 3), Err(no_server.to_owned()));
    assert!(said(80, 9).is_err_and(|error| error.contains("sorry server")));
    assert_eq!(config, before);
}

/// What is the same in both is there once.
fn assert_shared(one: &Config, other: &Config) {
    let known = by_selector(one);
    for service in &other.virtual_servers {
        let same = known.get(&service.selector).filter(|known| **known == service);
        assert!(same.is_none_or(|same| Arc::ptr_eq(same, service)), "{}", service.selector);
    }
}

#[test]
fn what_nobody_touched_by_hand_is_merged_as_everything_is() {
    let files = [
        file("lb_algo rr", &[(1, 1), (2, 1)]),
        file("lb_algo rr", &[(1, 1), (2, 5)]),
        file("lb_algo wrr\n quorum 2", &[(3, 1), (2, 1)]),
        Config::default(),
    ];
    let by_hand: [&[&str]; 5] = [
        &[],
        &["-e -t 10.0.0.100:80 -r 10.0.0.2:80 -w 7"],
        &["-D -t 10.0.0.100:80"],
        &["-A -t 10.0.0.100:81 -s rr", "-a -t 10.0.0.100:81 -r 10.0.0.1:81"],
        &["-d -t 10.0.0.100:80 -r 10.0.0.2:80"],
    ];
    let alone = |config: &Config| {
        let services = config.virtual_servers.iter().map(|service| Arc::new(VirtualServer::clone(service)));
        Config { virtual_servers: services.collect(), ..config.clone() }
    };
    for before in &files[..3] {
        for now in by_hand.map(|lines| after(before.clone(), lines)) {
            for next in &files {
                let merged = merge(before, &now, next.clone());
                assert_eq!(merged, merge(&alone(before), &alone(&now), next.clone()));
                let same = next.clone().sharing(before);
                let sharing = merge(before, &now, same.clone());
                assert_eq!(merged, sharing);
                assert_shared(before, &same);
                assert_shared(&now, &sharing);
                for service in &sharing.virtual_servers {
                    let of =
                        |config| by_selector(config).get(&service.selector).map(|known| Arc::as_ptr(known));
                    if of(before).is_some_and(|known| of(&now) == Some(known)) {
                        assert_eq!(Some(Arc::as_ptr(service)), of(&same), "nobody touched it by hand");
                    }
                }
            }
        }
    }
}
