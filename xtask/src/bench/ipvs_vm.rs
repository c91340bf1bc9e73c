//! `cargo xtask bench ipvs-vm`: instructions for each packet in a guest whose kernel has IPVS.
//!
//! The bench runs in the guest as it does elsewhere, with fewer frames. The guest's clock goes on by a nanosecond with
//! each instruction, so that the nanoseconds that it tells for a packet are all instructions that were executed for it:
//! those of the generator, of the veth pair, of the program under test and of the sink.

use std::env;
use std::fmt;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::document::{Better, Document, Measurement};
use super::spread::Spread;
use crate::guest::{Guest, Machine};

/// The flow table of new connections alone has half a gigabyte.
const MEMORY: u32 = 4096;
/// What the shell of the guest runs, with the bench as the name of the script.
const MEASURE: &str = r#"
measure() {
    what=$1
    shift
    "$bench" bench "$what" --prepared --json "$OUT/$what.json" --schedulers rr --peer forward,nft,ipvs "$@"
}
bench=$0
measure flows --flows 1,256,50000 --rounds "$1" --frames "$2" &&
    measure cps --servers 3 --rounds "$1" --frames "$2"
"#;
/// What it leaves in its directory of results.
const FILES: [&str; 2] = ["flows.json", "cps.json"];

/// Arguments of `cargo xtask bench ipvs-vm`.
#[derive(Args)]
pub(super) struct Arguments {
    /// Rounds; the median of them is shown
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Frames in each measurement
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100_000..))]
    frames: u32,
    /// Seconds after which the guest is ended
    #[arg(long, value_name = "S", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
}

/// Boots, measures and prints one table.
pub(super) fn main(arguments: &Arguments, document: &mut Document) -> Result<()> {
    let work = tempfile::tempdir()?;
    let guest = Guest {
        machine: Machine { memory: MEMORY, cpus: 1, count_instructions: true, nics: Vec::new() },
        timeout: Duration::from_secs(arguments.timeout),
        out: Some(work.path().to_owned()),
    };
    let bench = env::current_exe().context("where this program is")?.into_os_string();
    let [rounds, frames] = [arguments.rounds, arguments.frames].map(|number| number.to_string().into());
    let status = guest.run(&["sh".into(), "-c".into(), MEASURE.into(), bench, rounds, frames])?;
    ensure!(status == 0, "the bench in the guest ended with {status}");
    let mut measurements = Vec::new();
    for file in FILES {
        let file = work.path().join(file);
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let (measured, guest) = Document::read(&text).with_context(|| file.display().to_string())?;
        let setup = |setup: &Value| json!({ "kernel": guest["kernel"], "measured": setup });
        measurements
            .extend(measured.measurements.iter().map(|one| instructions(one).with(setup(&one.setup))));
    }
    print!("{}", Table(&measurements));
    document.measurements.append(&mut measurements);
    Ok(())
}

/// What the guest measured, where a nanosecond is an instruction.
fn instructions(measured: &Measurement) -> Measurement {
    let of = |mpps: f64| 1000.0 / mpps;
    let all = Measurement::new("ipvs-vm", &*measured.title, "instructions", Better::Less);
    measured.rows.iter().fold(all, |all, row| {
        let Spread { least, median, most } = row.figures;
        let figures = Spread { least: of(most), median: of(median), most: of(least) };
        all.row(&*row.name, figures, row.ratio.map(|ratio| 1.0 / ratio), Value::Null)
    })
}

/// A column for each measurement; the first row is the floor.
struct Table<'a>(&'a [Measurement]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "\ninstructions for each packet, from the generator to the sink, and what of it is above the first row"
        )?;
        for (place, measurement) in self.0.iter().enumerate() {
            writeln!(out, "  [{}] {}", place + 1, measurement.title)?;
        }
        write!(out, "{:<34}", "")?;
        for place in 1..=self.0.len() {
            write!(out, "{:>17}", format!("[{place}]       "))?;
        }
        let mut names: Vec<&str> = Vec::new();
        for row in self.0.iter().flat_map(|measurement| &measurement.rows) {
            if !names.contains(&&*row.name) {
                names.push(&row.name);
            }
        }
        for name in names {
            write!(out, "\n  {name:<32}")?;
            for Measurement { rows, .. } in self.0 {
                let floor = rows.first().map_or(f64::NAN, |row| row.figures.median);
                let cell = match rows.iter().find(|row| row.name == name).map(|row| row.figures.median) {
                    Some(median) => format!("{median:.0} {:+7.0}", median - floor),
                    None => "-        ".to_owned(),
                };
                write!(out, "{cell:>17}")?;
            }
        }
        writeln!(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_becomes_instructions() {
        let mpps = |median: f64| Spread { least: median / 2.0, median, most: median * 2.0 };
        let measured = Measurement::new("flows", "established", "Mpps", Better::More)
            .row("swap", mpps(1.0), Some(1.0), Value::Null)
            .row("xlvs rr", mpps(0.5), Some(0.5), Value::Null);
        let measured = instructions(&measured);
        let xlvs = &measured.rows[1];
        assert_eq!(
            (xlvs.figures, xlvs.ratio),
            (Spread { least: 1000.0, median: 2000.0, most: 4000.0 }, Some(2.0))
        );
        let other = Measurement::new("ipvs-vm", "new", "instructions", Better::Less).row(
            "other",
            Spread::one(7.0),
            None,
            Value::Null,
        );
        let text = Table(&[measured, other]).to_string();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[5], ["swap", "1000", "+0", "-"]);
        assert_eq!(lines[6], ["xlvs", "rr", "2000", "+1000", "-"]);
        assert_eq!(lines[7], ["other", "-", "7", "+0"]);
    }
}
