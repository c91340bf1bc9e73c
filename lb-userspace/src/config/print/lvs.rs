//! What is balanced: `global_defs`, `virtual_server` and `fwmark_rules`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::vrrp::command;
use super::{Node, checks, quote};
use crate::config::model::check::Probe;
use crate::config::model::vrrp::Family;
use crate::config::model::{
    Config, Forwarding, Granularity, LvsTimeouts, Mail, MarkRule, Opening, Quorum, RealServer, Scheduler,
    Selector, SorryServer, TlsFiles, VirtualServer,
};

pub(super) fn globals(config: &Config) -> Vec<Node> {
    let globals = &config.vrrp.globals;
    let mut nodes = vec![
        Node::maybe("router_id", config.router_id.as_ref()),
        timeouts(config.timeouts),
        globals.script_user.as_ref().map_or_else(
            || Node::maybe("script_user", None::<String>),
            |user| Node::new("script_user", quote::user(user)),
        ),
        Node::maybe_flag("enable_script_security", globals.script_security),
    ];
    for fifo in &globals.fifos {
        let keyword = fifo.lines.keyword();
        let path = fifo.path.to_string_lossy().into_owned();
        nodes.push(Node::new(keyword, [path].into_iter().chain(fifo.owner.iter().flat_map(quote::user))));
        if let Some(script) = &fifo.script {
            nodes.push(Node::new(format!("{keyword}_script"), quote::command(script)));
        }
    }
    nodes.push(Node::maybe_flag("rs_init_notifies", config.rs_init_notifies));
    nodes.extend(mail(&config.mail));
    nodes.push(Node::seconds("vrrp_startup_delay", globals.startup_delay));
    nodes.push(Node::seconds("vrrp_delay_after_boot", globals.delay_after_boot));
    nodes.push(Node::maybe("vrrp_rt_priority", globals.rt_priority));
    // What counts for all instances is in each of them.
    if let Some(first) = config.vrrp.instances.first() {
        nodes.push(Node::seconds("vrrp_garp_interval", first.announcing.garp_interval));
        nodes.push(Node::seconds("vrrp_gna_interval", first.announcing.gna_interval));
    }
    nodes
}

fn mail(mail: &Mail) -> Vec<Node> {
    let Mail {
        recipients,
        sender,
        server,
        helo,
        timeout,
        faults,
        checks,
        alerts,
        vrrp_alerts,
        checker_alerts,
    } = mail;
    let mut nodes = Vec::new();
    // On one line: a word behind the first begins nothing else.
    let line = recipients.split_first().map(|(first, others)| Node::new(first, others));
    nodes.extend(Node::list("notification_email", line.into_iter().collect()));
    nodes.push(Node::maybe("notification_email_from", sender.as_ref()));
    nodes.push(match server {
        Some((host, port)) => Node::new("smtp_server", [host.clone(), port.to_string()]),
        None => Node::maybe("smtp_server", None::<String>),
    });
    nodes.push(Node::maybe("smtp_helo_name", helo.as_ref()));
    nodes.push(Node::seconds("smtp_connect_timeout", *timeout));
    nodes.push(Node::maybe_flag("no_email_faults", !faults));
    nodes.push(Node::maybe_flag("no_checker_emails", !checks));
    let switches =
        [("smtp_alert", alerts), ("smtp_alert_vrrp", vrrp_alerts), ("smtp_alert_checker", checker_alerts)];
    nodes.extend(switches.map(|(keyword, is_on)| Node::maybe_switch(keyword, *is_on)));
    nodes
}

fn timeouts(timeouts: LvsTimeouts) -> Node {
    let LvsTimeouts { tcp, tcp_fin, udp } = timeouts;
    let pairs = [("tcp", tcp), ("tcpfin", tcp_fin), ("udp", udp)];
    let words: Vec<_> = pairs
        .into_iter()
        .filter_map(|(name, seconds)| Some([name.to_owned(), seconds?.to_string()]))
        .flatten()
        .collect();
    Node { is_unset: words.is_empty(), ..Node::new("lvs_timeouts", words) }
}

