//! Owns the step from a `virtual_server` block to a [`VirtualServer`], and says why one cannot be served.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::diagnostics::{Diagnostic, Severity, quoted};
use super::keywords::BlockKind;
use super::model::{Forwarding, Granularity, Protocol, Scheduler, VirtualServer};
use super::real_server::{self, Outer};
use super::source::Span;
use super::timing::Timing;
use super::tree::{Statement, Word};
use super::values;

const DEFAULT_PERSISTENCE: Duration = Duration::from_mins(6);
const PERSISTENCES: RangeInclusive<u64> = 1..=31 * 24 * 60 * 60;

/// The virtual server that `statement` describes; without one, it is of a form that is not served, or wrong, and
/// `problems` says so.
pub(super) fn read(statement: &Statement, problems: &mut Vec<Diagnostic>) -> Option<VirtualServer> {
    let place = place(statement, statement.arguments.first()?);
    let (address, port) = place.map_err(|problem| problems.push(problem)).ok()?;
    let mut settings = Settings::default();
    for setting in statement.body() {
        if let Err(problem) = settings.take(setting, address, problems) {
            problems.push(problem);
        }
    }
    let timing = Timing::default().inside(BlockKind::VirtualServer, statement.body(), problems);
    let header = statement.header();
    let mut service = VirtualServer {
        address,
        port,
        protocol: settings.protocol.unwrap_or(Protocol::Udp),
        scheduler: settings.scheduler.unwrap_or(Scheduler::Wlc),
        hash_port: settings.hash_port.is_some(),
        hash_fallback: settings.hash_fallback.is_some(),
        forwarding: settings.forwarding.map_or(Forwarding::Nat, |(forwarding, _)| forwarding),
        persistence: settings.persistence,
        granularity: settings.granularity,
        delay_loop: timing.delay_loop(),
        real_servers: Vec::new(),
        span: header,
    };
    let outer = Outer {
        address,
        port,
        forwarding: service.forwarding,
        inhibit_on_failure: settings.inhibit_on_failure,
        timing,
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

fn place(statement: &Statement, first: &Word) -> Result<(IpAddr, u16), Diagnostic> {
    if matches!(first.text.as_str(), "fwmark" | "group") {
        let message =
            format!("the virtual server is left out: its form `{}` is not yet in effect", first.text);
        return Err(Diagnostic::warning(statement.header(), message).hint("write an address and a port"));
    }
    let address = values::address(first)?;
    let port =
        statement.arguments.get(1).map_or(Ok(0), |word| values::number(word, "a port", 0..=u16::MAX))?;
    Ok((address, port))
}

fn read_real_servers(
    service: &mut VirtualServer,
    statement: &Statement,
    outer: &Outer,
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
            problems.push(Diagnostic::warning(server.span, message).hint("remove one of the two"));
            continue;
        }
        seen.insert((server.address, server.port), server.span);
        service.real_servers.push(server);
    }
}

/// What the block says about the service itself, with the place of what may stand in the way of serving it.
#[derive(Default)]
struct Settings {
    protocol: Option<Protocol>,
    scheduler: Option<Scheduler>,
    hash_port: Option<Span>,
    hash_fallback: Option<Span>,
    /// Of a flag that no scheduler reads.
    third_flag: Option<Span>,
    forwarding: Option<(Forwarding, Span)>,
    persistence: Option<Duration>,
    granularity: Option<Granularity>,
    inhibit_on_failure: bool,
}

impl Settings {
    fn take(
        &mut self,
        setting: &Statement,
        address: IpAddr,
        problems: &mut Vec<Diagnostic>,
    ) -> Result<(), Diagnostic> {
        let span = setting.header();
        match (setting.name(), setting.arguments.first()) {
            ("lb_algo" | "lvs_sched", Some(word)) => self.scheduler = Some(scheduler(word)?),
            ("sh-port" | "mh-port" | "flag-2", None) => self.hash_port = Some(span),
            ("sh-fallback" | "mh-fallback" | "flag-1", None) => self.hash_fallback = Some(span),
            ("flag-3", None) => self.third_flag = Some(span),
            ("lb_kind" | "lvs_method", Some(word)) => self.forwarding = Some((forwarding(word)?, span)),
            ("protocol", Some(word)) => self.protocol = Some(protocol(word)?),
            ("persistence_timeout", value) => {
                self.persistence = Some(value.map_or(Ok(DEFAULT_PERSISTENCE), persistence)?);
                let message = "`persistence_timeout` is not yet in effect: served without persistence";
                problems.push(
                    Diagnostic::warning(span, message)
                        .hint("each connection of a client is given a real server of its own"),
                );
            }
            ("persistence_granularity", Some(word)) => {
                self.granularity = Some(Granularity(values::prefix(word, values::width(address))?));
            }
            ("nat_mask", Some(word)) => {
                self.granularity = Some(Granularity(values::prefix(word, values::width(address))?));
                let message =
                    "`nat_mask` has meant nothing since Linux 2.2; it is read as `persistence_granularity`";
                problems.push(
                    Diagnostic::warning(span, message).hint(
                        "write `persistence_granularity`, or remove it to tell clients apart by address",
                    ),
                );
            }
            ("inhibit_on_failure", value) => self.inhibit_on_failure = values::switch(value)?,
            _ => {}
        }
        Ok(())
    }

