//! Compares what the journal says of one server under one check with what was promised.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use super::journal::{Move, Probe};
use super::timing::{Takes, Timing, tolerance};

/// The time of one situation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// When it was begun to make it so.
    pub(super) began: SystemTime,
    /// When all was so.
    pub(super) done: SystemTime,
    /// When the next began.
    pub(super) ended: SystemTime,
}

/// What is compared.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    pub(super) probes: &'a [Probe],
    pub(super) moves: &'a [Move],
    pub(super) timing: &'a Timing,
    pub(super) takes: Takes,
    pub(super) window: Window,
}

impl Judge<'_> {
    /// The server leaves in time, after as many failed probes as are wanted, for this reason.
    pub(super) fn leaves(&self, reason: &str) -> Result<(), String> {
        let out = self.first_move("it did not leave")?;
        let said = out.out.as_deref().ok_or("it was in again before it left")?;
        if !said.contains(reason) {
            return Err(format!("it left because `{said}`, not because `{reason}`"));
        }
        let told: Vec<&Probe> =
            self.probes.iter().filter(|probe| self.began(probe.at) && probe.at <= out.at).collect();
        let passed = told.iter().take_while(|probe| probe.failure.is_none()).count();
        let failed = &told[passed..];
        let Some(first) = failed.first() else { return Err("it left without a failed probe".to_owned()) };
        if failed.iter().any(|probe| probe.failure.is_none())
            || failed.len() != self.timing.retry as usize + 1
        {
            return Err(format!("it left after these probes: {failed:#?}"));
        }
        let promise = self.timing.leaving(self.takes);
        near("from the first failed probe to being out", &promise.after_probe, since(first.at, out.at))?;
        let latest = *promise.after_change.end();
        at_most("from the fault to being out", latest, since(self.window.done, out.at))?;
        let before = self.probes.iter().rev().find(|probe| probe.at < first.at);
        let before = before.ok_or("there was no probe before the fault")?;
        let interval = since(before.at, first.at);
        let rest = self.timing.interval(self.takes).saturating_sub(self.takes.passing);
        at_least("from the last probe that passed", rest, interval)?;
        // A probe that was under way when the server broke may wait for what does not come.
        let is_cut = before.at + self.timing.delay_loop <= self.window.done + self.takes.passing;
        let failing = if is_cut { self.takes.failing.max(self.timing.timeout) } else { self.takes.failing };
        let longest = self.timing.delay_loop + self.takes.passing + failing;
        at_most("from the last probe that passed", longest, interval)
    }

    /// The server returns in time.
    pub(super) fn returns(&self) -> Result<(), String> {
        let back = self.first_move("it did not return")?;
        if let Some(reason) = &back.out {
            return Err(format!("it was said once more to be out: {reason}"));
        }
        let promise = self.timing.returning(self.takes);
        let failed = self.probes.iter().rev().find(|probe| probe.at < back.at && probe.failure.is_some());
        let failed = failed.ok_or("it returned though no probe had failed")?;
        near("from the last failed probe to being in", &promise.after_probe, since(failed.at, back.at))?;
        at_most(
            "from being mended to being in",
            *promise.after_change.end(),
            since(self.window.done, back.at),
        )
    }

    /// The server stays, and its probes pass one after another.
    pub(super) fn stays(&self) -> Result<(), String> {
        self.does_not_leave()?;
        let told = self.told();
        if let Some(failed) = told.iter().find(|probe| probe.failure.is_some()) {
            return Err(format!("a probe failed: {failed:?}"));
        }
        self.often(&told)?;
        let interval = self.timing.interval(self.takes);
        intervals(&told)
            .into_iter()
            .try_for_each(|took| near("from probe to probe", &(interval..=interval), took))
    }

    /// The server is out for this reason, or in, and its probes say so one after another, each with so much more time.
    pub(super) fn is_always(&self, reason: Option<&str>, margin: Duration) -> Result<(), String> {
        let is_so = |said: &Option<String>| match (said, reason) {
            (Some(said), Some(reason)) => said.contains(reason),
            (said, reason) => said.is_some() == reason.is_some(),
        };
        if self.moves.iter().any(|one| !is_so(&one.out)) || (reason.is_some() && self.moves.len() != 1) {
            return Err(format!("these were its moves: {:?}", self.moves));
        }
        let told = self.told();
        if let Some(other) = told.iter().find(|probe| !is_so(&probe.failure)) {
            return Err(format!("a probe did not say {reason:?}: {other:?}"));
        }
        self.often(&told)?;
        let interval = self.timing.failing(self.takes);
        let took = intervals(&told);
        took.iter().try_for_each(|took| at_least("from probe to probe", interval, *took))?;
        took.iter().try_for_each(|took| at_most("from probe to probe", interval + margin, *took))
    }

    /// The server stays, though probes fail: so many.
    pub(super) fn forgives(&self) -> Result<usize, String> {
        self.does_not_leave()?;
        let failed =
            |probe: &&Probe| self.began(probe.at) && probe.at <= self.window.ended && probe.failure.is_some();
        Ok(self.probes.iter().filter(failed).count())
    }

    /// The probes of the window.
    fn told(&self) -> Vec<&Probe> {
        let lasts = |at: SystemTime| (self.window.done..=self.window.ended).contains(&at);
        self.probes.iter().filter(|probe| lasts(probe.at)).collect()
    }

    fn often(&self, told: &[&Probe]) -> Result<(), String> {
        let lasted = since(self.window.done, self.window.ended);
        if told.len() < 2 { Err(format!("in {lasted:?} it was probed {} times", told.len())) } else { Ok(()) }
    }

    fn does_not_leave(&self) -> Result<(), String> {
        let happened = |one: &&Move| self.began(one.at) && one.at <= self.window.ended;
        self.moves.iter().find(happened).map_or(Ok(()), |one| Err(format!("it did not stay: {one:?}")))
    }

    fn first_move(&self, otherwise: &str) -> Result<&Move, String> {
        let first = self.moves.iter().find(|one| self.began(one.at));
        first.filter(|one| one.at <= self.window.ended).ok_or_else(|| otherwise.to_owned())
    }

    fn began(&self, at: SystemTime) -> bool {
        at >= self.window.began
    }
}

