//! What the failover bench says: gaps side by side, and the steps of the takeovers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use lb_tests::probe::PERIOD;
use serde_json::{Value, json};

use super::plan::{Event, Setting, Subject};
use super::rig::{Figure, Steps};
use crate::bench::document::{Better, Measurement};
use crate::bench::milliseconds;
use crate::bench::spread::Spread;

/// A probe that is late by more is worth a note.
const DISTURBED: Duration = Duration::from_millis(5);

/// Everything that was measured.
#[derive(Default)]
pub(super) struct Report {
    cases: BTreeMap<(Setting, Event), BTreeMap<Subject, Vec<Figure>>>,
}

impl Report {
    pub(super) fn add(&mut self, setting: Setting, event: Event, subject: Subject, figure: Figure) {
        self.cases.entry((setting, event)).or_default().entry(subject).or_default().push(figure);
    }

    /// In how many cases the median of xlvs is above that of keepalived by more than a period of the probe.
    pub(super) fn worse(&self) -> usize {
        self.cases
            .values()
            .filter(|figures| is_worse(gaps(figures, Subject::Xlvs), gaps(figures, Subject::Keepalived)))
            .count()
    }

    /// All of it for the file of figures; ratios are to keepalived.
    pub(super) fn measurements(&self) -> impl Iterator<Item = Measurement> {
        self.cases.iter().map(|((setting, event), figures)| {
            let title = format!("{}, {}", setting.title(), event.title());
            let measurement = Measurement::new("failover", title, "ms without an answer", Better::Less);
            figures.iter().fold(measurement, |measurement, (&subject, rounds)| {
                let spread = gaps(figures, subject);
                let ratio = figures
                    .contains_key(&Subject::Keepalived)
                    .then(|| spread.median / gaps(figures, Subject::Keepalived).median);
                let details = json!({ "rounds": rounds.iter().map(to_json).collect::<Vec<_>>() });
                measurement.row(subject.name(), spread, ratio, details)
            })
        })
    }

    fn write_gaps(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "\n{:<45}  {:^24}  {:^24}\n{:<45} {}{}  ratio",
            "longest time without an answer, ms",
            "xlvs",
            "keepalived",
            format!("(the probe asks every {} ms)", PERIOD.as_millis()),
            HEAD,
            HEAD,
        )?;
        for ((setting, event), figures) in &self.cases {
            let (ours, theirs) = (gaps(figures, Subject::Xlvs), gaps(figures, Subject::Keepalived));
            writeln!(
                out,
                "  {:<18} {:<24} {}{}  {:>5.2}  {}",
                setting.title(),
                event.title(),
                Columns(ours),
                Columns(theirs),
                ours.median / theirs.median,
                if is_worse(ours, theirs) { "worse" } else { "ok" },
            )?;
        }
        writeln!(
            out,
            "  ok: the median of xlvs is not above that of keepalived by more than one period of the probe"
        )
    }

    /// Says when the machine had no time for the probe, which makes gaps longer than they were.
    fn note_disturbance(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = || self.cases.values().flat_map(BTreeMap::values).flatten();
        let late = figures().filter(|figure| figure.late > DISTURBED).count();
        if late == 0 {
            return Ok(());
        }
        let most = figures().map(|figure| figure.late).max().unwrap_or_default();
        writeln!(
            out,
            "  note: in {late} of {} measurements the probe itself was late, by {:.0} ms at worst: the machine was busy \
             with other programs",
            figures().count(),
            milliseconds(most)
        )
    }

    fn write_steps(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "\nsteps of the heir, medians of ms since the master's last advert (or its first of priority 0)\n\
             {:<62} advert  announced  first answer",
            ""
        )?;
        for ((setting, event), figures) in &self.cases {
            for (subject, figures) in figures {
                let median = |step: fn(&Steps) -> Duration| {
                    Spread::of(figures.iter().map(|figure| milliseconds(step(&figure.steps)))).median
                };
                writeln!(
                    out,
                    "  {:<18} {:<24} {:<15} {:>7.1}  {:>9.1}  {:>12.1}",
                    setting.title(),
                    event.title(),
                    subject.name(),
                    median(|steps| steps.advert),
                    median(|steps| steps.announced),
                    median(|steps| steps.answered),
                )?;
            }
        }
        Ok(())
    }

    fn write_datagrams(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measured = |figures: &BTreeMap<Subject, Vec<Figure>>| figures.contains_key(&Subject::Datagrams);
        if !self.cases.values().any(measured) {
            return Ok(());
        }
        writeln!(out, "\n{:<45} {HEAD}", "datagrams through xlvs, the same in ms")?;
        for ((setting, event), figures) in &self.cases {
            let gaps = Columns(gaps(figures, Subject::Datagrams));
            writeln!(out, "  {:<18} {:<24} {gaps}", setting.title(), event.title())?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_gaps(out)?;
        self.write_datagrams(out)?;
        self.note_disturbance(out)?;
        self.write_steps(out)
    }
}

const HEAD: &str = " [ least  median    most]";

/// A spread under [`HEAD`].
struct Columns(Spread);

impl fmt::Display for Columns {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, " [{:>6.1} {:>7.1} {:>7.1}]", self.0.least, self.0.median, self.0.most)
    }
}

fn gaps(figures: &BTreeMap<Subject, Vec<Figure>>, subject: Subject) -> Spread {
    let figures = figures.get(&subject).into_iter().flatten();
    Spread::of(figures.map(|figure| milliseconds(figure.gap)))
}

fn is_worse(ours: Spread, theirs: Spread) -> bool {
    ours.median > theirs.median + milliseconds(PERIOD)
}

fn to_json(figure: &Figure) -> Value {
    json!({
        "gap_ms": milliseconds(figure.gap),
        "began_ms": figure.began * 1000.0,
        "late_ms": milliseconds(figure.late),
        "advert_ms": milliseconds(figure.steps.advert),
        "announced_ms": milliseconds(figure.steps.announced),
        "answered_ms": milliseconds(figure.steps.answered),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(gap: u64) -> Figure {
        let gap = Duration::from_micros(gap);
        Figure {
            gap,
            began: 0.0,
            late: Duration::ZERO,
            steps: Steps { advert: gap, announced: gap, answered: gap },
        }
    }

    #[test]
    fn worse_is_more_than_the_probe_can_tell() {
        let mut report = Report::default();
        report.add(Setting::Tenth, Event::Killed, Subject::Keepalived, figure(40_000));
        report.add(Setting::Tenth, Event::Killed, Subject::Xlvs, figure(41_900));
        assert_eq!(report.worse(), 0);
        report.add(Setting::Tenth, Event::Killed, Subject::Xlvs, figure(42_500));
        assert_eq!(report.worse(), 1);
    }
}
