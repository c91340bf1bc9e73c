//! Owns what the tests of this module share.

use super::model::vrrp::VrrpInstance;
use super::model::{Checker, TcpCheck};
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

/// The TCP checks of `text`, which loads.
#[track_caller]
pub(super) fn checks(text: &str) -> Vec<TcpCheck> {
    let servers = config(text).virtual_servers.into_iter().flat_map(|service| service.real_servers);
    let checkers = servers.flat_map(|server| server.checkers);
    let tcp = checkers.filter_map(|checker| match checker {
        Checker::Tcp(check) => Some(check),
        Checker::Other { .. } => None,
    });
    tcp.collect()
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