fn intervals(told: &[&Probe]) -> Vec<Duration> {
    told.windows(2).map(|pair| since(pair[0].at, pair[1].at)).collect()
}

fn since(earlier: SystemTime, later: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}

fn near(what: &str, promised: &RangeInclusive<Duration>, took: Duration) -> Result<(), String> {
    at_least(what, *promised.start(), took)?;
    at_most(what, *promised.end(), took)
}

fn at_most(what: &str, promised: Duration, took: Duration) -> Result<(), String> {
    if took <= promised + tolerance(promised) {
        return Ok(());
    }
    Err(format!("{what}: {took:?}, promised were {promised:?}"))
}

fn at_least(what: &str, promised: Duration, took: Duration) -> Result<(), String> {
    if took + tolerance(promised) >= promised {
        return Ok(());
    }
    Err(format!("{what}: only {took:?}, promised were {promised:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing::of(1000, 1, 500, 0);

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    fn probes(told: &[(u64, bool)]) -> Vec<Probe> {
        let failure = |failed: bool| failed.then(|| "refused".to_owned());
        told.iter().map(|&(millis, failed)| Probe { at: at(millis), failure: failure(failed) }).collect()
    }

    /// A server that was probed like this, broke at 1500 and was mended at 4000; it left and returned at these times.
    fn judge(told: &[(u64, bool)], moves: &[(u64, bool)]) -> [Result<(), String>; 2] {
        let probes = probes(told);
        let out = |out: bool| out.then(|| "connection refused".to_owned());
        let moves: Vec<_> =
            moves.iter().map(|&(millis, is_out)| Move { at: at(millis), out: out(is_out) }).collect();
        let judge = |began, ended| {
            let window = Window { began: at(began), done: at(began), ended: at(ended) };
            Judge { probes: &probes, moves: &moves, timing: &TIMING, takes: Takes::default(), window }
        };
        [judge(1500, 4000).leaves("refused"), judge(4000, 9000).returns()]
    }

    #[test]
    fn what_is_as_promised_passes_and_what_is_not_does_not() {
        let told = [(1000, false), (2000, true), (2500, true), (3500, true), (4500, false), (5500, false)];
        assert_eq!(judge(&told, &[(2501, true), (4501, false)]), [Ok(()), Ok(())]);
        let late = judge(&told, &[(2600, true), (4800, false)]);
        assert!(late.iter().all(Result::is_err), "{late:?}");
        let never = judge(&told, &[]);
        assert_eq!(never, [Err("it did not leave".to_owned()), Err("it did not return".to_owned())]);
        let early = [(1000, false), (2000, true), (3500, true), (4500, false)];
        assert!(judge(&early, &[(2001, true), (4501, false)])[0].is_err(), "one failure was to be forgiven");
        let slow = [(1000, false), (2400, true), (2900, true), (4500, false)];
        assert!(judge(&slow, &[(2900, true), (4501, false)])[0].is_err(), "the loop was too long");
    }

    #[test]
    fn a_server_that_stays_is_probed_all_the_time() {
        let stays = |told: &[(u64, bool)], moves: &[Move]| {
            let window = Window { began: at(900), done: at(1000), ended: at(5000) };
            let probes = probes(told);
            let judge = Judge { probes: &probes, moves, timing: &TIMING, takes: Takes::default(), window };
            (judge.stays(), judge.forgives())
        };
        let (stayed, failures) = stays(&[(950, true), (1500, false), (2520, false), (3500, false)], &[]);
        assert_eq!((stayed, failures), (Ok(()), Ok(1)));
        assert!(stays(&[(1500, false), (2700, false)], &[]).0.is_err(), "too late");
        assert!(stays(&[(1500, false)], &[]).0.is_err(), "probed once");
        assert!(stays(&[(1500, false), (2500, true)], &[]).0.is_err(), "failed");
        let out = Move { at: at(2000), out: Some(String::new()) };
        assert!(stays(&[(1500, false), (2500, false)], &[out]).1.is_err(), "left");
    }
}
