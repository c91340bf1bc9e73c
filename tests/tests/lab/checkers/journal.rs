//! What the daemon's log says of its probes and of servers that leave and return, with its own moments.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use lb_tests::director::Director;

/// What the daemon must log for this.
pub(super) const LEVEL: [&str; 2] = ["--log", "info,xlvs::io::check=debug"];

const PROBE: &str = ": probe ended check=";
const DOWN: &str = ": real server is down server=";
const UP: &str = ": real server is up server=";
const FAILED: &str = "Failed { reason: \"";

/// A probe that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) at: SystemTime,
    /// Why it failed, if it did.
    pub(super) failure: Option<String>,
}

/// A server that has left or returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) at: SystemTime,
    /// Why it is out, if it is.
    pub(super) out: Option<String>,
}

/// All of it, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Journal {
    probes: BTreeMap<String, Vec<Probe>>,
    moves: BTreeMap<String, Vec<Move>>,
}

impl Journal {
    /// Takes a line of the log; those about other things too.
    pub(super) fn take(&mut self, line: &str) -> Option<()> {
        let (stamp, rest) = line.split_once(' ')?;
        if let Some((_, told)) = rest.split_once(PROBE) {
            let (subject, result) = told.split_once(" probe=")?.1.rsplit_once(" result=")?;
            let failure = result.strip_prefix(FAILED).and_then(|reason| reason.strip_suffix("\" }"));
            let probe = Probe { at: moment(stamp)?, failure: failure.map(str::to_owned) };
            self.probes.entry(subject.to_owned()).or_default().push(probe);
        } else if let Some((_, told)) = rest.split_once(DOWN) {
            let (whose, reason) = told.split_once(" reason=")?;
            self.note(whose, Move { at: moment(stamp)?, out: Some(reason.trim_matches('"').to_owned()) });
        } else if let Some((_, whose)) = rest.split_once(UP) {
            self.note(whose, Move { at: moment(stamp)?, out: None });
        }
        Some(())
    }

    fn note(&mut self, whose: &str, happened: Move) {
        self.moves.entry(whose.to_owned()).or_default().push(happened);
    }

    /// The probes of a check: `TCP_CHECK 10.0.0.1:80`.
    pub(super) fn probes(&self, subject: &str) -> &[Probe] {
        self.probes.get(subject).map_or(&[], Vec::as_slice)
    }

    /// What became of a server: `10.0.0.1 service=TCP 10.0.0.2:80`.
    pub(super) fn moves(&self, whose: &str) -> &[Move] {
        self.moves.get(whose).map_or(&[], Vec::as_slice)
    }

    /// Whether a server is in, as far as it was told since `since`.
    pub(super) fn is_in(&self, whose: &str, since: SystemTime) -> Option<bool> {
        let last = self.moves(whose).last().filter(|last| last.at >= since)?;
        Some(last.out.is_none())
    }
}

/// A director's log that grows, and what was read of it.
#[derive(Debug)]
pub(super) struct Tail<'a> {
    director: &'a Director,
    read: u64,
    pub(super) journal: Journal,
}

impl<'a> Tail<'a> {
    pub(super) fn new(director: &'a Director) -> Self {
        Self { director, read: 0, journal: Journal::default() }
    }

    /// Reads what is new.
    pub(super) fn read(&mut self) -> Result<()> {
        for line in self.director.log_from(&mut self.read)?.lines() {
            // What it cannot read is about something else.
            let _other = self.journal.take(line);
        }
        Ok(())
    }
}

/// `2026-01-31T23:59:59.123456Z`.
fn moment(stamp: &str) -> Option<SystemTime> {
    let (date, time) = stamp.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let (time, micros) = time.split_once('.')?;
    let [hours, minutes, seconds] = numbers(time, ':')?;
    // March is the first month, so that a leap day ends a year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    let whole = ((days * 24 + hours) * 60 + minutes) * 60 + seconds;
    let since = Duration::from_secs(whole) + Duration::from_micros(micros.parse().ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}

fn numbers(text: &str, between: char) -> Option<[u64; 3]> {
    let numbers: Vec<u64> = text.split(between).map(|part| part.parse().ok()).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_of_the_calendar() {
        let seconds = |stamp: &str| {
            let at = moment(stamp).and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
            at.map(|since| since.as_micros())
        };
        assert_eq!(seconds("1970-01-01T00:00:00.000001Z"), Some(1));
        assert_eq!(seconds("2024-02-29T12:00:00.500000Z"), Some(1_709_208_000_500_000));
        assert_eq!(seconds("2026-11-29T06:48:36.123456Z"), Some(1_795_934_916_123_456));
        assert_eq!(seconds("yesterday"), None);
    }

    #[test]
    fn lines_about_probes_and_servers_are_read() {
        let mut journal = Journal::default();
        for line in [
            "2026-11-29T06:48:36.000001Z DEBUG a::b: probe ended check=[1, 2] probe=MISC_CHECK /x a=b result=Passed",
            "2026-11-29T06:48:36.000002Z DEBUG a::b: probe ended check=[1] probe=MISC_CHECK /x a=b result=Failed { reason: \"no: 1\" }",
            "2026-11-29T06:48:36.000003Z  WARN a::b: real server is down server=10.0.0.1 service=TCP 10.0.0.2:80 reason=\"no: 1\"",
            "2026-11-29T06:48:36.000004Z  INFO a::b: real server is up server=10.0.0.1 service=TCP 10.0.0.2:80",
            "nothing of interest",
        ] {
            let _other = journal.take(line);
        }
        let failures: Vec<_> =
            journal.probes("MISC_CHECK /x a=b").iter().map(|probe| probe.failure.as_deref()).collect();
        assert_eq!(failures, [None, Some("no: 1")]);
        let whose = "10.0.0.1 service=TCP 10.0.0.2:80";
        let moves: Vec<_> = journal.moves(whose).iter().map(|one| one.out.as_deref()).collect();
        assert_eq!(moves, [Some("no: 1"), None]);
        let last = journal.moves(whose)[1].at;
        assert_eq!(journal.is_in(whose, last), Some(true));
        assert_eq!(journal.is_in(whose, last + Duration::from_micros(1)), None);
    }
}
