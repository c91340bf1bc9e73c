//! Owns what decides who is master: version, initial state, priority, intervals and preemption.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::OWNER;
use super::globals::Globals;
use crate::config::diagnostics::{Diagnostic, quoted};
use crate::config::model::vrrp::{Family, InitialState, Version, VrrpInstance};
use crate::config::source::Span;
use crate::config::tree::{Statement, Word};
use crate::config::values;

const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(255);
const SECOND: Duration = Duration::from_secs(1);
const CENTISECOND: Duration = Duration::from_millis(10);
/// Twelve bits of hundredths of a second, RFC 5798 section 5.2.7.
const LONGEST_V3: Duration = Duration::from_millis(40_950);
const PREEMPT_DELAYS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(1000);

/// The keywords of this kind that an instance has.
#[derive(Debug, Default)]
pub(super) struct Election {
    version: Option<(Version, Span)>,
    state: Option<InitialState>,
    priority: Option<(u8, Span)>,
    interval: Option<(Duration, Span)>,
    no_preempt: Option<Span>,
    preempt_delay: Option<(Duration, Span)>,
    down_timer_adverts: Option<u8>,
}

impl Election {
    /// Takes `setting` if it is one of these.
    pub(super) fn take(&mut self, setting: &Statement) -> Result<(), Diagnostic> {
        match setting.name() {
            "nopreempt" => self.no_preempt = Some(setting.header()),
            "preempt" => self.no_preempt = None,
            _ => {}
        }
        let Some(word) = setting.arguments.first() else { return Ok(()) };
        match setting.name() {
            "version" => self.version = Some((version(word)?, word.span)),
            "state" => self.state = Some(state(word)?),
            "priority" => {
                self.priority = Some((values::number(word, "a priority", 1..=OWNER)?, word.span));
            }
            "advert_int" => self.interval = Some((values::seconds(word, INTERVALS)?, word.span)),
            "preempt_delay" => {
                self.preempt_delay = Some((values::seconds(word, PREEMPT_DELAYS)?, setting.header()));
            }
            "down_timer_adverts" => self.down_timer_adverts = Some(adverts(word)?),
            _ => {}
        }
        Ok(())
    }

    /// Fills `instance` in, whose family is known. Whether its adverts have an authentication header, `uses_header` says.
    pub(super) fn settle(
        &self,
        instance: &mut VrrpInstance,
        globals: &Globals,
        strict: bool,
        uses_header: bool,
        problems: &mut Vec<Diagnostic>,
    ) {
        instance.version = self.settle_version(instance.family, globals, problems);
        instance.state = self.settle_state(instance, uses_header, problems);
        instance.priority = self.settle_priority(instance, problems);
        if strict {
            self.settle_strict_state(instance, problems);
        }
        instance.advert_interval = self.settle_interval(instance.version, problems);
        instance.down_timer_adverts =
            self.down_timer_adverts.or(globals.down_timer_adverts).unwrap_or(instance.down_timer_adverts);
        self.settle_preempt(instance, strict, problems);
    }

    /// The sequence numbers of an authentication header are known only to who has heard the master.
    fn settle_state(
        &self,
        instance: &VrrpInstance,
        uses_header: bool,
        problems: &mut Vec<Diagnostic>,
    ) -> InitialState {
        let state = self.state.unwrap_or_default();
        if state == InitialState::Backup || !uses_header || instance.version == Version::V3 {
            return state;
        }
        let message = format!(
            "the vrrp_instance {} begins as backup, because of `auth_type AH`, and not as master",
            instance.name
        );
        problems.push(Diagnostic::warning(instance.span, message).hint("write `state BACKUP`"));
        InitialState::Backup
    }

    fn settle_preempt(&self, instance: &mut VrrpInstance, strict: bool, problems: &mut Vec<Diagnostic>) {
        instance.preempt = self.no_preempt.is_none();
        if instance.state == InitialState::Master {
            return self.cancel(instance, "beside `state MASTER`", problems);
        }
        if instance.priority == OWNER {
            return self.cancel(instance, "with priority 255", problems);
        }
        let Some((delay, span)) = self.preempt_delay.filter(|(delay, _)| !delay.is_zero()) else { return };
        let (why, hint) = match (instance.preempt, strict) {
            (true, false) => {
                instance.preempt_delay = delay;
                return;
            }
            (false, _) => ("beside `nopreempt`", "remove one of the two"),
            (true, true) => ("in strict mode", "remove it, or `vrrp_strict`"),
        };
        let message = format!("`preempt_delay` has no effect {why}");
        problems.push(Diagnostic::warning(span, message).hint(hint));
    }

