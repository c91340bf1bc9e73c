//! What the keywords of a `virtual_server` say about the service itself, and what is to be said about them together.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::scheduler;
use crate::config::diagnostics::{Diagnostic, Say, quoted};
use crate::config::model::vrrp::Family;
use crate::config::model::{Forwarding, Granularity, Protocol, Scheduler, Selector, VirtualServer};
use crate::config::source::Span;
use crate::config::tree::{Statement, Word};
use crate::config::values;

pub(super) const DEFAULT_PERSISTENCE: Duration = Duration::from_mins(6);
const PERSISTENCES: RangeInclusive<u64> = 0..=31 * 24 * 60 * 60;

/// What the block says, with the place of what may stand in the way of serving it or do nothing.
#[derive(Default)]
pub(super) struct Settings {
    pub(super) protocol: Option<(Protocol, Span)>,
    pub(super) scheduler: Option<Scheduler>,
    pub(super) hash_port: Option<Span>,
    pub(super) hash_fallback: Option<Span>,
    /// Of a flag that no scheduler reads.
    third_flag: Option<Span>,
    /// Of flags that go by a number, about which keepalived says nothing.
    numbered: [Option<Span>; 2],
    pub(super) forwarding: Option<(Forwarding, Span)>,
    persistence: Option<(Duration, Span)>,
    pub(super) granularity: Option<Granularity>,
    /// Of `persistence_granularity`, which means persistence; `nat_mask` does not.
    granularity_at: Option<Span>,
    pub(super) expire_quiescent: Option<Span>,
    pub(super) one_packet: Option<Span>,
    pub(super) sloppy: Option<Span>,
    pub(super) inhibit_on_failure: bool,
    pub(super) omega: bool,
    pub(super) ha_suspend: Option<Span>,
    /// `ip_family` that is not that of the address.
    other_family: Option<Span>,
}

impl Settings {
    pub(super) fn take(
        &mut self,
        setting: &Statement,
        family: Family,
        problems: &mut Vec<Diagnostic>,
    ) -> Result<(), Diagnostic> {
        let span = setting.header();
        match (setting.name(), setting.arguments.first()) {
            ("lb_algo" | "lvs_sched", Some(word)) => self.scheduler = Some(scheduler(word)?),
            ("sh-port" | "mh-port", _) => self.hash_port = Some(span),
            ("sh-fallback" | "mh-fallback", _) => self.hash_fallback = Some(span),
            ("flag-1", _) => (self.hash_fallback, self.numbered[0]) = (Some(span), Some(span)),
            ("flag-2", _) => (self.hash_port, self.numbered[1]) = (Some(span), Some(span)),
            ("flag-3", _) => self.third_flag = Some(span),
            ("ops", _) => self.one_packet = Some(span),
            ("lb_kind" | "lvs_method", Some(word)) => {
                self.forwarding = Some((super::forwarding(word)?, span));
            }
            ("protocol", Some(word)) => self.protocol = Some((values::protocol(word)?, span)),
            ("persistence_timeout", value) => {
                let timeout = value.map_or(Ok(DEFAULT_PERSISTENCE), persistence)?;
                if timeout.is_zero() {
                    problems.push(
                        Diagnostic::warning(span, "a `persistence_timeout` of 0 is none").hint("remove it"),
                    );
                }
                self.persistence = Some((timeout, span)).filter(|_| !timeout.is_zero());
            }
            ("persistence_granularity", Some(word)) => {
                self.granularity = Some(Granularity(values::prefix(word, family.width())?));
                self.granularity_at = Some(span);
            }
            ("nat_mask", Some(word)) => {
                let bits =
                    values::prefix(word, family.width()).ok().filter(|_| self.granularity_at.is_none());
                let what = if bits.is_some() { "is read as `persistence_granularity`" } else { "is ignored" };
                self.granularity = bits.map(Granularity).or(self.granularity);
                let message = format!("`nat_mask` has meant nothing since Linux 2.2; it {what}");
                problems.push(
                    Diagnostic::warning(span, message).hint(
                        "write `persistence_granularity`, or remove it to tell clients apart by address",
                    ),
                );
            }
            ("expire_quiescent_template", value) => {
                self.expire_quiescent = values::switch(value)?.then_some(span);
            }
            ("sloppy_tcp", value) => self.sloppy = values::switch(value)?.then_some(span),
            ("inhibit_on_failure", value) => self.inhibit_on_failure = values::switch(value)?,
            ("omega", value) => self.omega = values::switch(value)?,
            ("ha_suspend", value) => self.ha_suspend = values::switch(value)?.then_some(span),
            ("ip_family", Some(word)) => {
                self.other_family = (ip_family(word)? != family).then_some(span);
            }
            _ => {}
        }
        Ok(())
    }

    /// How long a client stays with its real server. As under keepalived, who tells clients apart by prefix means
    /// persistence, and a service on every port has it.
    pub(super) fn persistence(&self, selector: &Selector) -> Option<Duration> {
        let every_port = matches!(selector, Selector::Address { port: 0, .. });
        let implied = self.granularity_at.is_some() || every_port;
        self.persistence.map(|(timeout, _)| timeout).or(implied.then_some(DEFAULT_PERSISTENCE))
    }

