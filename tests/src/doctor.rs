//! What `xlvs doctor --json` says.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::process;

/// Nine seconds are the longest that it waits for answers; an emulated processor takes its time with the rest.
const BOUND: Duration = Duration::from_mins(1);

#[derive(Deserialize)]
struct Document {
    findings: Vec<Finding>,
    unseen: Vec<String>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, Deserialize)]
pub struct Finding {
    /// `fault` or `warning`.
    pub severity: String,
    /// The check that found it.
    pub check: String,
    /// What it is about.
    pub subject: String,
    /// A sentence.
    pub text: String,
    /// What mends it.
    pub mend: Option<Mend>,
}

/// A command for a shell.
#[derive(Debug, Clone, Deserialize)]
pub struct Mend {
    /// Where, if it is not the host that was looked at.
    pub on: Option<String>,
    /// The command.
    pub command: String,
}

/// Runs a doctor that saw everything it is to see; its exit code tells of faults.
///
/// # Errors
/// When it cannot be run, does not end, does not print what it found, saw less, or ends with another code.
pub fn findings(doctor: &mut Command) -> Result<Vec<Finding>> {
    let output = process::finished("xlvs doctor", doctor.arg("--json"), BOUND)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let Document { findings, unseen } =
        serde_json::from_str(&text).with_context(|| format!("no findings: {output:?}"))?;
    ensure!(unseen.is_empty(), "not everything was looked at: {unseen:?}");
    let is_ill = findings.iter().any(|finding| finding.severity == "fault");
    ensure!(output.status.code() == Some(is_ill.into()), "{:?}: {findings:?}", output.status);
    Ok(findings)
}
