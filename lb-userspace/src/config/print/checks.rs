//! How real servers are checked.

use std::fmt::Write as _;

use super::{Node, quote, seconds};
use crate::config::model::check::{
    CheckTiming, Checker, DnsProbe, Endpoint, FileProbe, HexByte, HttpProbe, MiscProbe, PagePattern,
    PatternOption, Probe, SmtpProbe, Tls, UdpProbe, Url,
};
use crate::config::source::Span;

pub(super) fn checker(checker: &Checker) -> Node {
    let timing = &checker.timing;
    let mut body = match &checker.probe {
        Probe::Tcp(host) | Probe::Ping(host) => endpoint(host),
        Probe::Http(probe) => http(probe, &checker.parts),
        Probe::Smtp(probe) => smtp(probe),
        Probe::Dns(probe) => dns(probe),
        Probe::Udp(probe) => udp(probe),
        Probe::Misc(probe) => misc(probe),
        Probe::File(probe) => file(probe),
        Probe::Bfd => Vec::new(),
        Probe::Vip(_) => return vip(timing),
    };
    if !matches!(checker.probe, Probe::File(_) | Probe::Bfd) {
        if !matches!(checker.probe, Probe::Misc(_)) {
            body.push(Node::seconds("connect_timeout", timing.connect_timeout));
        }
        body.extend([
            Node::one("retry", timing.retry),
            Node::seconds("delay_before_retry", timing.delay_before_retry),
            Node::seconds("delay_loop", timing.delay_loop),
            Node::seconds("warmup", timing.warmup),
            Node::switch("alpha", timing.alpha),
            Node::switch("log_all_failures", timing.log_all_failures),
        ]);
    }
    Node::flag(checker.probe.keyword())
        .at(checker.span)
        .with(body)
        .remark(!checker.probe.is_available(), "not yet in effect")
}

/// One line, with all that it takes.
fn vip(timing: &CheckTiming) -> Node {
    let CheckTiming {
        connect_timeout,
        retry,
        delay_before_retry,
        delay_loop,
        warmup,
        alpha,
        log_all_failures,
    } = *timing;
    let switch = |is_on: bool| if is_on { "yes" } else { "no" }.to_owned();
    let settings = [
        ("connect_timeout", seconds(connect_timeout)),
        ("retry", retry.to_string()),
        ("delay_before_retry", seconds(delay_before_retry)),
        ("delay_loop", seconds(delay_loop)),
        ("warmup", seconds(warmup)),
        ("alpha", switch(alpha)),
        ("log_all_failures", switch(log_all_failures)),
    ];
    Node::new("vip_check", settings.into_iter().flat_map(|(name, value)| [name.to_owned(), value]))
}

fn endpoint(endpoint: &Endpoint) -> Vec<Node> {
    let Endpoint { connect_ip, connect_port, bindto, bind_if, bind_port, fwmark } = endpoint;
    let port = Some(connect_port).filter(|port| **port != 0);
    vec![
        Node::one("connect_ip", connect_ip),
        Node::maybe("connect_port", port),
        Node::maybe("bindto", *bindto),
        Node::maybe("bind_if", bind_if.as_ref()),
        Node::maybe("bind_port", *bind_port),
        Node::one("fwmark", fwmark),
    ]
}

fn http(probe: &HttpProbe, parts: &[Span]) -> Vec<Node> {
    let mut body = endpoint(&probe.endpoint);
    body.push(Node::one("http_protocol", probe.protocol.keyword()));
    body.push(Node::switch("fast_recovery", probe.fast_recovery));
    if let Some(Tls { sni, compliant }) = probe.tls {
        body.push(Node::maybe_flag("enable_sni", sni));
        body.push(Node::maybe_flag("tls_compliant", compliant));
    }
    body.extend(probe.urls.iter().zip(parts).map(|(page, place)| url(page).at(*place)));
    body
}

