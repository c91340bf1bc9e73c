//! Owns how checks are timed: what a virtual server, a real server and a checker say, and which of them counts.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::diagnostics::Diagnostic;
use super::keywords::{self, BlockKind};
use super::model::check::CheckTiming;
use super::tree::{Statement, Word};
use super::values;

const DEFAULT_DELAY_LOOP: Duration = Duration::from_mins(1);
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the file of a `FILE_CHECK` is looked at.
const FILE_INTERVAL: Duration = Duration::from_secs(1);

const CONNECT_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_micros(1)..=Duration::from_micros(u32::MAX as u64);
const INTERVALS: RangeInclusive<Duration> = Duration::from_micros(1)..=Duration::from_secs(u32::MAX as u64);
const DELAYS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(u32::MAX as u64);

/// What has been said so far about the timing of checks, from the outermost block inwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timing {
    connect_timeout: Option<Duration>,
    retry: Option<u32>,
    delay_before_retry: Option<Duration>,
    delay_loop: Option<Duration>,
    warmup: Option<Duration>,
    alpha: Option<bool>,
    log_all_failures: Option<bool>,
}

impl Timing {
    /// What counts outside of all virtual servers.
    pub(super) fn outermost(statements: &[Statement], problems: &mut Vec<Diagnostic>) -> Self {
        let globals = statements.iter().filter(|statement| statement.name() == "global_defs");
        globals.fold(Self::default(), |timing, globals| {
            timing.inside(BlockKind::GlobalDefs, globals.body(), problems)
        })
    }

    /// What counts inside a block of kind `kind` with these statements, which stands in one where `self` counts.
    #[must_use]
    pub(super) fn inside(
        mut self,
        kind: BlockKind,
        statements: &[Statement],
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        for statement in statements.iter().filter(|inner| keywords::lookup(kind, inner.name()).is_some()) {
            if let Err(problem) = self.take(statement) {
                problems.push(problem);
            }
        }
        self
    }

    pub(super) fn delay_loop(&self) -> Duration {
        self.delay_loop.unwrap_or(DEFAULT_DELAY_LOOP)
    }

    /// What counts where `self` says it, and otherwise what `around` says.
    #[must_use]
    pub(super) fn within(self, around: Self) -> Self {
        Self {
            connect_timeout: self.connect_timeout.or(around.connect_timeout),
            retry: self.retry.or(around.retry),
            delay_before_retry: self.delay_before_retry.or(around.delay_before_retry),
            delay_loop: self.delay_loop.or(around.delay_loop),
            warmup: self.warmup.or(around.warmup),
            alpha: self.alpha.or(around.alpha),
            log_all_failures: self.log_all_failures.or(around.log_all_failures),
        }
    }

    /// What counts for a checker of kind `kind`.
    pub(super) fn of(&self, kind: BlockKind) -> CheckTiming {
        // These take nothing of it. A file is looked at as often as it takes to be told at once.
        if matches!(kind, BlockKind::FileCheck | BlockKind::BfdCheck) {
            return CheckTiming {
                connect_timeout: DEFAULT_CONNECT_TIMEOUT,
                retry: 0,
                delay_before_retry: FILE_INTERVAL,
                delay_loop: FILE_INTERVAL,
                warmup: Duration::ZERO,
                alpha: false,
                log_all_failures: false,
            };
        }
        let delay_loop = self.delay_loop();
        let (retry, delay_before_retry) = match kind {
            BlockKind::HttpGet | BlockKind::SslGet => (1, Duration::from_secs(3)),
            BlockKind::DnsCheck => (3, delay_loop),
            BlockKind::MiscCheck => (0, Duration::from_secs(1)),
            _ => (1, Duration::from_secs(1)),
        };
        CheckTiming {
            // A program has a time limit of its own.
            connect_timeout: self
                .connect_timeout
                .filter(|_| kind != BlockKind::MiscCheck)
                .unwrap_or(DEFAULT_CONNECT_TIMEOUT),
            retry: self.retry.unwrap_or(retry),
            delay_before_retry: self.delay_before_retry.unwrap_or(delay_before_retry),
            delay_loop,
            warmup: self.warmup.unwrap_or(delay_loop),
            alpha: self.alpha.unwrap_or(false),
            log_all_failures: self.log_all_failures.unwrap_or(false),
        }
    }

    fn take(&mut self, statement: &Statement) -> Result<(), Diagnostic> {
        self.set(statement.name(), statement.arguments.first())
    }

    /// Takes one setting; one that is no matter of timing is passed over.
    pub(super) fn set(&mut self, name: &str, value: Option<&Word>) -> Result<(), Diagnostic> {
        let switch = || values::switch(value);
        match name {
            "alpha" => self.alpha = Some(switch()?),
            "log_all_failures" | "checker_log_all_failures" => self.log_all_failures = Some(switch()?),
            _ => {}
        }
        let Some(word) = value else { return Ok(()) };
        match name {
            "connect_timeout" => self.connect_timeout = Some(values::seconds(word, CONNECT_TIMEOUTS)?),
            "delay_before_retry" => self.delay_before_retry = Some(values::seconds(word, DELAYS)?),
            "delay_loop" => self.delay_loop = Some(values::seconds(word, INTERVALS)?),
            "warmup" => self.warmup = Some(values::seconds(word, DELAYS)?),
            "retry" | "nb_get_retry" => {
                self.retry = Some(values::number(word, "a number of retries", 0..=u32::MAX)?);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{service, timings};

    #[test]
    fn a_check_inherits_from_both_blocks_around_it() {
        let text = service(
            "retry 7\n connect_timeout 2\n delay_before_retry 0.5\n delay_loop 9\n \
             real_server 10.0.0.2 80 {\n connect_timeout 3\n TCP_CHECK {\n retry 0\n }\n }\n",
        );
        let check = timings(&text)[0];
        assert_eq!((check.retry, check.connect_timeout.as_secs(), check.delay_loop.as_secs()), (0, 3, 9));
        assert_eq!((check.delay_before_retry.as_millis(), check.warmup.as_secs()), (500, 9));
    }

    #[test]
    fn what_nobody_says_has_a_default() {
        let check = timings(&service("real_server 10.0.0.2 80 {\n TCP_CHECK {\n }\n }\n"))[0];
        assert_eq!((check.retry, check.connect_timeout.as_secs(), check.delay_loop.as_secs()), (1, 5, 60));
        assert_eq!((check.delay_before_retry.as_secs(), check.warmup.as_secs()), (1, 60));
    }

    #[test]
    fn a_warmup_of_nothing_is_not_the_default() {
        let check = timings(&service("real_server 10.0.0.2 80 {\n TCP_CHECK {\n warmup 0\n }\n }\n"))[0];
        assert!(check.warmup.is_zero());
    }

    #[test]
    fn failures_are_logged_where_the_check_or_else_the_globals_say_so() {
        let services = service(
            "real_server 10.0.0.2 80 {\n TCP_CHECK {\n }\n TCP_CHECK {\n log_all_failures no\n }\n }\n",
        );
        let logged =
            |text: &str| -> Vec<bool> { timings(text).iter().map(|check| check.log_all_failures).collect() };
        assert_eq!(logged(&services), [false, false]);
        assert_eq!(
            logged(&format!("{services}global_defs {{\n checker_log_all_failures\n}}\n")),
            [true, false]
        );
    }

    #[test]
    fn a_misplaced_keyword_is_not_read() {
        let check =
            timings(&service("nb_get_retry 9\n real_server 10.0.0.2 80 {\n TCP_CHECK {\n }\n }\n"))[0];
        assert_eq!(check.retry, 1);
    }
}