pub(super) fn blocks(config: &Config) -> Vec<Node> {
    let mut nodes = Vec::new();
    nodes.extend(Node::list("fwmark_rules", config.mark_rules.iter().map(mark).collect()));
    nodes.extend(config.tls.as_ref().map(tls));
    nodes.extend(groups(config));
    nodes.extend(config.virtual_servers.iter().map(|service| virtual_server(service)));
    nodes
}

fn tls(files: &TlsFiles) -> Node {
    let TlsFiles { ca, certificate, key, span } = files;
    let words = [("ca", ca), ("certificate", certificate), ("key", key)];
    let path = |path: &PathBuf| path.to_string_lossy().into_owned();
    let words = words.map(|(keyword, file)| Node::maybe(keyword, file.as_ref().map(path)));
    Node::flag("SSL").with(words.into()).at(*span)
}

/// What a group selects for any of its virtual servers, with one line for each address.
fn groups(config: &Config) -> Vec<Node> {
    let mut groups = Vec::<(&str, Vec<Node>)>::new();
    let mut seen = BTreeSet::new();
    for service in &config.virtual_servers {
        let Some(group) = &service.group else { continue };
        let place = groups.iter().position(|(name, _)| *name == group.name).unwrap_or_else(|| {
            groups.push((&group.name, Vec::new()));
            groups.len() - 1
        });
        for selector in service.selectors() {
            let node = match selector {
                Selector::Address { address, port, .. } => Node::one(&address.to_string(), port),
                Selector::Mark { mark, family } => {
                    Node::new("fwmark", [mark.to_string(), family_name(family).to_owned()])
                }
            };
            if seen.insert((&group.name, node.keyword.clone(), node.arguments.clone())) {
                groups[place].1.push(node);
            }
        }
    }
    groups.into_iter().map(|(name, lines)| Node::one("virtual_server_group", name).with(lines)).collect()
}

const fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "inet",
        Family::V6 => "inet6",
    }
}

fn mark(rule: &MarkRule) -> Node {
    let MarkRule { mark, source, destination, protocol, ports, span } = rule;
    let prefix = |prefix: &crate::config::model::Prefix| format!("{}/{}", prefix.address, prefix.bits);
    let ports = match (*ports.start(), *ports.end()) {
        (0, u16::MAX) => None,
        (first, last) if first == last => Some(first.to_string()),
        (first, last) => Some(format!("{first}-{last}")),
    };
    let body = vec![
        Node::maybe("source", source.as_ref().map(prefix)),
        Node::maybe("destination", destination.as_ref().map(prefix)),
        Node::maybe("protocol", *protocol),
        Node::maybe("port", ports),
    ];
    Node::one("mark", mark).at(*span).with(body)
}

fn virtual_server(service: &VirtualServer) -> Node {
    let VirtualServer { selector, scheduler, forwarding, persistence, granularity, delay_loop, .. } = service;
    let words = match (&service.group, selector) {
        (Some(group), _) => ["group".to_owned(), group.name.clone()],
        (None, Selector::Address { address, port, .. }) => [address.to_string(), port.to_string()],
        (None, Selector::Mark { mark, .. }) => ["fwmark".to_owned(), mark.to_string()],
    };
    let node = Node::new("virtual_server", words);
    let mut body = Vec::new();
    let protocol = service.protocol();
    body.extend(protocol.map(|protocol| Node::one("protocol", protocol)));
    if service.group.is_some() || protocol.is_none() {
        body.push(Node::one("ip_family", family_name(selector.family())));
    }
    body.push(Node::one("lb_algo", scheduler.keyword()));
    body.extend(flags(service));
    body.push(Node::one("lb_kind", forwarding.keyword()));
    body.push(Node::maybe("persistence_timeout", persistence.map(super::seconds)));
    body.push(Node::maybe("persistence_granularity", granularity.map(|bits| mask(bits, selector.family()))));
    let Opening { expire_quiescent, one_packet, sloppy } = service.opening;
    body.push(Node::maybe_flag("ops", one_packet));
    body.push(Node::switch("sloppy_tcp", sloppy));
    body.push(Node::switch("expire_quiescent_template", expire_quiescent));
    body.push(Node::seconds("delay_loop", *delay_loop));
    body.extend(quorum(service));
    body.extend(service.real_servers.iter().map(real_server));
    node.at(service.span).with(body).remark(!service.is_available(), "left out")
}

