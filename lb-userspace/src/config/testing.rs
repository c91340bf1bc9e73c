//! Owns what the tests of this module share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::files::{Files, Text, Unreadable, World};
use super::keywords::BlockKind;
use super::model::check::{CheckTiming, Checker, Endpoint, Probe};
use super::model::vrrp::VrrpInstance;
use super::{Config, parse};

/// A virtual server that can run, of which `inner` is the rest; `inner` begins in line 5.
pub(super) fn service(inner: &str) -> String {
    format!("virtual_server 10.0.0.1 80 {{\n lb_algo rr\n lb_kind DR\n protocol TCP\n {inner}}}\n")
}

/// A real server block with `inner` in it.
pub(super) fn server(inner: &str) -> String {
    service(&format!("real_server 10.0.0.2 80 {{\n {inner}\n }}\n"))
}

/// What `text` says, which loads.
#[track_caller]
pub(super) fn config(text: &str) -> Config {
    let parsed = parse("t", text);
    parsed.config.unwrap_or_else(|| panic!("{:#?}", parsed.diagnostics))
}

/// Every diagnostic of `text` on a line of its own.
pub(super) fn said(text: &str) -> Vec<String> {
    let parsed = parse("t", text);
    assert_eq!(parsed.has_errors(), parsed.config.is_none());
    parsed.diagnostics.iter().map(|diagnostic| diagnostic.one_line(&parsed.sources)).collect()
}

/// Asserts that `text` gives exactly one diagnostic, and that it begins with `start`.
#[track_caller]
pub(super) fn says(text: &str, start: &str) {
    let said = said(text);
    assert!(said.len() == 1 && said[0].starts_with(start), "wanted one {start:?}, got {said:#?}");
}

/// The checkers of `text`, which loads.
#[track_caller]
pub(super) fn checkers(text: &str) -> Vec<Checker> {
    let config = config(text);
    let servers = config.virtual_servers.iter().flat_map(|service| service.real_servers.clone());
    servers.flat_map(|server| server.checkers).collect()
}

/// Where the TCP checks of `text` connect to.
#[track_caller]
pub(super) fn endpoints(text: &str) -> Vec<Endpoint> {
    let endpoint = |checker: Checker| match checker.probe {
        Probe::Tcp(endpoint) => Some(endpoint),
        _ => None,
    };
    checkers(text).into_iter().filter_map(endpoint).collect()
}

/// When the checks of `text` are made.
#[track_caller]
pub(super) fn timings(text: &str) -> Vec<CheckTiming> {
    checkers(text).into_iter().map(|checker| checker.timing).collect()
}

/// A `vrrp_instance` that can run; `inner` begins in line 4, and its address stands behind it.
pub(super) fn instance(inner: &str) -> String {
    bare_instance(&format!("{inner}\n virtual_ipaddress {{\n 10.0.0.1\n }}"))
}

/// A `vrrp_instance` without addresses; `inner` begins in line 4.
pub(super) fn bare_instance(inner: &str) -> String {
    format!("vrrp_instance VI_1 {{\n interface eth0\n virtual_router_id 51\n {inner}\n}}\n")
}

/// The one instance that `inner` makes, which loads.
#[track_caller]
pub(super) fn vrrp_instance(inner: &str) -> VrrpInstance {
    only(&instance(inner))
}

/// The first instance of `text`, which loads.
#[track_caller]
pub(super) fn only(text: &str) -> VrrpInstance {
    config(text).vrrp.instances.into_iter().next().expect("an instance")
}

/// The files that a test includes: those in `/c`, of which the directories are not named.
pub(super) struct Map(pub(super) BTreeMap<&'static str, &'static str>);

impl Files for Map {
    fn find(&self, directory: &Path, pattern: &str) -> Vec<PathBuf> {
        let options = MatchOptions { require_literal_separator: true, ..MatchOptions::default() };
        let pattern = directory.join(pattern);
        let pattern = Pattern::new(&pattern.to_string_lossy()).expect("a pattern");
        let paths = self.0.keys().filter(|path| pattern.matches_with(path, options));
        paths.map(PathBuf::from).collect()
    }