    fn say_what_is_missing(&self, service: &VirtualServer, problems: &mut Vec<Diagnostic>) {
        let header = service.span;
        if self.protocol.is_none() {
            problems.push(
                Diagnostic::warning(header, "the virtual server has no `protocol`, which means UDP")
                    .hint("write `protocol TCP` or `protocol UDP`"),
            );
        }
        let is_hashing = matches!(service.scheduler, Scheduler::Sh | Scheduler::Mh);
        let hashing_flags = [self.hash_port, self.hash_fallback].map(|span| span.filter(|_| !is_hashing));
        for span in hashing_flags.into_iter().chain([self.third_flag]).flatten() {
            let scheduler = service.scheduler.keyword();
            problems.push(
                Diagnostic::warning(span, format!("this flag means nothing to the scheduler {scheduler}"))
                    .hint("remove it; sh and mh have `port` and `fallback`, and the others none"),
            );
        }
        let mut left_out = |span, why: String, hint| {
            let message = format!("the virtual server {service} is left out: {why}");
            problems.push(Diagnostic::warning(span, message).hint(hint));
        };
        if !service.forwarding.is_available() {
            let (span, unset) = self
                .forwarding
                .map_or((header, "it has no `lb_kind`, which means NAT; "), |(_, span)| (span, ""));
            let why = format!("{unset}{} is not yet in effect", service.forwarding.keyword());
            left_out(span, why, "use DR");
        } else if service.pool().next().is_none() {
            left_out(header, "it has no real server".to_owned(), "add a `real_server`");
        }
        if !service.protocol.is_available() {
            let why = format!("{} is not yet in effect", service.protocol);
            left_out(header, why, "use TCP or UDP");
        }
        if service.address.is_ipv6() {
            left_out(header, "IPv6 is not yet in effect".to_owned(), "use an IPv4 address");
        }
        if service.port == 0 {
            let why = "a service on every port is not yet in effect".to_owned();
            left_out(header, why, "write the port behind the address");
        }
    }
}

fn scheduler(word: &Word) -> Result<Scheduler, Diagnostic> {
    Scheduler::ALL.into_iter().find(|scheduler| scheduler.keyword() == word.text).ok_or_else(|| {
        let known = Scheduler::ALL.map(Scheduler::keyword).join(", ");
        Diagnostic::error(word.span, format!("{} is not a scheduler", quoted(&word.text)))
            .hint(format!("write one of {known}"))
    })
}

fn protocol(word: &Word) -> Result<Protocol, Diagnostic> {
    let known = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    known.into_iter().find(|protocol| protocol.to_string().eq_ignore_ascii_case(&word.text)).ok_or_else(
        || {
            Diagnostic::error(word.span, format!("{} is not a protocol", quoted(&word.text)))
                .hint("write TCP, UDP or SCTP")
        },
    )
}

