//! Owns the step from a `virtual_server` block to a [`VirtualServer`], and says why one cannot be served.

mod groups;
mod quorum;
mod settings;
#[cfg(test)]
mod tests;
mod weights;

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::checker::{self, vip};
use super::diagnostics::{Diagnostic, Severity, quoted};
use super::keywords::BlockKind;
use super::marks;
use super::model::vrrp::{Family, TrackFile};
use super::model::{Forwarding, Group, Opening, Protocol, Scheduler, Selector, VirtualServer};
use super::real_server::{self, Outer};
use super::source::Span;
use super::timing::Timing;
use super::tree::{Statement, Word};
use super::values;
pub(super) use groups::Groups;
use settings::Settings;
pub(super) use weights::{Weights, number as weight};

/// The virtual server that `statement` describes; without one, it is of a form that is not served, or wrong, and
/// `problems` says so. The checks know the `track_file`s among `files`, and `timing` is what counts around it.
pub(super) fn read(
    statement: &Statement,
    groups: &Groups,
    files: &[TrackFile],
    timing: Timing,
    problems: &mut Vec<Diagnostic>,
) -> Option<VirtualServer> {
    let form = Form::read(statement, statement.arguments.first()?, groups, problems);
    let form = form.map_err(|problem| problems.push(problem)).ok()?;
    let mut settings = Settings::default();
    for setting in statement.body() {
        if let Err(problem) = settings.take(setting, form.family(), problems) {
            problems.push(problem);
        }
    }
    let timing = timing.inside(BlockKind::VirtualServer, statement.body(), problems);
    let protocol = settings.protocol.map_or(Protocol::Udp, |(protocol, _)| protocol);
    let selection = form.select(groups, protocol, problems).map_err(|problem| problems.push(problem));
    let (selector, group) = selection.ok()?;
    let others = group.iter().flat_map(|group| &group.others);
    let persistence = others.chain([&selector]).find_map(|selector| settings.persistence(selector));
    let mut service = VirtualServer {
        selector,
        group,
        scheduler: settings.scheduler.unwrap_or(Scheduler::Wlc),
        hash_port: settings.hash_port.is_some(),
        hash_fallback: settings.hash_fallback.is_some(),
        forwarding: settings.forwarding.map_or(Forwarding::Nat, |(forwarding, _)| forwarding),
        persistence,
        granularity: settings.granularity.filter(|_| persistence.is_some()),
        opening: Opening::default(),
        delay_loop: timing.delay_loop(),
        quorum: quorum::read(statement, problems),
        sorry: None,
        omega: settings.omega,
        ha_suspend: settings.ha_suspend.is_some(),
        real_servers: Vec::new(),
        by_hand: false,
        span: statement.header(),
    };
    let protocol = service.protocol();
    service.opening = Opening {
        expire_quiescent: settings.expire_quiescent.is_some() && persistence.is_some(),
        one_packet: settings.one_packet.is_some() && matches!(protocol, None | Some(Protocol::Udp)),
        sloppy: settings.sloppy.is_some() && protocol != Some(Protocol::Udp),
    };
    let virtualhost = checker::virtualhost(statement, problems);
    let selectors: Vec<_> = service.selectors().collect();
    let outer = Outer {
        selector,
        selectors: &selectors,
        forwarding: service.forwarding,
        inhibit_on_failure: settings.inhibit_on_failure,
        timing,
        weights: Weights::read(statement, problems),
        virtualhost: virtualhost.as_deref(),
        files,
        vip_check: vip::line(statement, &selectors, problems),
    };
    read_real_servers(&mut service, statement, &outer, problems);
    service.sorry = quorum::sorry(statement, &service, problems);
    if service.is_available() {
        outer.weights.scale(&mut service.quorum);
        quorum::settle(&mut service, statement, problems);
        say_who_is_left_out(&service, problems);
    }
    // What follows from an error is not worth saying beside it.
    let whole = statement.whole();
    if !problems.iter().any(|problem| problem.severity == Severity::Error && whole.contains(problem.span)) {
        settings.say_what_is_missing(&service, problems);
    }
    Some(service)
}

