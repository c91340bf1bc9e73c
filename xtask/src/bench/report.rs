//! What the bench says: a table for each number of flows, and a file with every figure.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::rig::Subject;
use super::spread::Spread;
use super::traffic::Figure;

/// For what part of the time a generator may wait for its CPU before that is worth a note.
const QUIET: f64 = 0.03;

/// Everything that was measured.
#[derive(Default)]
pub(super) struct Report {
    /// One table for each number of flows.
    pub(super) tables: Vec<Table>,
}

impl Report {
    /// Writes every figure as JSON, with what the machine is.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let document = json!({
            "machine": machine()?,
            "driver": "veth",
            "frame_bytes": super::traffic::FRAME,
            "established_udp": self.tables.iter().map(Table::to_json).collect::<Vec<_>>(),
        });
        let text = serde_json::to_string_pretty(&document)? + "\n";
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))
    }
}

/// The figures of every program with one number of flows, one for each round.
pub(super) struct Table {
    flows: u32,
    figures: [Vec<Figure>; Subject::ALL.len()],
}

impl Table {
    pub(super) const fn new(flows: u32) -> Self {
        Self { flows, figures: [const { Vec::new() }; Subject::ALL.len()] }
    }

    /// Adds the next round's figure of a program.
    pub(super) fn add(&mut self, subject: Subject, figure: Figure) {
        self.figures[subject as usize].push(figure);
    }

    fn row(&self, subject: Subject) -> Row {
        let figures = &self.figures[subject as usize];
        let floor = &self.figures[Subject::FLOOR as usize];
        let sent: u64 = figures.iter().map(|figure| figure.sent).sum();
        let share = |part: fn(&Figure) -> u64| figures.iter().map(part).sum::<u64>() as f64 / sent as f64;
        Row {
            mpps: Spread::of(figures.iter().map(|figure| figure.mpps)),
            ratio: Spread::of(figures.iter().zip(floor).map(|(figure, floor)| figure.mpps / floor.mpps)),
            lost: share(Figure::lost),
            opened: share(|figure| figure.opened),
        }
    }

    /// Says when the generator had to share its CPU, which lowers every rate.
    fn note_disturbance(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { median, most, .. } =
            Spread::of(self.figures.iter().flatten().map(|figure| figure.waited));
        if median < QUIET {
            return Ok(());
        }
        writeln!(
            out,
            "  note: other programs used the generator's CPU for {:.0} % of the time ({:.0} % at worst): \
             rates are too low by as much",
            median * 100.0,
            most * 100.0
        )
    }

    fn to_json(&self) -> Value {
        let programs = Subject::ALL.map(|subject| {
            let row = self.row(subject);
            let rounds = self.figures[subject as usize].iter().map(|figure| {
                json!({
                    "mpps": figure.mpps,
                    "sent": figure.sent,
                    "returned": figure.returned,
                    "opened": figure.opened,
                    "waited": figure.waited,
                })
            });
            json!({
                "program": subject.name(),
                "median_mpps": row.mpps.median,
                "ratio_to_floor": row.ratio.median,
                "lost": row.lost,
                "opened": row.opened,
                "rounds": rounds.collect::<Vec<_>>(),
            })
        });
        json!({ "flows": self.flows, "programs": programs })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flows = if self.flows == 1 { "1 flow".to_owned() } else { format!("{} flows", self.flows) };
        writeln!(
            out,
            "\n{:<32} Mpps [{:>6} {:>6} {:>6}]  ns/packet  to the floor    lost    new",
            format!("established UDP, {flows}"),
            "least",
            "median",
            "most"
        )?;
        for subject in Subject::ALL {
            let Row { mpps, ratio, lost, opened } = self.row(subject);
            writeln!(
                out,
                "  {:<30}      [{:>6.3} {:>6.3} {:>6.3}]  {:>9.1}  {:>12.2}  {:>4.2} %  {:>4.2} %",
                subject.title(),
                mpps.least,
                mpps.median,
                mpps.most,
                1000.0 / mpps.median,
                ratio.median,
                lost * 100.0,
                opened * 100.0,
            )?;
        }
        self.note_disturbance(out)
    }
}

/// One program's line.
struct Row {
    /// Million packets that came back in a second.
    mpps: Spread,
    /// The same, as part of the floor's in the same round.
    ratio: Spread,
    /// Part of the frames that did not come back.
    lost: f64,
    /// Part of the frames that were not on the established path.
    opened: f64,
}

/// What the figures depend on besides the programs.
pub(super) fn machine() -> Result<Value> {
    let read = |path: &str| {
        fs::read_to_string(path).map(|text| text.trim().to_owned()).with_context(|| path.to_owned())
    };
    let cpu = read("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Ok(json!({
        "kernel": read("/proc/sys/kernel/osrelease")?,
        "cpu": model.map(|(_, name)| name),
        "cpus": std::thread::available_parallelism()?.get(),
        "jit": read("/proc/sys/net/core/bpf_jit_enable")? != "0",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(returned: u64) -> Figure {
        Figure { mpps: returned as f64 / 1e6, sent: 10_000_000, returned, opened: 0, waited: 0.0 }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let mut table = Table::new(1);
        for (floor, other) in [(10_000_000, 5_000_000), (2_000_000, 1_000_000), (8_000_000, 4_000_000)] {
            table.add(Subject::FLOOR, figure(floor));
            table.add(Subject::Lru, figure(other));
        }
        let row = table.row(Subject::Lru);
        assert!((row.ratio.least, row.ratio.most) == (0.5, 0.5));
        assert!((row.lost - 2.0 / 3.0).abs() < 1e-9);
    }
}
