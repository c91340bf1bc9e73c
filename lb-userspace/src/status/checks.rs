//! What is told of the checks as a whole: how many there are, and how well they keep their time.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The checks of real servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checks {
    /// How many are made.
    pub count: usize,
    /// As how many: those of the same with the same timing are made once.
    pub distinct: usize,
    /// How long after their moment the probes began.
    pub lateness: Vec<Delay>,
    /// The sum of that, in microseconds.
    #[serde(default)]
    pub lateness_microseconds: u64,
    /// How long after a check's verdict the data plane was as it wants.
    pub effect: Vec<Delay>,
    /// The sum of that, in microseconds.
    #[serde(default)]
    pub effect_microseconds: u64,
}

/// A check of a real server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// Its keyword in the configuration: `TCP_CHECK`.
    pub kind: String,
    /// Why the server is out because of it; nothing while it passes, and before its first result without `alpha`.
    pub failure: Option<String>,
}

/// How often something took so long; the bounds ascend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delay {
    /// Milliseconds that it took at most, and more than the bound before; no bound for what is above all.
    pub within: Option<u32>,
    /// How often since the start.
    pub count: u64,
}

impl Checks {
    /// A paragraph for people, if there are checks.
    pub(super) fn to_text(&self) -> String {
        let Self { count, distinct, lateness, effect, .. } = self;
        if *count == 0 {
            return String::new();
        }
        let mut text = format!("\n{count} checks, made as {distinct}");
        for (what, delays) in [("begun", lateness), ("in effect", effect)] {
            if let Some(most) = percentile(delays, 99) {
                let _infallible = write!(text, "; 99 % {what} within {most}");
            }
        }
        text.push('\n');
        text
    }
}

/// The bound within which so many of a hundred were, if there were any.
fn percentile(delays: &[Delay], percent: u64) -> Option<String> {
    let total: u64 = delays.iter().map(|delay| delay.count).sum();
    let mut below = 0;
    let class = delays.iter().find(|delay| {
        below += delay.count;
        total > 0 && below * 100 >= total * percent
    })?;
    Some(class.within.map_or_else(|| "more than a second".to_owned(), |bound| format!("{bound} ms")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(counts: [u64; 3]) -> Vec<Delay> {
        [Some(1), Some(50), None]
            .into_iter()
            .zip(counts)
            .map(|(within, count)| Delay { within, count })
            .collect()
    }

    #[test]
    fn a_percentile_is_the_bound_of_its_class() {
        assert_eq!(percentile(&delays([99, 1, 0]), 99).as_deref(), Some("1 ms"));
        assert_eq!(percentile(&delays([98, 2, 0]), 99).as_deref(), Some("50 ms"));
        assert_eq!(percentile(&delays([0, 0, 1]), 99).as_deref(), Some("more than a second"));
        assert_eq!(percentile(&delays([0, 0, 0]), 99), None);
    }

    #[test]
    fn nothing_is_said_of_no_checks() {
        let some = Checks { count: 3, distinct: 2, lateness: delays([5, 0, 0]), ..Checks::default() };
        assert_eq!(some.to_text(), "\n3 checks, made as 2; 99 % begun within 1 ms\n");
        assert_eq!(Checks { count: 0, ..some }.to_text(), "");
    }
}