/// The address of a virtual or real server: packets to one that is written as IPv6 and means IPv4 never come.
pub(super) fn address(word: &Word, problems: &mut Vec<Diagnostic>) -> Result<IpAddr, Diagnostic> {
    let address = values::host(word, problems)?;
    let IpAddr::V6(six) = address else { return Ok(address) };
    let Some(four) = six.to_ipv4_mapped() else { return Ok(address) };
    let message = format!("{} is the IPv4 address {four}, written as one of IPv6", quoted(&word.text));
    Err(Diagnostic::error(word.span, message).hint(format!("write {four}")))
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
enum Form<'a> {
    /// An address, and a port or 0.
    Address(IpAddr, u16),
    /// A firewall mark.
    Mark(u32, Family),
    /// The name of a group, and the family of its real servers.
    Group(&'a Word, Family),
}

impl<'a> Form<'a> {
    fn read(
        statement: &'a Statement,
        first: &Word,
        groups: &Groups,
        problems: &mut Vec<Diagnostic>,
    ) -> Result<Self, Diagnostic> {
        let second = statement.arguments.get(1);
        let missing = |what: &str, hint| {
            Diagnostic::error(first.span, format!("`{}` has no {what}", first.text)).hint(hint)
        };
        match (first.text.as_str(), second) {
            ("fwmark", Some(word)) => {
                Ok(Self::Mark(marks::mark(word)?, servers_family(statement).unwrap_or_default()))
            }
            ("fwmark", None) => Err(missing("number", "write the firewall mark behind it")),
            ("group", Some(name)) => {
                let family = servers_family(statement).or_else(|| groups.family(&name.text));
                Ok(Self::Group(name, family.unwrap_or_default()))
            }
            ("group", None) => Err(missing("name", "write the name of a `virtual_server_group` behind it")),
            _ => {
                let port = second.map_or(Ok(0), |word| values::number(word, "a port", 0..=u16::MAX))?;
                Ok(Self::Address(address(first, problems)?, port))
            }
        }
    }

    const fn family(&self) -> Family {
        match *self {
            Self::Address(address, _) => Family::of(address),
            Self::Mark(_, family) | Self::Group(_, family) => family,
        }
    }

    fn select(
        &self,
        groups: &Groups,
        protocol: Protocol,
        problems: &mut Vec<Diagnostic>,
    ) -> Result<(Selector, Option<Group>), Diagnostic> {
        match *self {
            Self::Address(address, port) => Ok((Selector::Address { address, port, protocol }, None)),
            Self::Mark(mark, family) => Ok((Selector::Mark { mark, family }, None)),
            Self::Group(name, family) => {
                let mut others = groups.select(name, family, protocol, problems)?;
                let first = others.remove(0);
                Ok((first, Some(Group { name: name.text.clone(), others })))
            }
        }
    }
}

/// The family that `ip_family` says, or that of the first real server.
fn servers_family(statement: &Statement) -> Option<Family> {
    let first = |name| {
        let named = statement.body().iter().filter(move |inner| inner.name() == name);
        named.filter_map(|inner| inner.arguments.first())
    };
    let said = first("ip_family").next_back().and_then(|word| settings::ip_family(word).ok());
    let served = || first("real_server").find_map(|word| word.text.parse().ok()).map(Family::of);
    said.or_else(served)
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

/// Beside servers that are served.
fn say_who_is_left_out(service: &VirtualServer, problems: &mut Vec<Diagnostic>) {
    for server in service.real_servers.iter().filter(|server| !server.forwarding.is_available()) {
        let method = server.forwarding.keyword();
        let message = format!("the real server is left out: {method} is not yet in effect");
        problems.push(Diagnostic::ours(server.span, message).hint("use DR"));
    }
}

fn scheduler(word: &Word) -> Result<Scheduler, Diagnostic> {
    Scheduler::ALL.into_iter().find(|scheduler| scheduler.keyword() == word.text).ok_or_else(|| {
        let known = Scheduler::ALL.map(Scheduler::keyword).join(", ");
        Diagnostic::error(word.span, format!("{} is not a scheduler", quoted(&word.text)))
            .hint(format!("write one of {known}"))
    })
}
