//! Owns the step from a `virtual_server` block to a [`VirtualServer`], and says why one cannot be served.

mod settings;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::checker;
use super::diagnostics::{Diagnostic, Severity, quoted};
use super::keywords::BlockKind;
use super::marks;
use super::model::vrrp::{Family, TrackFile};
use super::model::{Forwarding, Opening, Protocol, Scheduler, Selector, VirtualServer};
use super::real_server::{self, Outer};
use super::source::Span;
use super::timing::Timing;
use super::tree::{Statement, Word};
use super::values;
use settings::Settings;

/// The virtual server that `statement` describes; without one, it is of a form that is not served, or wrong, and
/// `problems` says so. The checks know the `track_file`s among `files`.
pub(super) fn read(
    statement: &Statement,
    files: &[TrackFile],
    problems: &mut Vec<Diagnostic>,
) -> Option<VirtualServer> {
    let form = Form::read(statement, statement.arguments.first()?);
    let form = form.map_err(|problem| problems.push(problem)).ok()?;
    let mut settings = Settings::default();
    for setting in statement.body() {
        if let Err(problem) = settings.take(setting, form.family(), problems) {
            problems.push(problem);
        }
    }
    let timing = Timing::default().inside(BlockKind::VirtualServer, statement.body(), problems);
    let selector = form.selector(settings.protocol.map_or(Protocol::Udp, |(protocol, _)| protocol));
    let protocol = match selector {
        Selector::Address { protocol, .. } => Some(protocol),
        Selector::Mark { .. } => None,
    };
    let persistence = settings.persistence(&selector);
    let mut service = VirtualServer {
        selector,
        scheduler: settings.scheduler.unwrap_or(Scheduler::Wlc),
        hash_port: settings.hash_port.is_some(),
        hash_fallback: settings.hash_fallback.is_some(),
        forwarding: settings.forwarding.map_or(Forwarding::Nat, |(forwarding, _)| forwarding),
        persistence,
        granularity: settings.granularity.filter(|_| persistence.is_some()),
        opening: Opening {
            expire_quiescent: settings.expire_quiescent.is_some() && persistence.is_some(),
            one_packet: settings.one_packet.is_some() && matches!(protocol, None | Some(Protocol::Udp)),
            sloppy: settings.sloppy.is_some() && protocol != Some(Protocol::Udp),
        },
        delay_loop: timing.delay_loop(),
        real_servers: Vec::new(),
        span: statement.header(),
    };
    let virtualhost = checker::virtualhost(statement, problems);
    let outer = Outer {
        selector,
        forwarding: service.forwarding,
        inhibit_on_failure: settings.inhibit_on_failure,
        timing,
        virtualhost: virtualhost.as_deref(),
        files,
    };
    read_real_servers(&mut service, statement, &outer, problems);
    // What follows from an error is not worth saying beside it.
    let whole = statement.whole();
    if !problems.iter().any(|problem| problem.severity == Severity::Error && whole.contains(problem.span)) {
        settings.say_what_is_missing(&service, problems);
    }
    Some(service)
}

/// `DR`, `NAT` or `TUN`.
pub(super) fn forwarding(word: &Word) -> Result<Forwarding, Diagnostic> {
    let kinds = [Forwarding::Dr, Forwarding::Nat, Forwarding::Tun];
    kinds.into_iter().find(|kind| kind.keyword() == word.text).ok_or_else(|| {
        Diagnostic::error(word.span, format!("{} is not a forwarding method", quoted(&word.text)))
            .hint("write DR, NAT or TUN, in capitals")
    })
}

/// What stands behind `virtual_server`.
enum Form {
    /// An address, and a port or 0.
    Address(IpAddr, u16),
    /// A firewall mark.
    Mark(u32, Family),
}

impl Form {
    fn read(statement: &Statement, first: &Word) -> Result<Self, Diagnostic> {
        let second = statement.arguments.get(1);
        match (first.text.as_str(), second) {
            ("fwmark", Some(word)) => Ok(Self::Mark(marks::mark(word)?, mark_family(statement))),
            ("fwmark", None) => Err(Diagnostic::error(first.span, "`fwmark` has no number")
                .hint("write the firewall mark behind it")),
            ("group", _) => {
                let message = "the virtual server is left out: its form `group` is not yet in effect";
                Err(Diagnostic::ours(statement.header(), message).hint("write an address and a port"))
            }
            _ => {
                let port = second.map_or(Ok(0), |word| values::number(word, "a port", 0..=u16::MAX))?;
                Ok(Self::Address(values::address(first)?, port))
            }
        }
    }

    const fn family(&self) -> Family {
        match *self {
            Self::Address(address, _) => Family::of(address),
            Self::Mark(_, family) => family,
        }
    }

    const fn selector(&self, protocol: Protocol) -> Selector {
        match *self {
            Self::Address(address, port) => Selector::Address { address, port, protocol },
            Self::Mark(mark, family) => Selector::Mark { mark, family },
        }
    }
}

/// A firewall mark is of the family that `ip_family` says, or of that of its real servers.
fn mark_family(statement: &Statement) -> Family {
    let first = |name| {
        let named = statement.body().iter().filter(move |inner| inner.name() == name);
        named.filter_map(|inner| inner.arguments.first())
    };
    let said = first("ip_family").next_back().and_then(|word| settings::ip_family(word).ok());
    let served = || first("real_server").find_map(|word| word.text.parse().ok()).map(Family::of);
    said.or_else(served).unwrap_or_default()
}

fn read_real_servers(
    service: &mut VirtualServer,
    statement: &Statement,
    outer: &Outer<'_>,
    problems: &mut Vec<Diagnostic>,
) {
    let mut seen = BTreeMap::<(IpAddr, u16), Span>::new();
    for real_server in statement.body().iter().filter(|inner| inner.name() == "real_server") {
        let Some(server) = real_server::read(real_server, outer, problems) else { continue };
        if let Some(first) = seen.get(&(server.address, server.port)) {
            let message = format!(
                "the real server {} {} is there already in line {}; this one is ignored",
                server.address, server.port, first.line
            );
            let problem = Diagnostic::warning(server.span, message).beside(*first);
            problems.push(problem.hint("remove one of the two"));
            continue;
        }
        seen.insert((server.address, server.port), server.span);
        service.real_servers.push(server);
    }
}

fn scheduler(word: &Word) -> Result<Scheduler, Diagnostic> {
    Scheduler::ALL.into_iter().find(|scheduler| scheduler.keyword() == word.text).ok_or_else(|| {
        let known = Scheduler::ALL.map(Scheduler::keyword).join(", ");
        Diagnostic::error(word.span, format!("{} is not a scheduler", quoted(&word.text)))
            .hint(format!("write one of {known}"))
    })
}
