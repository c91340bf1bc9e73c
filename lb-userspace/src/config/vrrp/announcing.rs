//! Owns how often addresses are announced: what `global_defs` says, what an instance says, and which of them counts.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::diagnostics::Diagnostic;
use crate::config::model::vrrp::Announcing;
use crate::config::tree::Word;
use crate::config::values;

const DELAYS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);
const SPACINGS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);
/// More messages than this in one burst serve nobody.
const MOST: u32 = 1000;

/// The `garp_*` keywords that were given, in `global_defs` or in an instance.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Garps {
    repeat: Option<u32>,
    delay: Option<Duration>,
    refresh: Option<Duration>,
    refresh_repeat: Option<u32>,
    lower_prio_delay: Option<Duration>,
    lower_prio_repeat: Option<u32>,
    garp_interval: Option<Duration>,
    gna_interval: Option<Duration>,
    /// `vrrp_min_garp`: one message, once, where nothing else is said.
    minimal: bool,
}

impl Garps {
    /// Takes the keyword `name`, without the `vrrp_` that it has in `global_defs`, if it is one of these.
    pub(super) fn take(&mut self, name: &str, word: Option<&Word>) -> Result<(), Diagnostic> {
        if name == "min_garp" {
            self.minimal = values::switch(word)?;
        }
        let Some(word) = word else { return Ok(()) };
        match name {
            "garp_master_repeat" => self.repeat = Some(count(word, 1)?),
            "garp_master_delay" => self.delay = Some(values::seconds(word, DELAYS)?),
            "garp_master_refresh" => self.refresh = Some(values::seconds(word, DELAYS)?),
            "garp_master_refresh_repeat" => self.refresh_repeat = Some(count(word, 1)?),
            "garp_lower_prio_delay" => self.lower_prio_delay = Some(values::seconds(word, DELAYS)?),
            "garp_lower_prio_repeat" => self.lower_prio_repeat = Some(count(word, 0)?),
            "garp_interval" => self.garp_interval = Some(values::seconds(word, SPACINGS)?),
            "gna_interval" => self.gna_interval = Some(values::seconds(word, SPACINGS)?),
            _ => {}
        }
        Ok(())
    }

    /// Whether a burst after hearing a lower priority was asked for.
    pub(super) fn wants_lower_prio(&self) -> bool {
        self.lower_prio_repeat.is_some_and(|repeat| repeat > 0)
    }

    /// What counts in an instance that says `self`, where `global_defs` says `global`.
    pub(super) fn settle(&self, global: &Self) -> Announcing {
        let usual = Announcing::default();
        let (repeat, delay) = if global.minimal { (1, Duration::ZERO) } else { (usual.repeat, usual.delay) };
        let (all_repeat, all_delay) = (global.repeat.unwrap_or(repeat), global.delay.unwrap_or(delay));
        Announcing {
            repeat: self.repeat.unwrap_or(all_repeat),
            delay: self.delay.unwrap_or(all_delay),
            refresh: self.refresh.or(global.refresh).unwrap_or(usual.refresh),
            refresh_repeat: self.refresh_repeat.or(global.refresh_repeat).unwrap_or(usual.refresh_repeat),
            lower_prio_delay: self.lower_prio_delay.or(global.lower_prio_delay).unwrap_or(all_delay),
            lower_prio_repeat: self.lower_prio_repeat.or(global.lower_prio_repeat).unwrap_or(all_repeat),
            garp_interval: global.garp_interval.unwrap_or(usual.garp_interval),
            gna_interval: global.gna_interval.unwrap_or(usual.gna_interval),
        }
    }
}

fn count(word: &Word, least: u32) -> Result<u32, Diagnostic> {
    values::number(word, "a number of messages", least..=MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{instance, only, said, says, vrrp_instance};

    fn with_globals(globals: &str, inner: &str) -> Announcing {
        only(&format!("global_defs {{\n{globals}\n}}\n{}", instance(inner))).announcing
    }

    #[test]
    fn what_nobody_says_has_a_default() {
        assert_eq!(vrrp_instance("").announcing, Announcing::default());
        assert_eq!(with_globals("vrrp_garp_interval 0\n vrrp_gna_interval 0", ""), Announcing::default());
    }

    #[test]
    fn an_instance_is_heard_before_global_defs() {
        let globals = "vrrp_garp_master_repeat 2\n vrrp_garp_master_delay 3\n vrrp_garp_master_refresh 60\n \
                       vrrp_garp_master_refresh_repeat 4\n vrrp_garp_interval 0.001\n vrrp_gna_interval 0.000001";
        let read = with_globals(globals, "garp_master_delay 7\n garp_lower_prio_repeat 0");
        assert_eq!((read.repeat, read.refresh_repeat, read.lower_prio_repeat), (2, 4, 0));
        assert_eq!(
            (read.delay.as_secs(), read.refresh.as_secs(), read.lower_prio_delay.as_secs()),
            (7, 60, 3)
        );
        assert_eq!((read.garp_interval.as_micros(), read.gna_interval.as_micros()), (1000, 1));
    }

    #[test]
    fn the_minimum_is_one_message_once() {
        let read = with_globals("vrrp_min_garp", "");
        assert_eq!((read.repeat, read.lower_prio_repeat), (1, 1));
        assert!(read.delay.is_zero() && read.lower_prio_delay.is_zero());
        assert_eq!(with_globals("vrrp_min_garp off", ""), Announcing::default());
        assert_eq!(with_globals("vrrp_min_garp\n vrrp_garp_master_repeat 3", "").repeat, 3);
    }

    #[test]
    fn wrong_values_are_errors() {
        says(
            &instance("garp_master_repeat 0"),
            "t:4:21: error: `0` is out of range for a number of messages",
        );
        says(&instance("garp_master_delay x"), "t:4:20: error: `x` is not a time in seconds");
        assert_eq!(said(&instance("garp_master_refresh 0")), Vec::<String>::new());
    }
}