fn quorum(service: &VirtualServer) -> Vec<Node> {
    let Quorum { least, hysteresis, up, down, smtp_alert } = &service.quorum;
    // Where nothing has a weight, none can be written.
    let least = Node { is_unset: *least == 0, ..Node::one("quorum", least) };
    let mut nodes = vec![least, Node::one("hysteresis", hysteresis)];
    nodes.extend(command("quorum_up", up.as_ref()));
    nodes.extend(command("quorum_down", down.as_ref()));
    nodes.push(Node::maybe_switch("smtp_alert", *smtp_alert));
    nodes.push(Node::switch("omega", service.omega));
    nodes.push(Node::switch("ha_suspend", service.ha_suspend));
    if let Some(SorryServer { address, port, forwarding, inhibit, span }) = &service.sorry {
        nodes.push(Node::new("sorry_server", [address.to_string(), port.to_string()]).at(*span));
        nodes.push(Node::one("sorry_server_lvs_method", forwarding.keyword()));
        nodes.push(Node::maybe_flag("sorry_server_inhibit", *inhibit));
    }
    nodes
}

/// What sh and mh have of their own; where another scheduler has it written, it is kept by its number.
fn flags(service: &VirtualServer) -> impl Iterator<Item = Node> {
    let (port, fallback) = match service.scheduler {
        Scheduler::Sh => ("sh-port", "sh-fallback"),
        Scheduler::Mh => ("mh-port", "mh-fallback"),
        _ => ("flag-2", "flag-1"),
    };
    let is_hashing = matches!(service.scheduler, Scheduler::Sh | Scheduler::Mh);
    let flags = [(port, service.hash_port), (fallback, service.hash_fallback)];
    flags
        .into_iter()
        .filter(move |(_, is_on)| *is_on || is_hashing)
        .map(|(keyword, is_on)| Node::maybe_flag(keyword, is_on))
}

/// A netmask for IPv4, a length for IPv6, as keepalived takes them.
fn mask(Granularity(bits): Granularity, family: Family) -> String {
    match family {
        Family::V4 => {
            let host = u32::MAX.checked_shr(bits.into()).unwrap_or(0);
            std::net::Ipv4Addr::from_bits(!host).to_string()
        }
        Family::V6 => bits.to_string(),
    }
}

fn real_server(server: &RealServer) -> Node {
    let mut body = vec![
        Node::one("weight", server.weight.0),
        Node::switch("inhibit_on_failure", server.inhibit_on_failure),
        method(server.forwarding),
        Node::one("uthreshold", server.upper_threshold),
        Node::one("lthreshold", server.lower_threshold),
    ];
    body.extend(command("notify_up", server.notify_up.as_ref()));
    body.extend(command("notify_down", server.notify_down.as_ref()));
    body.push(Node::maybe_switch("smtp_alert", server.smtp_alert));
    if !server.checkers.iter().any(|checker| matches!(checker.probe, Probe::Vip(_))) {
        body.push(Node::maybe("vip_check", None::<String>));
    }
    body.extend(server.checkers.iter().map(checks::checker));
    Node::new("real_server", [server.address.to_string(), server.port.to_string()])
        .at(server.span)
        .with(body)
        .remark(!server.forwarding.is_available(), "left out")
}

fn method(forwarding: Forwarding) -> Node {
    Node::one("lvs_method", forwarding.keyword())
}