    /// Strictly, the owner of the addresses is master from the start, and nobody else.
    fn settle_strict_state(&self, instance: &mut VrrpInstance, problems: &mut Vec<Diagnostic>) {
        let (right, name) = if instance.priority == OWNER {
            (InitialState::Master, "MASTER")
        } else {
            (InitialState::Backup, "BACKUP")
        };
        if self.state.is_some() && instance.state != right {
            let message = format!(
                "in strict mode the state of the vrrp_instance {} becomes {name}, as its priority says",
                instance.name
            );
            problems.push(Diagnostic::warning(instance.span, message).hint(format!("write `state {name}`")));
        }
        instance.state = right;
    }

    fn settle_version(&self, family: Family, globals: &Globals, problems: &mut Vec<Diagnostic>) -> Version {
        if family == Family::V4 {
            return self.version.map_or(globals.version, |(version, _)| version);
        }
        if let Some((Version::V2, span)) = self.version {
            problems.push(
                Diagnostic::ours(span, "version 2 knows no IPv6; version 3 is spoken")
                    .hint("write `version 3`"),
            );
        }
        Version::V3
    }

    fn settle_priority(&self, instance: &VrrpInstance, problems: &mut Vec<Diagnostic>) -> u8 {
        match self.priority {
            Some((OWNER, span)) => {
                problems.push(
                    Diagnostic::note(
                        span,
                        "priority 255 means that this router owns the addresses: it always takes over, and no tracker moves it",
                    )
                    .hint("write 254 or less if that is not meant"),
                );
                OWNER
            }
            Some((priority, _)) => priority,
            None if instance.state == InitialState::Master => {
                let message = format!(
                    "the vrrp_instance {} has `state MASTER` and no `priority`, which means 255, the owner of the addresses",
                    instance.name
                );
                problems.push(Diagnostic::ours(instance.span, message).hint("write its priority"));
                OWNER
            }
            None => instance.priority,
        }
    }

    fn settle_interval(&self, version: Version, problems: &mut Vec<Diagnostic>) -> Duration {
        let Some((interval, span)) = self.interval else { return SECOND };
        let (unit, hint) = match version {
            Version::V2 => {
                (SECOND, "version 2 knows whole seconds only; write `version 3` on all routers for less")
            }
            Version::V3 => (CENTISECOND, "version 3 knows hundredths of a second up to 40.95 s"),
        };
        let longest = if version == Version::V3 { LONGEST_V3 } else { *INTERVALS.end() };
        let rounded = round(interval, unit).clamp(unit, longest);
        if rounded != interval {
            let message = format!("`advert_int` becomes {} s", rounded.as_secs_f64());
            problems.push(Diagnostic::warning(span, message).hint(hint));
        }
        rounded
    }

    fn cancel(&self, instance: &mut VrrpInstance, beside: &str, problems: &mut Vec<Diagnostic>) {
        let delay = self.preempt_delay.filter(|(delay, _)| !delay.is_zero()).map(|(_, span)| span);
        for (name, span) in [("nopreempt", self.no_preempt), ("preempt_delay", delay)] {
            let Some(span) = span else { continue };
            let message = format!("{} has no effect {beside}", quoted(name));
            problems.push(
                Diagnostic::warning(span, message).hint("write `state BACKUP` and a priority up to 254"),
            );
        }
        instance.preempt = true;
    }
}

/// `2` or `3`.
pub(super) fn version(word: &Word) -> Result<Version, Diagnostic> {
    match word.text.as_str() {
        "2" => Ok(Version::V2),
        "3" => Ok(Version::V3),
        other => Err(Diagnostic::error(word.span, format!("{} is not a version of VRRP", quoted(other)))
            .hint("write 2 or 3")),
    }
}

/// How many intervals without an advert make a master down.
pub(super) fn adverts(word: &Word) -> Result<u8, Diagnostic> {
    values::number(word, "a number of adverts", 1..=100)
}

fn state(word: &Word) -> Result<InitialState, Diagnostic> {
    match word.text.as_str() {
        "MASTER" => Ok(InitialState::Master),
        "BACKUP" => Ok(InitialState::Backup),
        other => Err(Diagnostic::error(word.span, format!("{} is not a state to begin with", quoted(other)))
            .hint("write MASTER or BACKUP, in capitals")),
    }
}

