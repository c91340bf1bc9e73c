//! `MISC_CHECK`.

use std::time::Duration;

use crate::config::diagnostics::Diagnostic;
use crate::config::model::check::MiscProbe;
use crate::config::model::vrrp::Command;
use crate::config::tree::Statement;
use crate::config::values;
use crate::config::vrrp::command;

/// The check that `statement` describes, which may run as long as `delay_loop` if nothing is said; only to be used when
/// `problems` has no error.
pub(super) fn read(statement: &Statement, delay_loop: Duration, problems: &mut Vec<Diagnostic>) -> MiscProbe {
    let (mut words, mut user, mut timeout, mut is_dynamic) = (Vec::new(), None, Duration::ZERO, false);
    for setting in statement.body() {
        let result = match (setting.name(), setting.arguments.first()) {
            ("misc_path", _) => {
                command::whole(&setting.arguments, setting.header()).map(|read| words = read.words)
            }
            ("misc_timeout", Some(word)) => {
                let seconds = values::number(word, "a time in seconds", 0..=u32::MAX);
                seconds.map(|read| timeout = Duration::from_secs(read.into()))
            }
            ("misc_dynamic", _) => {
                is_dynamic = true;
                Ok(())
            }
            ("user", _) => {
                user = command::user(&setting.arguments);
                Ok(())
            }
            _ => Ok(()),
        };
        problems.extend(result.err());
    }
    if !statement.body().iter().any(|setting| setting.name() == "misc_path") {
        let problem = Diagnostic::error(statement.header(), "`MISC_CHECK` has no `misc_path`");
        problems.push(problem.hint("write the command that is to be run"));
    }
    let timeout = if timeout.is_zero() { delay_loop } else { timeout };
    MiscProbe { command: Command { words, user }, timeout, is_dynamic }
}
