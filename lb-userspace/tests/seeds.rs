//! The configurations people run today load unchanged: what they say, and what is said about them.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use xlvs::config::model::VirtualServer;
use xlvs::config::model::check::{Checker, Endpoint, Probe};
use xlvs::config::model::vrrp::{
    Authentication, Command, InitialState, Notify, Track, Tracks, Transport, VirtualAddress, Vrrp,
    VrrpInstance, VrrpScript,
};
use xlvs::config::{Config, explain, parse, print, render};

fn seeds() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/seeds"))
            .expect("the seeds are there")
            .map(|entry| entry.expect("the directory can be read").path())
            .collect();
    paths.sort();
    assert_eq!(paths.len(), 11);
    paths
}

#[test]
fn every_seed_is_explained_and_the_explanation_is_read_as_the_same() {
    for path in seeds() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let parsed = parse(name, &fs::read_to_string(&path).unwrap());
        let explained = explain(&parsed).unwrap_or_else(|| panic!("{name} does not load"));
        insta::assert_snapshot!(format!("{name}.explained"), explained);
        let model = parsed.config.unwrap().without_places();
        for text in [explained, print(&model)] {
            let again = parse("printed", &text);
            let said = render(&again);
            assert_eq!(again.config.map(Config::without_places).as_ref(), Some(&model), "{name}:\n{said}");
        }
    }
}

#[test]
fn every_seed_loads_and_says_the_same() {
    for path in seeds() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let parsed = parse(name, &fs::read_to_string(&path).unwrap());
        let said = render(&parsed);
        let config = parsed.config.unwrap_or_else(|| panic!("{name} does not load:\n{said}"));
        assert_eq!(config.served().count(), config.virtual_servers.len(), "{name} is served whole");
        insta::assert_snapshot!(name, format!("{}\n{said}", dump(&config).unwrap()));
    }
}

#[test]
fn a_pair_of_directors_is_read_whole() {
    let read = seed("000-master.conf").vrrp.instances.remove(0);
    let expected = VrrpInstance {
        state: InitialState::Master,
        skip_check_addresses: true,
        ..plain(&read, 51, "ens33", 100, *b"1111\0\0\0\0", [192, 168, 56, 200])
    };
    assert_eq!(read, expected);
    let read = seed("001-backup.conf").vrrp.instances.remove(0);
    assert_eq!(read, plain(&read, 51, "eth0", 90, *b"1111\0\0\0\0", [192, 168, 2, 150]));
}

#[test]
fn tracked_scripts_and_notifications_are_read_whole() {
    let mut vrrp = seed("003-dr2.conf").vrrp;
    let read = vrrp.instances.remove(0);
    let track = Track { name: "chk_down".to_owned(), weight: -15, reverse: false };
    let expected = VrrpInstance {
        transport: Transport::Multicast { group: "224.0.0.33".parse().unwrap() },
        virtual_addresses: vec![address([192, 168, 7, 120], Some(24), Some("ens39"))],
        tracks: Tracks { scripts: vec![track], ..Tracks::default() },
        notify: Notify {
            master: Some(command(&["/etc/keepalived/notify.sh", "master"])),
            backup: Some(command(&["/etc/keepalived/notify.sh", "backup"])),
            fault: Some(command(&["/etc/keepalived/notify.sh", "fault"])),
            ..Notify::default()
        },
        ..plain(&read, 3, "ens39", 90, *b"736w4ib2", [192, 168, 7, 120])
    };
    assert_eq!(read, expected);
    let script = vrrp.scripts.remove(0);
    assert_eq!((script.rise, script.fall, script.interval.as_secs(), script.timeout.as_secs()), (1, 2, 1, 1));
    assert_eq!(script.command.words, ["/etc/keepalived/chk_down.sh"]);
    assert_eq!(script.command.user.unwrap().name, "keepalived_script");
}

#[test]
fn peers_and_two_masters_are_read_whole() {
    let read = seed("004-node3.conf").vrrp.instances.remove(0);
    let peers = ["192.168.189.135", "192.168.189.136"].map(|peer| peer.parse().unwrap()).to_vec();
    let expected = VrrpInstance {
        transport: Transport::Unicast { peers, ttl: 255, only_peers: false },
        source: Some("192.168.189.137".parse().unwrap()),
        ..plain(&read, 51, "ens33", 80, *b"123456\0\0", [192, 168, 189, 100])
    };
    assert_eq!(read, expected);
    let read = seed("004-multi-master.conf").vrrp.instances;
    let first = plain(&read[0], 51, "ens33", 100, *b"123456\0\0", [192, 168, 189, 100]);
    let second = plain(&read[1], 52, "ens33", 90, *b"123456\0\0", [192, 168, 189, 101]);
    assert_eq!(read, [VrrpInstance { state: InitialState::Master, ..first }, second]);
}

