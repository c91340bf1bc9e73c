//! Records what keepalived decides of the scenarios in tests/fixtures/health, beside which the tests hold `xlvs`.
//!
//! Run it as root where the kernel has IPVS: `record_timelines FIXTURES OUTPUT`. It plays everything twice and again until
//! two runs in a row agree within a tenth of a second, and leaves the last of them in OUTPUT.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lb_tests::timeline::{Moment, Observed, Scenario, Subject, differences, run};

const TOLERANCE: Duration = Duration::from_millis(100);
const MOST_RUNS: usize = 6;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [fixtures, output] = arguments.as_slice() else { bail!("usage: record_timelines FIXTURES OUTPUT") };
    let (scenarios, output) = (Scenario::read_all(Path::new(fixtures))?, Path::new(output));
    fs::create_dir_all(output)?;
    let header = header()?;
    let mut before: Vec<Moment> = Vec::new();
    for number in 1..=MOST_RUNS {
        let Observed { moments, log } = run(&scenarios, Subject::Keepalived)?;
        fs::write(output.join("keepalived.log"), log)?;
        write(output, &scenarios, &header, &moments)?;
        let different = differences(&before, &moments, TOLERANCE);
        if different.is_empty() {
            return Ok(());
        }
        if number > 1 {
            eprintln!("run {number} is unlike the one before:\n{}", different.concat());
        }
        before = moments;
    }
    bail!("no two runs of {MOST_RUNS} were alike: is the machine busy?")
}

fn write(output: &Path, scenarios: &[Scenario], header: &str, moments: &[Moment]) -> Result<()> {
    for scenario in scenarios {
        let lines: String = moments
            .iter()
            .filter(|moment| scenario.has(moment.service))
            .map(|moment| moment.to_string() + "\n")
            .collect();
        let path = output.join(&scenario.name).with_extension("tsv");
        let name = &scenario.name;
        fs::write(&path, format!("# {name}.conf, with the faults it tells of, {header}{lines}"))
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// How it was recorded.
fn header() -> Result<String> {
    let said = Command::new("keepalived").arg("--version").output()?;
    let version = String::from_utf8_lossy(&said.stderr).lines().next().unwrap_or_default().to_owned();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!(
        "played to {version} under Linux {}\n# by tests/examples/record_timelines.rs; two runs agreed within 0.1 s.\n\
         # seconds since the first probe, virtual server, real server, decision\n",
        kernel.trim()
    ))
}
