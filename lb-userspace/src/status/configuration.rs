//! What is told of the configuration: which is in force, and what came of a reload.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The configuration in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Configuration {
    /// The file it was read from, which may have changed since.
    pub file: String,
    /// Since when, in seconds.
    pub seconds: u64,
    /// How often it replaced another.
    pub reloads: u64,
    /// How many reloads failed.
    #[serde(default)]
    pub failures: u64,
    /// What came of the last reload, if it failed.
    pub failure: Option<Failure>,
}

/// A reload that failed: nothing of it is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// When, in seconds from then to now.
    pub seconds: u64,
    /// Is it the file that is wrong?
    pub is_in_file: bool,
    /// Why, in one line.
    pub reason: String,
}

/// The answer to `xlvs reload`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// What changed, one line each; nothing where the file says what it said before.
    pub changes: Vec<String>,
    /// What of the file is not in force in spite of it.
    pub warnings: Vec<String>,
    /// Why another program had to take the place of the running one; nothing where its maps could be changed.
    pub replaced: Option<String>,
    /// Why nothing changed.
    pub failure: Option<Failure>,
    /// What is to be said about the file's text, with its lines.
    pub diagnostics: String,
}

impl Configuration {
    pub(super) fn to_text(&self) -> String {
        let Self { file, seconds, .. } = self;
        let mut text = format!("{file} is in force for {seconds} s\n");
        if let Some(Failure { seconds, reason, .. }) = &self.failure {
            let _infallible =
                writeln!(text, "  the reload {seconds} s ago failed and changed nothing: {reason}");
        }
        text
    }
}

impl Reload {
    /// What changed, for people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for change in &self.changes {
            let _infallible = writeln!(text, "{change}");
        }
        if self.failure.is_none() && self.changes.is_empty() {
            text.push_str("nothing changed\n");
        }
        if let Some(why) = &self.replaced {
            let _infallible = writeln!(text, "the XDP program was replaced: {why}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_below_what_is_in_force() {
        let failure = Failure { seconds: 3, is_in_file: true, reason: "k.conf:7: no".to_owned() };
        let configuration = Configuration {
            file: "k.conf".to_owned(),
            seconds: 60,
            reloads: 2,
            failures: 1,
            failure: Some(failure),
        };
        assert_eq!(
            configuration.to_text(),
            "k.conf is in force for 60 s\n  the reload 3 s ago failed and changed nothing: k.conf:7: no\n"
        );
    }

    #[test]
    fn an_answer_says_what_changed_and_how() {
        assert_eq!(Reload::default().to_text(), "nothing changed\n");
        let reload = Reload {
            changes: vec!["TCP 10.0.0.1:80: removed".to_owned()],
            replaced: Some("its maps are too small".to_owned()),
            ..Reload::default()
        };
        assert_eq!(
            reload.to_text(),
            "TCP 10.0.0.1:80: removed\nthe XDP program was replaced: its maps are too small\n"
        );
    }
}