fn persistence(word: &Word) -> Result<Duration, Diagnostic> {
    Ok(Duration::from_secs(values::number(word, "a time in seconds", PERSISTENCES)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{config, said, says};

    const SERVER: &str = "real_server 10.0.0.2 80 {\n }\n";

    fn service(settings: &str) -> String {
        format!("virtual_server 10.0.0.1 80 {{\n{settings}\n{SERVER}}}\n")
    }

    #[test]
    fn a_virtual_server_has_its_values() {
        let text = service("lb_algo wrr\nlb_kind DR\nprotocol udp\ndelay_loop 1.5");
        assert_eq!(said(&text), Vec::<String>::new());
        let config = config(&text);
        let service = config.served().next().unwrap();
        assert_eq!(service.to_string(), "10.0.0.1 80 UDP");
        assert_eq!((service.scheduler, service.forwarding), (Scheduler::Wrr, Forwarding::Dr));
        assert_eq!(service.delay_loop, Duration::from_millis(1500));
    }

    #[test]
    fn the_other_names_of_two_keywords_are_known() {
        let text = service("lvs_sched rr\nlvs_method DR\nprotocol TCP");
        assert_eq!(said(&text), Vec::<String>::new());
        assert_eq!(config(&text).served().count(), 1);
    }

    #[test]
    fn every_scheduler_is_served_and_sh_and_mh_have_flags() {
        for scheduler in Scheduler::ALL {
            let text = service(&format!("lb_algo {}\nlb_kind DR\nprotocol TCP", scheduler.keyword()));
            assert_eq!(said(&text), Vec::<String>::new());
            assert_eq!(config(&text).served().next().unwrap().scheduler, scheduler);
        }
        for (scheduler, flags, expected) in [
            ("sh", "sh-port", (true, false)),
            ("sh", "sh-port\nsh-fallback", (true, true)),
            ("mh", "mh-fallback", (false, true)),
            ("mh", "mh-port", (true, false)),
            ("sh", "flag-1", (false, true)),
            ("mh", "flag-2", (true, false)),
        ] {
            let text = service(&format!("lb_algo {scheduler}\nlb_kind DR\nprotocol TCP\n{flags}"));
            assert_eq!(said(&text), Vec::<String>::new());
            let service = &config(&text).virtual_servers[0];
            assert_eq!((service.hash_port, service.hash_fallback), expected, "{scheduler} {flags}");
        }
        let text = service("lb_algo rr\nlb_kind DR\nprotocol TCP\nsh-port");
        says(&text, "t:5:1: warning: this flag means nothing to the scheduler rr");
        let text = service("lb_algo mh\nlb_kind DR\nprotocol TCP\nflag-3");
        says(&text, "t:5:1: warning: this flag means nothing to the scheduler mh");
    }

    #[test]
    fn what_is_unset_is_said_with_what_it_means() {
        let text = service("");
        let said = said(&text);
        assert!(said[0].contains("no `protocol`, which means UDP"), "{said:#?}");
        assert!(said[1].contains("no `lb_kind`, which means NAT"), "{said:#?}");
        let config = config(&text);
        assert_eq!((config.virtual_servers.len(), config.served().count()), (1, 0));
    }

    #[test]
    fn what_is_not_available_leaves_the_service_out() {
        let ready = "lb_algo rr\nlb_kind DR\nprotocol TCP";
        for (settings, place, why) in [
            (ready.replace("DR", "TUN type gre"), "t:3:1", "TUN is not yet in effect"),
            (ready.replace("TCP", "SCTP"), "t:1:1", "SCTP is not yet in effect"),
        ] {
            let text = service(&settings);
            let start = format!("{place}: warning: the virtual server 10.0.0.1 80 ");
            says(&text, &start);
            assert!(said(&text)[0].contains(why), "{:?}", said(&text));
            assert_eq!(config(&text).served().count(), 0);
        }
        let text = service(ready).replace(SERVER, "");
        says(&text, "t:1:1: warning: the virtual server 10.0.0.1 80 TCP is left out: it has no real server");
        let text = service(ready).replace("1 80 {", "1 {");
        says(&text, "t:1:1: warning: the virtual server 10.0.0.1 0 TCP is left out: a service on every port");
    }

    #[test]
    fn persistence_is_read_and_said_to_be_without_effect() {
        let ready = "lb_algo rr\nlb_kind DR\nprotocol TCP\n";
        let text = service(&format!("{ready}persistence_timeout\npersistence_granularity 24"));
        says(&text, "t:5:1: warning: `persistence_timeout` is not yet in effect: served without");
        let service_read = &config(&text).virtual_servers[0];
        assert_eq!(service_read.persistence, Some(DEFAULT_PERSISTENCE));
        assert_eq!(service_read.granularity, Some(Granularity(24)));
        let text = service(&format!("{ready}nat_mask 255.255.0.0"));
        says(&text, "t:5:1: warning: `nat_mask` has meant nothing since Linux 2.2");
        assert_eq!(config(&text).virtual_servers[0].granularity, Some(Granularity(16)));
    }

    #[test]
    fn fwmarks_and_groups_are_recognised_and_left_out() {
        for form in ["fwmark 3", "group G"] {
            let text = format!("virtual_server {form} {{\nlb_algo rr\nlb_kind DR\n{SERVER}}}\n");
            says(&text, "t:1:1: warning: the virtual server is left out: its form");
            assert!(config(&text).virtual_servers.is_empty());
        }
    }

    #[test]
    fn a_real_server_counts_once() {
        let text = service(&format!("lb_algo rr\nlb_kind DR\nprotocol TCP\n{SERVER}"));
        says(&text, "t:8:1: warning: the real server 10.0.0.2 80 is there already in line 5");
        assert_eq!(config(&text).virtual_servers[0].real_servers.len(), 1);
    }

    #[test]
    fn wrong_values_are_errors() {
        let ready = "lb_algo rr\nlb_kind DR\nprotocol TCP";
        let with = |from: &str, to: &str| service(&ready.replace(from, to));
        says(&with("TCP", "foo"), "t:4:10: error: `foo` is not a protocol");
        says(&service(&format!("{ready}\ndelay_loop 0")), "t:5:12: error: `0` is out of range for a time");
    }
}