    fn read(&self, path: &Path) -> Result<Text, Unreadable> {
        match path.to_str().and_then(|path| self.0.get(path)) {
            None => Err(Unreadable::Missing),
            Some(&"unfit") => Err(Unreadable::Unfit("it is a directory".to_owned())),
            Some(text) => Ok(Text { text: (*text).to_owned(), path: path.to_owned() }),
        }
    }
}

/// A node with the configuration id `main`, the configuration `/c/t` and these files.
pub(super) fn world(files: &Map) -> World<'_> {
    let environment = &|name: &str| (name == "HOME").then(|| "/root".to_owned());
    World { id: "main", demands_all: false, path: Path::new("/c/t"), files, environment, seed: 7 }
}

/// A configuration that loads, with `inner` in a block of this kind; `None` where no such block is in effect.
pub(super) fn within(kind: BlockKind, inner: &str) -> Option<String> {
    let tracked = |list: &str, block: &str| format!("{block}{}", instance(&format!("{list} {{\n x\n }}")));
    Some(match kind {
        BlockKind::GlobalDefs => format!("global_defs {{\n{inner}\n}}\n{}", instance("")),
        BlockKind::VrrpScript => {
            tracked("track_script", &format!("vrrp_script x {{\n script /x\n {inner}\n}}\n"))
        }
        BlockKind::TrackFile => tracked("track_file", &format!("track_file x {{\n file /x\n {inner}\n}}\n")),
        BlockKind::TrackProcess => {
            tracked("track_process", &format!("vrrp_track_process x {{\n process x\n {inner}\n}}\n"))
        }
        BlockKind::VrrpSyncGroup => {
            format!("{}vrrp_sync_group G {{\n group {{\n VI_1\n }}\n {inner}\n}}\n", instance(""))
        }
        BlockKind::VrrpInstance => instance(inner),
        BlockKind::Authentication => {
            instance(&format!("authentication {{\n auth_type PASS\n auth_pass x\n {inner}\n }}"))
        }
        BlockKind::FwmarkRules if inner.is_empty() => "fwmark_rules {\n}\n".to_owned(),
        BlockKind::FwmarkRules => format!("fwmark_rules {{\n{inner} {{\n }}\n}}\n"),
        BlockKind::Ssl => format!("SSL {{\n{inner}\n}}\n"),
        BlockKind::Mark => format!("fwmark_rules {{\n mark 1 {{\n {inner}\n }}\n}}\n"),
        BlockKind::VirtualServer => service(&format!("{inner}\n real_server 10.0.0.2 80 {{\n }}\n")),
        BlockKind::RealServer => server(inner),
        BlockKind::Url => server(&format!("HTTP_GET {{\n url {{\n path /\n {inner}\n }}\n }}")),
        BlockKind::SmtpHost => server(&format!("SMTP_CHECK {{\n host {{\n {inner}\n }}\n }}")),
        _ => return check(kind, inner),
    })
}

/// A configuration that loads, with `inner` in a checker of this kind.
fn check(kind: BlockKind, inner: &str) -> Option<String> {
    let page = "url {\n path /\n }";
    let needs = match kind {
        BlockKind::TcpCheck
        | BlockKind::SmtpCheck
        | BlockKind::DnsCheck
        | BlockKind::UdpCheck
        | BlockKind::PingCheck => "",
        BlockKind::HttpGet | BlockKind::SslGet => page,
        BlockKind::MiscCheck => "misc_path /x",
        BlockKind::FileCheck => "track_file x",
        _ => return None,
    };
    let files = if kind == BlockKind::FileCheck { "track_file x {\n file /x\n}\n" } else { "" };
    Some(files.to_owned() + &server(&format!("{kind} {{\n {needs}\n {inner}\n }}")))
}
