//! What measures times on a machine that others use too.

use anyhow::{Result, bail};

use crate::process;

/// Another program may take the machine for a moment, and then everything is late at once; it does not do so every time.
const MOST_RUNS: usize = 3;

/// Makes runs before all others on the machine until one finds nothing late or early, a few at most. A run gives what it found,
/// empty for nothing.
///
/// # Errors
/// When every run found something, with what they found; and at once when a run fails.
pub fn on_time(mut run: impl FnMut() -> Result<String>) -> Result<()> {
    process::come_first()?;
    let mut found = Vec::new();
    for number in 1..=MOST_RUNS {
        let problems = run()?;
        if problems.is_empty() {
            return Ok(());
        }
        found.push(format!("run {number}:\n{problems}"));
    }
    bail!("not on time in any run:\n{}", found.join("\n"))
}
