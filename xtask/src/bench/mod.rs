//! `cargo xtask bench`: packets per second of the established path, beside bare XDP programs in the same run.
//!
//! A generator in the kernel sends UDP frames of many flows into a veth pair; the program under test sends them back;
//! a sink counts what arrives at the right MAC address. Rounds go in turns over the programs, so that a slow minute
//! of the machine is shared by all, and medians are compared.

mod rig;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};

use self::rig::{Rig, Subject};
use crate::setup::{self, Level};
use crate::{build, command, workspace};

/// Arguments of `cargo xtask bench`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Rounds; the median of them is shown
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Numbers of flows
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10_000, 900_000])]
    flows: Vec<u32>,
    /// Frames in each measurement
    #[arg(long, default_value_t = 2_000_000)]
    frames: u32,
    /// Also write the figures and what the machine is
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One measurement.
#[derive(Clone, Copy)]
struct Figure {
    /// Million packets per second that came back.
    rate: f64,
    /// Part of the frames that did not.
    loss: f64,
}

/// Sets up, builds, measures and prints the table.
pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    command::require_root("cargo xtask bench")?;
    build::all(&setup::ensure(Level::Lab)?)?;
    let object = workspace::object().with_file_name("bench-bpf");
    let mut rig = Rig::new(&object, &workspace::binary())?;
    let mut table = Vec::new();
    for &flows in &arguments.flows {
        let mut figures = vec![Vec::new(); Subject::ALL.len()];
        for round in 0..=arguments.rounds {
            for (subject, figures) in Subject::ALL.into_iter().zip(&mut figures) {
                // The first round makes every flow known and is not counted.
                let frames = if round == 0 { arguments.frames.max(2 * flows) } else { arguments.frames };
                let figure = rig.measure(subject, flows, frames)?;
                if round > 0 {
                    figures.push(figure);
                }
            }
        }
        print(flows, &figures);
        table.push((flows, figures));
    }
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&document(&table)?)? + "\n";
        std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

fn print(flows: u32, figures: &[Vec<Figure>]) {
    let floor = spread(&figures[0]).1;
    println!("\nestablished UDP, {flows} flows            [least  median  most] Mpps   to the floor   lost");
    for (subject, figures) in Subject::ALL.into_iter().zip(figures) {
        let (least, median, most) = spread(figures);
        let loss = figures.iter().map(|figure| figure.loss).fold(0.0, f64::max);
        println!(
            "{:<38} [{least:>6.3} {median:>6.3} {most:>6.3}]        {:>9.2}  {:>6.2} %",
            subject.title(),
            median / floor,
            loss * 100.0
        );
    }
}

/// Least, median and greatest rate.
fn spread(figures: &[Figure]) -> (f64, f64, f64) {
    let mut rates: Vec<f64> = figures.iter().map(|figure| figure.rate).collect();
    rates.sort_by(f64::total_cmp);
    let middle = rates.len() / 2;
    let median =
        if rates.len() % 2 == 1 { rates[middle] } else { f64::midpoint(rates[middle - 1], rates[middle]) };
    (rates[0], median, rates[rates.len() - 1])
}

fn document(table: &[(u32, Vec<Vec<Figure>>)]) -> Result<Value> {
    let read = |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned());
    let cpu = read("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    let rows = table.iter().map(|(flows, figures)| {
        let programs = Subject::ALL.into_iter().zip(figures).map(|(subject, figures)| {
            let rates: Vec<f64> = figures.iter().map(|figure| figure.rate).collect();
            (subject.title().to_owned(), json!({ "mpps": rates, "median_mpps": spread(figures).1 }))
        });
        json!({ "flows": flows, "programs": programs.collect::<serde_json::Map<_, _>>() })
    });
    Ok(json!({
        "kernel": read("/proc/sys/kernel/osrelease")?,
        "cpu": model.trim_start_matches([' ', '\t', ':']),
        "cpus": std::thread::available_parallelism()?.get(),
        "jit": read("/proc/sys/net/core/bpf_jit_enable")?,
        "driver": "veth",
        "established_udp": rows.collect::<Vec<_>>(),
    }))
}