fn url(url: &Url) -> Node {
    let Url { path, virtualhost, status, digest, regex } = url;
    let codes: Vec<_> = status
        .iter()
        .map(|codes| match (codes.start(), codes.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        })
        .collect();
    let digest = digest.map(|sum| hex(sum.map(|value| HexByte { value, mask: 0xff }).as_slice()));
    let mut body = vec![
        Node::one("path", path),
        Node::maybe("virtualhost", virtualhost.as_ref()),
        Node { is_unset: codes.is_empty(), ..Node::new("status_code", codes) },
        Node::maybe("digest", digest),
    ];
    body.extend(regex.as_ref().map_or_else(|| vec![Node::maybe("regex", None::<String>)], pattern));
    Node::flag("url").with(body)
}

fn pattern(page: &PagePattern) -> Vec<Node> {
    let PagePattern { pattern, no_match, options, stack, min_offset, max_offset } = page;
    let options: Vec<_> = options.iter().copied().map(PatternOption::keyword).collect();
    let stack: Vec<_> = stack.iter().flat_map(|(first, most)| [first, most]).collect();
    vec![
        Node::one("regex", pattern),
        Node::maybe_flag("regex_no_match", *no_match),
        Node { is_unset: options.is_empty(), ..Node::new("regex_options", options) },
        Node { is_unset: stack.is_empty(), ..Node::new("regex_stack", stack) },
        Node::one("regex_min_offset", min_offset),
        Node::maybe("regex_max_offset", *max_offset),
    ]
}

fn smtp(probe: &SmtpProbe) -> Vec<Node> {
    let mut body = vec![Node::one("helo_name", &probe.helo_name)];
    body.extend(endpoint(&probe.endpoint));
    body
}

fn dns(probe: &DnsProbe) -> Vec<Node> {
    let mut body = endpoint(&probe.endpoint);
    body.push(Node::one("type", probe.record.keyword()));
    body.push(Node::one("name", &probe.name));
    body
}

fn udp(probe: &UdpProbe) -> Vec<Node> {
    let mut body = endpoint(&probe.endpoint);
    let bytes =
        |bytes: &[u8]| hex(&bytes.iter().map(|&value| HexByte { value, mask: 0xff }).collect::<Vec<_>>());
    body.push(Node::maybe("payload", probe.payload.as_deref().map(bytes)));
    let reply = probe.require_reply.as_deref().map(hex);
    let words = reply.clone().filter(|pattern| !pattern.is_empty());
    body.push(Node { is_unset: reply.is_none(), ..Node::new("require_reply", words) });
    body.push(Node::one("min_reply_length", probe.min_reply_length));
    body.push(Node::one("max_reply_length", probe.max_reply_length));
    body
}

fn misc(probe: &MiscProbe) -> Vec<Node> {
    let MiscProbe { command, timeout, is_dynamic } = probe;
    vec![
        Node::one("misc_path", quote::line(&command.words)),
        command
            .user
            .as_ref()
            .map_or_else(|| Node::maybe("user", None::<String>), |user| Node::new("user", quote::user(user))),
        // A part of a second can only be that of `delay_loop`.
        Node::maybe("misc_timeout", Some(timeout.as_secs()).filter(|_| timeout.subsec_nanos() == 0)),
        Node::maybe_flag("misc_dynamic", *is_dynamic),
    ]
}

fn file(probe: &FileProbe) -> Vec<Node> {
    let FileProbe { name, weight, reverse, .. } = probe;
    let words = [weight.to_string()].into_iter().chain(reverse.then(|| "reverse".to_owned()));
    vec![Node::one("track_file", name), Node::new("weight", words)]
}

/// Two digits for a byte, and `x` for one that may be any.
fn hex(bytes: &[HexByte]) -> String {
    let mut text = String::new();
    for HexByte { value, mask } in bytes {
        for shift in [4, 0] {
            let half = |byte: u8| byte >> shift & 0xf;
            match half(*mask) {
                0 => text.push('x'),
                _ => drop(write!(text, "{:x}", half(*value))),
            }
        }
    }
    text
}
