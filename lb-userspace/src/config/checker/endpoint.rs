//! Where a checker connects to, and from where.

use std::net::IpAddr;

use super::Around;
use crate::config::diagnostics::Diagnostic;
use crate::config::model::check::Endpoint;
use crate::config::source::Span;
use crate::config::tree::Statement;
use crate::config::values;

/// The endpoint that a checker names, whose port may be 0.
pub(super) fn read(statement: &Statement, around: &Around<'_>, problems: &mut Vec<Diagnostic>) -> Endpoint {
    let endpoint = Endpoint {
        connect_ip: around.address,
        connect_port: around.port,
        bindto: None,
        bind_if: None,
        bind_port: None,
        fwmark: 0,
    };
    within(endpoint, statement, problems)
}

/// The endpoint that a checker names. Without a port there is no check, and `problems` says so.
pub(super) fn with_port(
    statement: &Statement,
    around: &Around<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Endpoint> {
    let endpoint = read(statement, around, problems);
    if endpoint.connect_port == 0 {
        say_no_port(statement.header(), problems);
        return None;
    }
    Some(endpoint)
}

pub(super) fn say_no_port(span: Span, problems: &mut Vec<Diagnostic>) {
    let message = "the check knows no port to connect to; it counts as passed";
    problems.push(Diagnostic::ours(span, message).hint("write `connect_port`"));
}

/// `endpoint` with what the block says otherwise.
pub(super) fn within(
    mut endpoint: Endpoint,
    statement: &Statement,
    problems: &mut Vec<Diagnostic>,
) -> Endpoint {
    for setting in statement.body() {
        if let Err(problem) = set(&mut endpoint, setting) {
            problems.push(problem);
        }
    }
    let span = statement.header();
    let Endpoint { connect_ip, bindto, bind_if, .. } = &endpoint;
    if let Some(from) = bindto
        && values::width(*from) != values::width(*connect_ip)
    {
        let message = format!("the check cannot connect from {from} to {connect_ip}: two families");
        problems.push(Diagnostic::error(span, message).hint("give addresses of the same family"));
        return endpoint;
    }
    let of_link = [Some(connect_ip), bindto.as_ref()].into_iter().flatten().find(|ip| is_of_link(**ip));
    if let (Some(address), None) = (of_link, bind_if) {
        let message = format!("the check cannot use {address} without an interface: it is of a link");
        problems.push(Diagnostic::warning(span, message).hint("write `bind_if`"));
    }
    endpoint
}

fn set(endpoint: &mut Endpoint, setting: &Statement) -> Result<(), Diagnostic> {
    let Some(word) = setting.arguments.first() else { return Ok(()) };
    match setting.name() {
        "connect_ip" => endpoint.connect_ip = values::address(word)?,
        "connect_port" => endpoint.connect_port = values::port(word)?,
        "bindto" => endpoint.bindto = Some(values::address(word)?),
        "bind_if" => endpoint.bind_if = Some(values::interface(word)?),
        "bind_port" => endpoint.bind_port = Some(values::port(word)?),
        "fwmark" => endpoint.fwmark = values::number(word, "a firewall mark", 0..=u32::MAX)?,
        _ => {}
    }
    Ok(())
}

fn is_of_link(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}
