//! Owns the step from a `real_server` block to a [`RealServer`] with its checkers.

use std::net::IpAddr;

use super::checker::{self, Around, vip};
use super::diagnostics::Diagnostic;
use super::keywords::{self, BlockKind};
use super::model::vrrp::{Family, TrackFile};
use super::model::{Forwarding, RealServer, Selector};
use super::service::{self, Weights};
use super::timing::Timing;
use super::tree::{Statement, Word};
use super::values;
use super::vrrp::command;

/// What a real server takes from the virtual server around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outer<'a> {
    pub(super) selector: Selector,
    /// Everything that the virtual server is for.
    pub(super) selectors: &'a [Selector],
    pub(super) forwarding: Forwarding,
    pub(super) inhibit_on_failure: bool,
    pub(super) timing: Timing,
    pub(super) weights: Weights,
    /// The host that its HTTP checks ask for.
    pub(super) virtualhost: Option<&'a str>,
    /// Every `track_file` there is.
    pub(super) files: &'a [TrackFile],
    /// The `vip_check` of real servers that have none.
    pub(super) vip_check: Option<vip::Line>,
}

/// The real server that `statement` describes; without one, `problems` says why.
pub(super) fn read(
    statement: &Statement,
    outer: &Outer<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Option<RealServer> {
    let place = place(statement.arguments.first()?, statement.arguments.get(1), outer, problems);
    let (address, port) = place.map_err(|problem| problems.push(problem)).ok()?;
    let mut server = RealServer {
        address,
        port,
        weight: outer.weights.of(None),
        drained: None,
        forwarding: outer.forwarding,
        checkers: Vec::new(),
        inhibit_on_failure: outer.inhibit_on_failure,
        upper_threshold: 0,
        lower_threshold: 0,
        notify_up: None,
        notify_down: None,
        smtp_alert: None,
        span: statement.header(),
    };
    for setting in statement.body() {
        if let Err(problem) = set(&mut server, setting, outer, problems) {
            problems.push(problem);
        }
    }
    let around = Around {
        address: server.address,
        port: server.port,
        virtualhost: checker::virtualhost(statement, problems)
            .or_else(|| outer.virtualhost.map(str::to_owned)),
        timing: outer.timing.inside(BlockKind::RealServer, statement.body(), problems),
        files: outer.files,
    };
    for inner in statement.body() {
        if let Some(kind) = keywords::opens(BlockKind::RealServer, inner.name()) {
            server.checkers.extend(checker::read(kind, inner, &around, problems));
        }
    }
    // Behind the others: a server that does not answer at all is down for their reason.
    let line = vip::line(statement, outer.selectors, problems).or(outer.vip_check);
    server.checkers.extend(line.and_then(|line| line.check(server.address, around.timing, outer.selectors)));
    reconcile(&mut server, outer, statement, problems);
    Some(server)
}

fn place(
    word: &Word,
    port: Option<&Word>,
    outer: &Outer<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Result<(IpAddr, u16), Diagnostic> {
    let address = service::address(word, problems)?;
    let port = port.map_or(Ok(0), |word| values::number(word, "a port", 0..=u16::MAX))?;
    let (own, family) = (Family::of(address), outer.selector.family());
    if own != family && outer.forwarding != Forwarding::Tun {
        let message =
            format!("the real server {address} is left out: it is {own} and its virtual server {family}");
        return Err(Diagnostic::warning(word.span, message).hint("give it an address of the same family"));
    }
    Ok((address, if port == 0 { outer.selector.port() } else { port }))
}

fn set(
    server: &mut RealServer,
    setting: &Statement,
    outer: &Outer<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Result<(), Diagnostic> {
    let value = setting.arguments.first();
    match (setting.name(), value) {
        ("weight", Some(word)) => server.weight = outer.weights.of(Some(service::weight(word)?)),
        ("inhibit_on_failure", value) => server.inhibit_on_failure = values::switch(value)?,
        ("smtp_alert", value) => server.smtp_alert = Some(values::switch(value)?),
        ("notify_up", Some(_)) => {
            server.notify_up = Some(command::with_user(setting, problems)?);
        }
        ("notify_down", Some(_)) => {
            server.notify_down = Some(command::with_user(setting, problems)?);
        }
        ("uthreshold", Some(word)) => server.upper_threshold = connections(word)?,
        ("lthreshold", Some(word)) => server.lower_threshold = connections(word)?,
        ("lvs_method", Some(word)) => server.forwarding = service::forwarding(word)?,
        _ => {}
    }
    Ok(())
}

fn connections(word: &Word) -> Result<u32, Diagnostic> {
    values::number(word, "a number of connections", 0..=u32::MAX)
}

/// Under direct routing a packet keeps its port, so the server's is the virtual server's; the checks keep their own.
fn reconcile(
    server: &mut RealServer,
    outer: &Outer<'_>,
    statement: &Statement,
    problems: &mut Vec<Diagnostic>,
) {
    let port = outer.selector.port();
    if server.forwarding != Forwarding::Nat && server.port != port {
        let (own, method) = (server.port, server.forwarding.keyword());
        let becomes = match port {
            0 => "means nothing, for its virtual server has none".to_owned(),
            port => format!("becomes {port}, that of its virtual server"),
        };
        let message = format!("the port {own} of this real server {becomes}: {method} changes no port");
        let span = statement.arguments.get(1).map_or(statement.header(), |word| word.span);
        problems
            .push(Diagnostic::warning(span, message).hint("the checks still go to the port written here"));
        server.port = port;
    }
    if server.lower_threshold > server.upper_threshold {
        let message = match server.upper_threshold {
            0 => "`lthreshold` has no effect without `uthreshold`",
            _ => "`lthreshold` is above `uthreshold`; it is ignored",
        };
        let lower = statement.body().iter().rfind(|setting| setting.name() == "lthreshold");
        let span = lower.map_or(statement.header(), Statement::header);
        problems.push(
            Diagnostic::ours(span, message).hint("without it three quarters of `uthreshold` are meant"),
        );
        server.lower_threshold = 0;
    }
}

#[cfg(test)]
mod tests {
    use crate::config::model::Weight;
    use crate::config::testing::{checkers, config, endpoints, said, says, server, service, timings};

    #[test]
    fn a_real_server_has_its_values() {
        let text = service(
            "inhibit_on_failure\n real_server 10.0.0.2 80 {\n weight 65535\n }\n real_server 10.0.0.3 { inhibit_on_failure off }\n",
        );
        let service = &config(&text).virtual_servers[0];
        let [first, second] = service.real_servers.as_slice() else { panic!("{service:?}") };
        assert_eq!((first.port, first.weight, first.inhibit_on_failure), (80, Weight(65535), true));
        assert_eq!((second.port, second.weight, second.inhibit_on_failure), (80, Weight(1), false));
        assert_eq!(said(&text), Vec::<String>::new());
    }

    #[test]
    fn a_tcp_check_may_go_elsewhere() {
        let text = server("TCP_CHECK {\n connect_ip 10.0.0.9\n connect_port 81\n bindto 10.0.0.8\n }");
        let check = &endpoints(&text)[0];
        assert_eq!((check.connect_ip.to_string().as_str(), check.connect_port), ("10.0.0.9", 81));
        assert_eq!(check.bindto, Some("10.0.0.8".parse().unwrap()));
    }

    #[test]
    fn under_direct_routing_the_port_is_the_virtual_one_and_the_check_keeps_its_own() {
        let text = service("real_server 10.0.0.2 8080 {\n TCP_CHECK {\n }\n }\n");
        says(&text, "t:5:23: warning: the port 8080 of this real server becomes 80");
        assert_eq!(config(&text).virtual_servers[0].real_servers[0].port, 80);
        assert_eq!(endpoints(&text)[0].connect_port, 8080);
    }

    #[test]
    fn where_the_virtual_server_has_no_port_only_the_check_has_one() {
        let every = |inner: &str| {
            let settings = "persistence_timeout\n real_server 10.0.0.2";
            service(&format!("{settings} {inner}\n }}\n }}\n")).replace("10.0.0.1 80", "10.0.0.1")
        };
        let text = every("8080 {\n TCP_CHECK {");
        says(
            &text,
            "t:6:23: warning: the port 8080 of this real server means nothing, for its virtual server has none",
        );
        assert_eq!(config(&text).virtual_servers[0].real_servers[0].port, 0);
        assert_eq!(endpoints(&text)[0].connect_port, 8080);
        let text = every("0 {\n TCP_CHECK {\n connect_port 81");
        assert_eq!(said(&text), Vec::<String>::new());
        assert_eq!(endpoints(&text)[0].connect_port, 81);
        let text = every("{\n TCP_CHECK {");
        says(&text, "t:7:2: warning: the check knows no port to connect to; it counts as passed");
        assert_eq!(checkers(&text).len(), 0);
    }

    #[test]
    fn thresholds_are_an_upper_and_a_lower_one() {
        let read = |text: &str| {
            let server = &config(text).virtual_servers[0].real_servers[0];
            (server.upper_threshold, server.lower_threshold)
        };
        let text = server("uthreshold 100\n lthreshold 100");
        assert_eq!((said(&text).len(), read(&text)), (0, (100, 100)));
        let text = server("lthreshold 101\n uthreshold 100");
        says(&text, "t:6:2: warning: `lthreshold` is above `uthreshold`; it is ignored");
        assert_eq!(read(&text), (100, 0));
        let text = server("lthreshold 1");
        says(&text, "t:6:2: warning: `lthreshold` has no effect without `uthreshold`");
        assert_eq!(read(&text), (0, 0));
        says(&server("uthreshold -1"), "t:6:13: error: `-1` is not a number of connections");
    }

    #[test]
    fn the_retries_of_an_http_check_are_understood_in_a_tcp_check() {
        let text = server("TCP_CHECK {\n nb_get_retry 3\n }");
        says(&text, "t:7:2: note: `nb_get_retry` belongs in HTTP_GET; here it is read as `retry`");
        assert_eq!(timings(&text)[0].retry, 3);
    }

    #[test]
    fn a_server_that_cannot_be_forwarded_to_is_left_out() {
        let text =
            service("real_server 10.0.0.2 80 {\n }\n real_server 10.0.0.3 81 {\n lvs_method NAT\n }\n");
        says(&text, "t:7:2: warning: the real server is left out: NAT is not yet in effect");
        assert_eq!(config(&text).virtual_servers[0].pool().count(), 1);
    }

    #[test]
    fn wrong_values_are_errors() {
        says(&server("weight abc"), "t:6:9: error: `abc` is not a weight");
        says(&server("weight -1"), "t:6:9: error: `-1` is not a weight");
        says(&server("weight 2147483648"), "t:6:9: error: `2147483648` is out of range for a weight");
        says(&server("weight"), "t:6:2: error: `weight` has no value");
        says(&server("inhibit_on_failure maybe"), "t:6:21: error: `maybe` is neither yes nor no");
        says(&server("TCP_CHECK {\n connect_timeout 0\n }"), "t:7:18: error: `0` is out of range");
        says(&server("TCP_CHECK {\n connect_port 0\n }"), "t:7:15: error: `0` is out of range for a port");
        says(&server("TCP_CHECK {\n bindto fe80::1\n }"), "t:6:2: error: the check cannot connect from");
        says(
            &server("HTTP_GET {\n connect_timeout x\n }").replace("HTTP_GET", "TCP_CHECK"),
            "t:7:18: error:",
        );
    }

    #[test]
    fn wrong_addresses_are_errors() {
        let at = |place: &str| said(&service(&format!("real_server {place} {{\n }}\n")));
        assert!(at("10.0.0.300 80")[0].starts_with("t:5:14: error: `10.0.0.300` is not an IPv4"));
        assert!(at("10.0.0.2 80000")[0].starts_with("t:5:23: error: `80000` is out of range for a port"));
        assert!(at("fe80::1 80")[1].starts_with("t:5:14: warning: the real server fe80::1 is left out"));
        assert!(at("")[0].starts_with("t:5:2: error: `real_server` has no value"));
    }
}
