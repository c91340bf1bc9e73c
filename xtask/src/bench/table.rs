//! A table of what programs did with the same traffic, for each number of flows or of real servers.

use std::fmt;

use lb_common::sched::Scheduler;
use lb_tests::config::Protocol;
use serde_json::{Value, json};

use super::document::{Better, Measurement};
use super::spread::Spread;
use super::subject::{Program, Subject};
use super::traffic::Figure;
use crate::workspace;

/// For what part of the time a generator's CPU may be taken before that is worth a note.
const QUIET: f64 = 0.03;

/// What a title says where each packet is scheduled by itself.
pub(super) const ALONE: &str = ", each packet alone";

/// What is measured.
#[derive(Clone, Copy)]
pub(super) enum Traffic {
    /// Packets of so many flows that there are, and what else the title says.
    Established(Protocol, u32, &'static str),
    /// Packets that open a flow each, to a pool of so many real servers, and what else the title says.
    New(usize, &'static str),
}

impl Traffic {
    /// What a line calls a program.
    fn name(self, subject: &Subject) -> String {
        match (self, &subject.program) {
            (Self::New(..), Program::Lru) => "one LRU_HASH insertion, XDP_TX".to_owned(),
            _ => subject.to_string(),
        }
    }

    fn title(self) -> String {
        match self {
            Self::Established(protocol, flows, what) => {
                let protocol = match protocol {
                    Protocol::Tcp => "TCP",
                    Protocol::Udp => "UDP",
                };
                format!("established {protocol}, {flows} flow{}{what}", if flows == 1 { "" } else { "s" })
            }
            Self::New(servers, what) => format!("new connections, {servers} servers{what}"),
        }
    }
}

/// The figures of every program, one for each round.
pub(super) struct Table {
    traffic: Traffic,
    /// From so many at once it came.
    cpus: usize,
    rows: Vec<(Subject, Vec<Figure>)>,
}

impl Table {
    pub(super) fn new(traffic: Traffic, cpus: usize, subjects: Vec<Subject>) -> Self {
        Self { traffic, cpus, rows: subjects.into_iter().map(|subject| (subject, Vec::new())).collect() }
    }

    fn title(&self) -> String {
        let title = self.traffic.title();
        if self.cpus > 1 { format!("{title}, from {} CPUs", self.cpus) } else { title }
    }

    /// Adds the next round's figure of the program in this row.
    pub(super) fn add(&mut self, row: usize, figure: Figure) {
        self.rows[row].1.push(figure);
    }

    /// Each figure's part of that of a bare program in the same round.
    fn ratio(&self, figures: &[Figure], to: &Program) -> Option<Spread> {
        let (_, others) = self.rows.iter().find(|(other, _)| other.program == *to)?;
        let ratios = figures.iter().zip(others).map(|(figure, other)| figure.mpps / other.mpps);
        Some(Spread::of(ratios))
    }

    /// The ratio of the figures of two rows.
    pub(super) fn between(&self, row: usize, to: usize) -> Spread {
        let rates = |row: usize| self.rows[row].1.iter().map(|figure| figure.mpps);
        Spread::of(rates(row).zip(rates(to)).map(|(one, other)| one / other))
    }

    fn row(&self, figures: &[Figure]) -> Row {
        let sent: u64 = figures.iter().map(|figure| figure.sent).sum();
        let share = |part: fn(&Figure) -> u64| figures.iter().map(part).sum::<u64>() as f64 / sent as f64;
        let ratio = |to: &Program| self.ratio(figures, to).map(|spread| spread.median);
        Row {
            mpps: Spread::of(figures.iter().map(|figure| figure.mpps)),
            to_floor: ratio(&Program::Swap),
            to_lru: ratio(&Program::Lru),
            lost: share(Figure::lost),
            opened: {
                let opened = figures.iter().map(|figure| figure.opened).sum::<Option<u64>>();
                opened.map(|opened| opened as f64 / sent as f64)
            },
        }
    }

    /// The ratio of the workspace's binary to each other one under the same scheduler.
    fn compare_binaries(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = workspace::binary();
        let binary = |row: usize| match &self.rows[row].0.program {
            Program::Xlvs { binary, .. } => Some(binary),
            _ => None,
        };
        for other in (0..self.rows.len()).filter(|&row| binary(row).is_some_and(|binary| *binary != own)) {
            let scheduler = self.rows[other].0.scheduler;
            let is_same = |&row: &usize| binary(row) == Some(&own) && self.rows[row].0.scheduler == scheduler;
            let Some(row) = (0..self.rows.len()).find(is_same) else { continue };
            let Spread { least, median, most } = self.between(row, other);
            let (subject, other) = (&self.rows[row].0, &self.rows[other].0);
            writeln!(out, "  {subject} has {median:.3} of the rate of {other} [{least:.3} to {most:.3}]")?;
        }
        Ok(())
    }

    /// Says when the generator had to share its CPU.
    fn note_disturbance(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = self.rows.iter().flat_map(|(_, figures)| figures);
        let Some(taken) = figures.map(|figure| figure.taken).collect::<Option<Vec<f64>>>() else {
            return writeln!(
                out,
                "  note: ksoftirqd is not to be seen here, so that nobody can tell for how long other programs had the \
                 generator's CPU: that time is counted"
            );
        };
        let Spread { median, most, .. } = Spread::of(taken.into_iter());
        if most < QUIET {
            return Ok(());
        }
        writeln!(
            out,
            "  note: other programs had the generator's CPU for {:.0} % of the time ({:.0} % at worst), which is not \
             counted; that they used its caches is",
            median * 100.0,
            most * 100.0
        )
    }

    /// All of it for the file of figures, with what it was measured with.
    pub(super) fn measurement(&self, bench: &str, setup: Value) -> Measurement {
        let title = self.title();
        let mut measurement = Measurement::new(bench, title, "Mpps", Better::More).with(setup);
        for (subject, figures) in &self.rows {
            let row = self.row(figures);
            let rounds = figures.iter().map(|figure| {
                json!({
                    "mpps": figure.mpps,
                    "sent": figure.sent,
                    "returned": figure.returned,
                    "opened": figure.opened,
                    "taken": figure.taken,
                })
            });
            let details = json!({
                "program": subject.program.name(),
                "scheduler": subject.scheduler.map(Scheduler::name),
                "ratio_to_lru": row.to_lru,
                "lost": row.lost,
                "opened": row.opened,
                "rounds": rounds.collect::<Vec<_>>(),
            });
            measurement = measurement.row(subject.to_string(), row.mpps, row.to_floor, details);
        }
        measurement
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "\n{:<44} Mpps [{:>6} {:>6} {:>6}]  ns/packet  to the floor  to LRU    lost",
            self.title(),
            "least",
            "median",
            "most"
        )?;
        writeln!(out, "{}", if matches!(self.traffic, Traffic::New(..)) { "" } else { "    new" })?;
        for (subject, figures) in &self.rows {
            let Row { mpps, to_floor, to_lru, lost, opened } = self.row(figures);
            write!(
                out,
                "  {:<42}      [{:>6.3} {:>6.3} {:>6.3}]  {:>9.1}  {:>12}  {:>6}  {:>4.2} %",
                self.traffic.name(subject),
                mpps.least,
                mpps.median,
                mpps.most,
                1000.0 / mpps.median,
                column(to_floor),
                column(to_lru),
                lost * 100.0,
            )?;
            match opened {
                Some(opened) => writeln!(out, "  {:>4.2} %", opened * 100.0)?,
                None => writeln!(out)?,
            }
        }
        self.compare_binaries(out)?;
        self.note_disturbance(out)
    }
}

/// One program's line.
struct Row {
    /// Million packets that came back in a second.
    mpps: Spread,
    /// The same, as part of the floor's in the same round.
    to_floor: Option<f64>,
    /// And of the bare lookup's.
    to_lru: Option<f64>,
    /// Part of the frames that did not come back.
    lost: f64,
    /// Part of the frames that were not on the established path, where any should be and the program says so.
    opened: Option<f64>,
}

/// A ratio in a column, which is empty where there is none.
fn column(ratio: Option<f64>) -> String {
    ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(returned: u64) -> Figure {
        let (mpps, sent) = (returned as f64 / 1e6, 10_000_000);
        Figure { mpps, sent, returned, opened: None, taken: Some(0.0), received: vec![returned] }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let subjects = Subject::of(&[Program::Swap, Program::Lru], &[]);
        let mut table = Table::new(Traffic::Established(Protocol::Udp, 1, ""), 1, subjects);
        for (floor, other) in [(10_000_000, 5_000_000), (2_000_000, 1_000_000), (8_000_000, 4_000_000)] {
            table.add(0, figure(floor));
            table.add(1, figure(other));
        }
        let figures = &table.rows[1].1;
        let ratio = table.ratio(figures, &Program::Swap).expect("a row");
        assert!((ratio.least, ratio.most) == (0.5, 0.5));
        assert!((table.row(figures).lost - 2.0 / 3.0).abs() < 1e-9);
    }
}