    pub(super) fn say_what_is_missing(&self, service: &VirtualServer, problems: &mut Vec<Diagnostic>) {
        let header = service.span;
        match (service.protocol(), self.protocol) {
            (Some(_), None) => problems.push(
                Diagnostic::warning(header, "the virtual server has no `protocol`, which means UDP")
                    .hint("write `protocol TCP` or `protocol UDP`"),
            ),
            (None, Some((_, span))) => {
                let note = Diagnostic::note(span, "`protocol` means nothing to a service by firewall mark")
                    .hint("remove it; the rules of the mark may have one");
                problems.push(Diagnostic { is_ours: false, ..note });
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        let is_hashing = matches!(service.scheduler, Scheduler::Sh | Scheduler::Mh);
        let hashing_flags = [self.hash_port, self.hash_fallback].map(|span| span.filter(|_| !is_hashing));
        let told = hashing_flags.map(|span| {
            let is_numbered = self.numbered.contains(&span);
            (if is_numbered { Diagnostic::ours as Say } else { Diagnostic::warning }, span)
        });
        let flags = told.into_iter().chain([(Diagnostic::ours as Say, self.third_flag)]);
        for (say, span) in flags.filter_map(|(say, span)| Some((say, span?))) {
            let scheduler = service.scheduler.keyword();
            problems.push(
                say(span, format!("this flag means nothing to the scheduler {scheduler}"))
                    .hint("remove it; sh and mh have `port` and `fallback`, and the others none"),
            );
        }
        if self.scheduler.is_none() {
            problems.push(
                Diagnostic::warning(header, "the virtual server has no `lb_algo`, which means wlc")
                    .hint("write `lb_algo` and the scheduler"),
            );
        }
        self.say_about_connections(service, problems);
        let mut left_out = |say: Say, span, why: String, hint| {
            let message = format!("the virtual server {service} is left out: {why}");
            problems.push(say(span, message).hint(hint));
        };
        if service.is_available() {
            return;
        }
        if !service.forwarding.is_available() && !service.real_servers.is_empty() {
            let unset = (Diagnostic::warning as Say, header, "it has no `lb_kind`, which means NAT; ");
            let (say, span, unset) =
                self.forwarding.map_or(unset, |(_, span)| (Diagnostic::ours as Say, span, ""));
            let why = format!("{unset}{} is not yet in effect", service.forwarding.keyword());
            left_out(say, span, why, "use DR");
        } else {
            left_out(Diagnostic::warning, header, "it has no real server".to_owned(), "add a `real_server`");
        }
    }

    /// What new connections depend on, as far as it does nothing or something that is not written.
    fn say_about_connections(&self, service: &VirtualServer, problems: &mut Vec<Diagnostic>) {
        let mut warn = |say: Say, span, message: &str, hint: &str| {
            problems.push(say(span, message.to_owned()).hint(hint));
        };
        let protocol = service.protocol();
        let seconds = "write `persistence_timeout` and the seconds";
        match (self.persistence, self.granularity_at) {
            (None, Some(span)) => warn(
                Diagnostic::ours,
                span,
                "`persistence_granularity` without `persistence_timeout` means a timeout of 360 seconds",
                seconds,
            ),
            (None, None) if service.persistence.is_some() => warn(
                Diagnostic::warning,
                service.span,
                "a service on every port needs `persistence_timeout`; without it 360 seconds are meant",
                seconds,
            ),
            (None | Some(_), None | Some(_)) => {}
        }
        let is_hashing = matches!(service.scheduler, Scheduler::Sh | Scheduler::Dh | Scheduler::Mh);
        if let (true, Some((_, span))) = (is_hashing, self.persistence) {
            let message = format!(
                "the scheduler {} chooses by a hash already; persistence only keeps clients where they are when the \
                 real servers change",
                service.scheduler.keyword()
            );
            warn(Diagnostic::ours, span, &message, "use another scheduler, or remove `persistence_timeout`");
        }
        if let (Some(span), Some(Protocol::Tcp | Protocol::Sctp)) = (self.one_packet, protocol) {
            warn(
                Diagnostic::warning,
                span,
                "`ops` has no effect: it is for UDP and firewall marks",
                "remove it",
            );
        }
        if let (Some(span), Some(Protocol::Udp)) = (self.sloppy, protocol) {
            warn(Diagnostic::ours, span, "`sloppy_tcp` has no effect on UDP", "remove it");
        }
        if let (Some(span), None) = (self.expire_quiescent, service.persistence) {
            let message = "`expire_quiescent_template` has no effect without `persistence_timeout`";
            warn(Diagnostic::ours, span, message, seconds);
        }
        if let Some(span) = self.other_family {
            let message =
                format!("`ip_family` has no effect: the virtual address is {}", service.selector.family());
            warn(Diagnostic::warning, span, &message, "remove it; it is for firewall marks");
        }
    }
}

/// `inet` or `inet6`.
pub(super) fn ip_family(word: &Word) -> Result<Family, Diagnostic> {
    match word.text.as_str() {
        "inet" => Ok(Family::V4),
        "inet6" => Ok(Family::V6),
        other => Err(Diagnostic::error(word.span, format!("{} is not an address family", quoted(other)))
            .hint("write inet or inet6")),
    }
}

fn persistence(word: &Word) -> Result<Duration, Diagnostic> {
    Ok(Duration::from_secs(values::number(word, "a time in seconds", PERSISTENCES)?))
}