/// To the nearest multiple of `unit`.
fn round(value: Duration, unit: Duration) -> Duration {
    let units = (value + unit / 2).as_micros() / unit.as_micros();
    unit * u32::try_from(units).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{instance, only, said, says, vrrp_instance};

    #[test]
    fn what_nobody_says_has_a_default() {
        let read = vrrp_instance("");
        assert_eq!((read.version, read.state, read.priority), (Version::V2, InitialState::Backup, 100));
        assert_eq!((read.advert_interval, read.down_timer_adverts), (SECOND, 3));
        assert!(read.preempt && read.preempt_delay.is_zero());
    }

    #[test]
    fn everything_can_be_said() {
        let text = instance(
            "state BACKUP\n priority 90\n version 3\n advert_int 0.25\n preempt_delay 4.12\n down_timer_adverts 5",
        );
        assert_eq!(said(&text), Vec::<String>::new());
        let read = only(&text);
        assert_eq!((read.version, read.priority, read.down_timer_adverts), (Version::V3, 90, 5));
        assert_eq!((read.advert_interval.as_millis(), read.preempt_delay.as_millis()), (250, 4120));
        assert!(read.preempt && !vrrp_instance("nopreempt").preempt);
        assert!(vrrp_instance("nopreempt\n preempt").preempt);
        let globals = "global_defs {\n vrrp_version 3\n vrrp_down_timer_adverts 4\n}\n";
        let read = only(&format!("{globals}{}", instance("")));
        assert_eq!((read.version, read.down_timer_adverts), (Version::V3, 4));
    }

    #[test]
    fn a_master_without_a_priority_is_the_owner() {
        let text = instance("state MASTER");
        says(
            &text,
            "t:1:1: warning: the vrrp_instance VI_1 has `state MASTER` and no `priority`, which means 255",
        );
        assert_eq!(only(&text).priority, 255);
        says(
            &instance("priority 255"),
            "t:4:11: note: priority 255 means that this router owns the addresses",
        );
    }

    #[test]
    fn a_master_preempts_at_once() {
        let text = instance("state MASTER\n priority 100\n nopreempt\n preempt_delay 5");
        let said = said(&text);
        assert_eq!(said.len(), 2, "{said:#?}");
        assert!(said[0].starts_with("t:6:2: warning: `nopreempt` has no effect beside `state MASTER`"));
        assert!(said[1].starts_with("t:7:2: warning: `preempt_delay` has no effect"), "{said:#?}");
        assert!(only(&text).preempt && only(&text).preempt_delay.is_zero());
    }

    #[test]
    fn who_does_not_preempt_has_no_delay() {
        let text = instance("nopreempt\n preempt_delay 5");
        says(&text, "t:5:2: warning: `preempt_delay` has no effect beside `nopreempt`");
        assert!(!only(&text).preempt && only(&text).preempt_delay.is_zero());
        let text = instance("priority 255\n nopreempt");
        assert!(said(&text).iter().any(|line| line.contains("`nopreempt` has no effect with priority 255")));
        assert!(only(&text).preempt);
    }

    #[test]
    fn an_interval_is_one_that_the_version_can_say() {
        for (version, given, becomes) in [
            (2, "0.5", 1000),
            (2, "0.2", 1000),
            (2, "1.4", 1000),
            (2, "2.5", 3000),
            (3, "0.015", 20),
            (3, "41", 40_950),
        ] {
            let text = instance(&format!("version {version}\n advert_int {given}"));
            says(&text, "t:5:13: warning: `advert_int` becomes ");
            assert_eq!(only(&text).advert_interval.as_millis(), becomes, "{given}");
        }
        for (version, given) in [(2, "255"), (2, "1"), (3, "0.01"), (3, "40.95")] {
            assert_eq!(
                said(&instance(&format!("version {version}\n advert_int {given}"))),
                Vec::<String>::new()
            );
        }
    }

    #[test]
    fn wrong_values_are_errors() {
        says(&instance("priority 256"), "t:4:11: error: `256` is out of range for a priority");
        says(&instance("priority 0"), "t:4:11: error: `0` is out of range for a priority");
        says(&instance("advert_int 0"), "t:4:13: error: `0` is out of range for a time");
        says(&instance("state master"), "t:4:8: error: `master` is not a state to begin with");
        says(&instance("version 4"), "t:4:10: error: `4` is not a version of VRRP");
        says(&instance("preempt_delay 1001"), "t:4:16: error: `1001` is out of range");
        says(&instance("down_timer_adverts 101"), "t:4:21: error: `101` is out of range");
    }
}
