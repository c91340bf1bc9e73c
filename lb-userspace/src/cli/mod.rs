//! xlvs's own commands.

mod adm;
mod check;
mod doctor;
mod drain;
mod events;
mod explain;
mod keepalived;
mod log;
mod pages;
mod reload;
mod run;
mod status;

use std::{env, io::Write as _, path::Path, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::{config::model::Protocol, io::socket};
use keepalived::Called;
pub use pages::manual;

/// LVS and keepalived on XDP: a layer-4 load balancer that forwards in the driver.
#[derive(Debug, Parser)]
#[command(name = "xlvs", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the director in the foreground; TERM and INT stop it and take the program off.
    Run(Box<run::Arguments>),
    /// Make a running director read its file again: 0 when that is in force, 6 when the file cannot be run.
    Reload(reload::Arguments),
    /// Test a configuration file.
    ///
    /// Exit codes: 0, it is fine; 4, something in it was corrected that keepalived corrects too; 5, scripts are to be run
    /// without `enable_script_security`, or it forbids one of them; 6, it cannot be run. What only xlvs says does not
    /// count.
    Check(check::Arguments),
    /// Show services, real servers and packet counts of a running director.
    Status(status::Arguments),
    /// Follow what happens in a running director: one JSON object on each line.
    ///
    /// Virtual routers that change their state, real servers that go down and come back with the reason, quorums, files that
    /// were loaded or refused, changes by hand. The first line says that it has begun; who reads too slowly is told by `lost`
    /// how many events are missing. It ends with the director.
    Events(events::Arguments),
    /// Print a script with which a shell completes the command line of xlvs.
    ///
    /// For bash: `xlvs completions bash > /etc/bash_completion.d/xlvs`.
    Completions(pages::Arguments),
    /// Tell what would become of a packet now, and why: service, lease, flow, scheduler, real server, verdict.
    ///
    /// Nothing is sent and nothing changed. The packet is short, whole, and sent to the MAC address of the interface.
    Explain(explain::Arguments),
    /// Give a real server no new connections, and with --wait wait until its flows are over; `undrain` gives its weight back.
    ///
    /// Exit codes: 0, done; 1, there is no such real server, or no answer; 3, the time of --wait is over and flows are left.
    Drain(drain::Arguments),
    /// Give a real server that was drained the weight back that it had.
    Undrain(drain::Undrain),
    /// Look at this machine and its neighbours, and tell what is wrong with the command that mends it. Changes nothing.
    ///
    /// Exit codes: 0, nothing is wrong, or there are warnings only; 1, there is a fault, or it cannot be looked at.
    Doctor(doctor::Arguments),
    /// Speak ipvsadm's command line: what lists and saves, `xlvs adm -ln`; -h tells the rest.
    Adm(adm::Arguments),
}

/// The directory of the control socket if nobody says so, and the variable that says so.
const STATE_DIR: &str = "/run/xlvs";
const STATE_DIR_VARIABLE: &str = "XLVS_STATE_DIR";

/// Where a daemon keeps its control socket.
#[derive(Debug, Args)]
struct StateDir {
    /// Directory of the control socket, one for each daemon.
    #[arg(long, value_name = "DIR", env = STATE_DIR_VARIABLE, default_value = STATE_DIR)]
    state_dir: PathBuf,
}

/// Which of the nodes that share a configuration this is.
#[derive(Debug, Args)]
struct ConfigId {
    /// Read the lines that begin with `@ID`, and not those with `@^ID`; by default the host's name up to its first dot.
    #[arg(short = 'i', long, value_name = "ID")]
    config_id: Option<String>,
}

impl ConfigId {
    fn get(&self) -> String {
        self.config_id.clone().unwrap_or_else(|| {
            let name = nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
            name.split('.').next().unwrap_or_default().to_owned()
        })
    }
}

/// A service's protocol by its name.
fn protocol(text: &str) -> Result<Protocol, String> {
    let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let found = all.into_iter().find(|protocol| protocol.name().eq_ignore_ascii_case(text));
    found.ok_or_else(|| "tcp, udp or sctp".to_owned())
}

/// What the daemon of `state_dir` answers to a question, if it does within `patience`; `hint` says what to do about silence.
fn asked<T>(
    state_dir: &Path,
    question: impl Future<Output = anyhow::Result<T>>,
    patience: Duration,
    hint: &str,
) -> anyhow::Result<T> {
    asked_on(&runtime()?, state_dir, question, patience, hint)
}

/// The same where the answer goes on.
fn asked_on<T>(
    runtime: &Runtime,
    state_dir: &Path,
    question: impl Future<Output = anyhow::Result<T>>,
    patience: Duration,
    hint: &str,
) -> anyhow::Result<T> {
    runtime.block_on(socket::patiently(state_dir, patience, question, hint))
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Writes to stdout; a reader that had enough, as in `xlvs status | head`, is no failure.
fn write_out(text: &str) -> anyhow::Result<()> {
    written(std::io::stdout().write_all(text.as_bytes())).map(drop)
}

/// Whether what was written has a reader still.
fn written(result: std::io::Result<()>) -> anyhow::Result<bool> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        result => Ok(result.map(|()| true)?),
    }
}

/// Runs the command line of the process, which is keepalived's or ipvsadm's where the binary is called so; problems are one line on
/// stderr.
pub fn main() -> ExitCode {
    let name = env::args_os().next().unwrap_or_default();
    let is_called = |by: &str| Path::new(&name).file_name().is_some_and(|name| name == by);
    let outcome = if is_called("keepalived") {
        run::run(keepalived::CommandLine::parse().arguments, Called::Keepalived)
    } else if is_called("ipvsadm") {
        adm::run_as_ipvsadm(&name.to_string_lossy())
    } else {
        match Cli::parse().command {
            Command::Run(arguments) => run::run(*arguments, Called::Xlvs),
            Command::Check(arguments) => check::run(&arguments),
            Command::Reload(arguments) => Ok(reload::run(&arguments)),
            Command::Adm(arguments) => adm::run(&arguments),
            Command::Events(arguments) => events::run(&arguments).map(|()| ExitCode::SUCCESS),
            Command::Completions(arguments) => pages::completions(&arguments).map(|()| ExitCode::SUCCESS),
            Command::Drain(arguments) => drain::run(&arguments),
            Command::Undrain(arguments) => drain::undrain(&arguments),
            Command::Doctor(arguments) => doctor::run(&arguments),
            Command::Explain(arguments) => explain::run(&arguments),
            Command::Status(arguments) => status::run(&arguments).map(|()| ExitCode::SUCCESS),
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("xlvs: {error:#}");
        ExitCode::FAILURE
    })
}
