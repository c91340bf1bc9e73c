//! What a daemon's threads do on the processors.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lb_tests::director::Director;

/// A thread's time on a processor, and its time waiting for one.
#[derive(Clone, Copy, Default)]
pub(super) struct Turns {
    pub(super) worked: Duration,
    pub(super) waited: Duration,
}

/// What each of the daemon's threads did so far; those of one name together.
pub(super) fn turns(director: &Director) -> Result<BTreeMap<String, Turns>> {
    let pid = director.pid().context("no daemon")?;
    let mut threads = BTreeMap::<String, Turns>::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = thread?.path();
        let read = |file| fs::read_to_string(path.join(file));
        // Nanoseconds on a processor, nanoseconds waiting for one, and how often.
        let (Ok(name), Ok(schedstat)) = (read("comm"), read("schedstat")) else {
            // It has ended meanwhile.
            continue;
        };
        let name = name.trim().to_owned();
        let mut nanos =
            schedstat.split_whitespace().map_while(|word| word.parse().ok()).map(Duration::from_nanos);
        let (Some(worked), Some(waited)) = (nanos.next(), nanos.next()) else {
            bail!("{} is not as expected: {schedstat}", path.join("schedstat").display())
        };
        let turns = threads.entry(name).or_default();
        turns.worked += worked;
        turns.waited += waited;
    }
    Ok(threads)
}

/// What all of them worked together.
pub(super) fn worked(threads: &BTreeMap<String, Turns>) -> Duration {
    threads.values().map(|turns| turns.worked).sum()
}

/// What they did between two readings.
pub(super) fn between(
    before: &BTreeMap<String, Turns>,
    after: BTreeMap<String, Turns>,
) -> BTreeMap<String, Turns> {
    let threads = after.into_iter().map(|(name, Turns { worked, waited })| {
        let earlier = before.get(&name).copied().unwrap_or_default();
        let worked = worked.saturating_sub(earlier.worked);
        (name, Turns { worked, waited: waited.saturating_sub(earlier.waited) })
    });
    threads.collect()
}