fn seed(name: &str) -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/seeds").join(name);
    let text = fs::read_to_string(path).expect("a seed can be read");
    parse(name, &text).config.expect("a seed loads")
}

fn address(address: [u8; 4], prefix: Option<u8>, dev: Option<&str>) -> VirtualAddress {
    let (address, dev) = (address.into(), dev.map(str::to_owned));
    VirtualAddress { address, prefix, dev, label: None, scope: None, broadcast: None }
}

fn command(words: &[&str]) -> Command {
    Command { words: words.iter().map(ToString::to_string).collect(), user: None }
}

/// An instance of which nothing more is said than its name, number, interface, priority, password and address.
fn plain(read: &VrrpInstance, id: u8, dev: &str, priority: u8, pass: [u8; 8], vip: [u8; 4]) -> VrrpInstance {
    VrrpInstance {
        interface: Some(dev.to_owned()),
        virtual_router_id: id,
        priority,
        authentication: Some(Authentication::Pass(pass)),
        virtual_addresses: vec![address(vip, None, None)],
        ..VrrpInstance::new(read.name.clone(), read.span)
    }
}

/// A line for each thing in the model.
fn dump(config: &Config) -> Result<String, fmt::Error> {
    let mut text = format!("router_id {:?}\n", config.router_id);
    dump_vrrp(&config.vrrp, &mut text)?;
    for service in &config.virtual_servers {
        dump_service(service, &mut text)?;
    }
    Ok(text)
}

fn dump_vrrp(vrrp: &Vrrp, text: &mut String) -> fmt::Result {
    for instance in &vrrp.instances {
        dump_instance(instance, text)?;
    }
    for script in &vrrp.scripts {
        let VrrpScript { name, command, interval, timeout, rise, fall, init_fail, .. } = script;
        writeln!(text, "script {name} {:?} as {:?}", command.words, command.user)?;
        writeln!(
            text,
            "  every {interval:?} within {timeout:?} rise {rise} fall {fall} init_fail {init_fail}"
        )?;
    }
    Ok(())
}

fn dump_instance(instance: &VrrpInstance, text: &mut String) -> fmt::Result {
    let (name, id) = (&instance.name, instance.virtual_router_id);
    writeln!(text, "instance {name} id {id} interface {:?}", instance.interface)?;
    let VrrpInstance { version, family, state, priority, advert_interval, authentication, .. } = instance;
    writeln!(text, "  {version:?} {family:?} {state:?} priority {priority} every {advert_interval:?}")?;
    writeln!(text, "  {authentication:?} preempt {} {:?}", instance.preempt, instance.preempt_delay)?;
    writeln!(text, "  {:?} from {:?}", instance.transport, instance.source)?;
    writeln!(text, "  skip_check {} accept {}", instance.skip_check_addresses, instance.accept)?;
    writeln!(text, "  {:?}", instance.announcing)?;
    for owned in &instance.virtual_addresses {
        writeln!(text, "  address {} prefix {:?} dev {:?}", owned.address, owned.prefix, owned.dev)?;
    }
    for track in &instance.tracks.scripts {
        writeln!(text, "  {track:?}")?;
    }
    let Notify { master, backup, fault, .. } = &instance.notify;
    for command in [master, backup, fault].into_iter().flatten() {
        writeln!(text, "  {command:?}")?;
    }
    Ok(())
}

fn dump_service(service: &VirtualServer, text: &mut String) -> fmt::Result {
    let VirtualServer { scheduler, forwarding, persistence, granularity, delay_loop, .. } = service;
    writeln!(text, "service {service} {scheduler:?} {forwarding:?} every {delay_loop:?}")?;
    if persistence.is_some() || granularity.is_some() {
        writeln!(text, "  persistence {persistence:?} {granularity:?}")?;
    }
    for server in &service.real_servers {
        let inhibit = if server.inhibit_on_failure { " inhibit_on_failure" } else { "" };
        writeln!(text, "  server {} {} {:?}{inhibit}", server.address, server.port, server.weight)?;
        for checker in &server.checkers {
            dump_checker(checker, text)?;
        }
    }
    Ok(())
}

fn dump_checker(checker: &Checker, text: &mut String) -> fmt::Result {
    let Checker { probe, timing, .. } = checker;
    let asked = match probe {
        Probe::Tcp(Endpoint { connect_ip, connect_port, bindto, .. }) => {
            format!("TCP {connect_ip} {connect_port} from {bindto:?}")
        }
        other => format!("{other:?}"),
    };
    writeln!(
        text,
        "    check {asked} timeout {:?} retry {} after {:?} every {:?} warmup {:?}",
        timing.connect_timeout, timing.retry, timing.delay_before_retry, timing.delay_loop, timing.warmup
    )
}
