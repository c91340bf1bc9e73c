//! `xlvs doctor`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use tokio::time::timeout;

use super::{run::USUAL_FILE, runtime, write_out};
use crate::{
    config::Severity as Weight,
    doctor::{self, Finding, Severity, wanted::Wanted},
    io::{
        doctor::facts,
        socket,
        source::{self, Reading},
    },
};

/// A daemon that is well answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// What `xlvs doctor` takes.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// An interface to look at; may be repeated. By default those of the running director, or of the file's `vrrp_instance` blocks.
    #[arg(long = "iface", value_name = "IF")]
    interfaces: Vec<String>,
    /// The configuration whose services and real servers are looked at. By default they are those of the running director, and
    /// where none runs those of the usual file, if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    node: super::ConfigId,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state: super::StateDir,
    /// Directory on a BPF file system for the pinned maps.
    #[arg(long, value_name = "DIR", env = "XLVS_PIN_DIR", default_value = "/sys/fs/bpf/xlvs")]
    pin_dir: PathBuf,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    interfaces: &'a [String],
    findings: &'a [Finding],
    unseen: &'a [String],
}

/// The exit code is 1 where there is a fault; warnings alone are 0.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        let mut unseen = Vec::new();
        let mut wanted = wanted(arguments, &mut unseen).await?;
        if !arguments.interfaces.is_empty() {
            wanted.interfaces.clone_from(&arguments.interfaces);
        }
        if wanted.interfaces.is_empty() {
            let why = unseen.first().map_or_else(String::new, |why| format!(" ({why})"));
            bail!("no director answers{why} and no vrrp_instance names an interface: name one with --iface");
        }
        let mut facts = facts(&wanted, &arguments.pin_dir).await?;
        facts.unseen.splice(0..0, unseen);
        let findings = doctor::examine(&facts);
        if arguments.json {
            let Wanted { interfaces, .. } = &wanted;
            let document = Document { interfaces, findings: &findings, unseen: &facts.unseen };
            write_out(&(serde_json::to_string_pretty(&document)? + "\n"))?;
        } else {
            write_out(&doctor::to_text(&findings, &facts))?;
        }
        let is_ill = findings.iter().any(|finding| finding.severity == Severity::Fault);
        Ok(if is_ill { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    })
}

/// What the director is to do: by the file that was named, by the one that runs, by the usual file. What keeps it from being known
/// is noted in `unseen`.
async fn wanted(arguments: &Arguments, unseen: &mut Vec<String>) -> anyhow::Result<Wanted> {
    if let Some(file) = &arguments.config {
        return of_file(file, arguments, unseen);
    }
    let state_dir = &arguments.state.state_dir;
    if socket::path(state_dir).exists() {
        let place = state_dir.display();
        match timeout(PATIENCE, socket::ask_status(state_dir)).await {
            Ok(Ok(status)) => return Ok(Wanted::from(&status)),
            Ok(Err(error)) => unseen.push(format!("the director of {place}: {error:#}")),
            Err(_) => unseen.push(format!("the director of {place}: no answer within {PATIENCE:?}")),
        }
    }
    let usual = Path::new(USUAL_FILE);
    if usual.exists() { of_file(usual, arguments, unseen) } else { Ok(Wanted::default()) }
}

/// A file with errors does not keep named interfaces from being looked at.
fn of_file(file: &Path, arguments: &Arguments, unseen: &mut Vec<String>) -> anyhow::Result<Wanted> {
    match read(file, arguments) {
        Err(error) if !arguments.interfaces.is_empty() => {
            unseen.push(format!("services and real servers: {error:#}"));
            Ok(Wanted::default())
        }
        wanted => wanted,
    }
}

fn read(file: &Path, arguments: &Arguments) -> anyhow::Result<Wanted> {
    let parsed = source::read(file, &Reading { id: arguments.node.get(), all_files: false })?;
    let errors = parsed.count(Weight::Error);
    let config = parsed.config.as_ref().filter(|_| errors == 0);
    let hint = || format!("{0}: it cannot be run: see `xlvs check {0}`", file.display());
    Ok(Wanted::from(config.with_context(hint)?))
}
