//! The configurations people run today load unchanged: what they say, and what is said about them.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use xlvs::config::model::{Checker, VirtualServer};
use xlvs::config::{Config, parse, render};

#[test]
fn every_seed_loads_and_says_the_same() {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/seeds"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
    paths.sort();
    assert_eq!(paths.len(), 11);
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        let parsed = parse(name, &fs::read_to_string(&path).unwrap());
        let said = render(&parsed);
        let config = parsed.config.unwrap_or_else(|| panic!("{name} does not load:\n{said}"));
        assert_eq!(config.served().count(), config.virtual_servers.len(), "{name} is served whole");
        insta::assert_snapshot!(name, format!("{}\n{said}", dump(&config).unwrap()));
    }
}

/// A line for each thing in the model.
fn dump(config: &Config) -> Result<String, fmt::Error> {
    let mut text = format!("router_id {:?}\n", config.router_id);
    for instance in &config.vrrp.instances {
        let (name, id) = (&instance.name, instance.virtual_router_id);
        writeln!(text, "instance {name} id {id} interface {:?}", instance.interface)?;
        for owned in &instance.virtual_addresses {
            writeln!(text, "  address {} prefix {:?} dev {:?}", owned.address, owned.prefix, owned.dev)?;
        }
    }
    for service in &config.virtual_servers {
        dump_service(service, &mut text)?;
    }
    Ok(text)
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
    match checker {
        Checker::Other { name, .. } => writeln!(text, "    check {name}"),
        Checker::Tcp(check) => writeln!(
            text,
            "    check TCP {} {} from {:?} timeout {:?} retry {} after {:?} every {:?} warmup {:?}",
            check.connect_ip,
            check.connect_port,
            check.bindto,
            check.connect_timeout,
            check.retry,
            check.delay_before_retry,
            check.delay_loop,
            check.warmup
        ),
    }
}
