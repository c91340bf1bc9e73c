//! The director: its namespace, and the `xlvs` daemon started, asked, stopped and killed in it.

mod asking;

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lb_common::{layout::Pool, opening::follows_ring};
use nix::sys::signal::Signal;

use crate::netns::{Bind, Netns};
use crate::process::{self, Running};
use crate::status::Status;
use crate::wait;

const READY_BOUND: Duration = Duration::from_secs(20);
const STOP_BOUND: Duration = Duration::from_secs(10);

/// The director's namespace and the daemon in it.
#[derive(Debug)]
pub struct Director {
    netns: Arc<Netns>,
    binary: PathBuf,
    interfaces: Vec<String>,
    dir: PathBuf,
    state_dir: PathBuf,
    pin_dir: PathBuf,
    options: Vec<String>,
    binds: Vec<Bind>,
    daemon: Option<Running>,
}

impl Director {
    /// A director without a daemon in `netns`, with its files in `dir`, which exists.
    ///
    /// Without `interfaces` the daemon takes those of its configuration.
    pub fn new(
        netns: impl Into<Arc<Netns>>,
        binary: PathBuf,
        interfaces: Vec<String>,
        dir: &Path,
        pin_dir: PathBuf,
    ) -> Self {
        let (netns, dir, state_dir) = (netns.into(), dir.to_owned(), dir.join("state"));
        let (options, binds) = (Vec::new(), Vec::new());
        Self { netns, binary, interfaces, dir, state_dir, pin_dir, options, binds, daemon: None }
    }

    /// Its interfaces.
    pub fn interfaces(&self) -> &[String] {
        &self.interfaces
    }

    /// The namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Where the daemon pins its maps.
    pub fn pin_dir(&self) -> &Path {
        &self.pin_dir
    }

    /// The daemon's process id, while it was not stopped.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Running::pid)
    }

    /// Options the daemon is started with from now on, beside those the lab needs.
    pub fn set_options(&mut self, options: &[&str]) {
        self.options = options.iter().map(|&option| option.to_owned()).collect();
    }

    /// What the daemon sees in the place of the machine's own files from now on.
    pub fn set_binds(&mut self, binds: Vec<Bind>) {
        self.binds = binds;
    }

    /// Starts the daemon on `config` and waits until it is ready and answers.
    ///
    /// # Errors
    /// When it ends, or is not ready in time.
    pub fn start(&mut self, config: &str) -> Result<Status> {
        ensure!(self.daemon.is_none(), "the director already runs a daemon");
        let mut command = self.command(&self.write_config(config)?, &self.interfaces)?;
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let already = self.log().len();
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.daemon = Some(Running::start("xlvs", &mut command)?);
        wait::until("xlvs to be ready", READY_BOUND, || {
            if let Some(status) = self.exited()? {
                bail!("xlvs ended with {status} before it was ready: {}", self.log()[already..].trim());
            }
            if !self.log()[already..].contains("ready") {
                return Ok(ControlFlow::Continue("it has not logged so".into()));
            }
            Ok(match self.status() {
                Ok(status) if Some(status.pid) == self.pid() => ControlFlow::Break(status),
                Ok(status) => ControlFlow::Continue(format!("process {} answers", status.pid)),
                Err(error) => ControlFlow::Continue(format!("{error:#}")),
            })
        })
    }

    /// Runs the daemon on a configuration it must refuse; returns what it printed once it has ended.
    ///
    /// # Errors
    /// When it still runs after the bound.
    pub fn refused(&self, config: &Path, interfaces: &[&str]) -> Result<Output> {
        let interfaces: Vec<String> = interfaces.iter().map(|&name| name.to_owned()).collect();
        self.finished(self.command(config, &interfaces)?)
    }

    /// Runs `command` to its end, with a bound.
    ///
    /// # Errors
    /// When it still runs after the bound.
    pub fn finished(&self, mut command: Command) -> Result<Output> {
        process::finished("xlvs", &mut command, STOP_BOUND)
    }

    /// The command line of the daemon for `config` on `interfaces`, inside the namespace.
    ///
    /// # Errors
    /// When the namespace is gone.
    pub fn command(&self, config: &Path, interfaces: &[String]) -> Result<Command> {
        let mut command = self.netns.command_with(&self.binary, &self.binds)?;
        command.arg("run").arg("-f").arg(config);
        for interface in interfaces {
            command.args(["--iface", interface]);
        }
        command
            .arg("--state-dir")
            .arg(&self.state_dir)
            .arg("--pin-dir")
            .arg(&self.pin_dir)
            .args(&self.options);
        Ok(command)
    }

    /// Writes the text to the director's configuration file and returns its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_config(&self, text: &str) -> Result<PathBuf> {
        let path = self.dir.join("keepalived.conf");
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// Asks the daemon.
    ///
    /// # Errors
    /// When it does not answer, or not in the promised form.
    pub fn status(&self) -> Result<Status> {
        let text = process::output(&mut self.ask(&["--json"]))?;
        serde_json::from_str(&text).with_context(|| format!("status is not as promised: {text}"))
    }

    /// Waits until `condition` holds for the daemon's status, and returns that status.
    ///
    /// # Errors
    /// When it does not hold in time; the message ends with the last status seen.
    pub fn wait_status(
        &self,
        what: &str,
        bound: Duration,
        condition: impl Fn(&Status) -> bool,
    ) -> Result<Status> {
        wait::until(what, bound, || {
            let status = self.status()?;
            Ok(if condition(&status) {
                ControlFlow::Break(status)
            } else {
                ControlFlow::Continue(format!("last status {:?}", status.services))
            })
        })
    }

    /// Stops the daemon by SIGTERM.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn term(&mut self) -> Result<ExitStatus> {
        self.take()?.stop(Signal::SIGTERM, STOP_BOUND)
    }

    /// Kills the daemon by SIGKILL.
    ///
    /// # Errors
    /// When it was not running.
    pub fn kill9(&mut self) -> Result<()> {
        self.take()?.stop(Signal::SIGKILL, STOP_BOUND).map(drop)
    }

    /// Sends the daemon a signal and lets it run.
    ///
    /// # Errors
    /// When it was not running.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.daemon.as_ref().context("the director runs no daemon")?.signal(signal)
    }

    /// Writes `config` to the daemon's file and runs `xlvs reload` to its end.
    ///
    /// # Errors
    /// When the file cannot be written, or the command does not end in time. What came of it is in the output.
    pub fn reload(&self, config: &str) -> Result<Output> {
        self.write_config(config)?;
        let mut command = Command::new(&self.binary);
        command.arg("reload").arg("--state-dir").arg(&self.state_dir);
        self.finished(command)
    }

    /// What is left of a daemon: attached programs, pinned files, the control socket. Empty after a clean exit.
    ///
    /// # Errors
    /// When the interfaces cannot be listed.
    pub fn traces(&self) -> Result<Vec<String>> {
        let mut traces: Vec<String> =
            self.netns.xdp_links()?.into_iter().map(|(name, _)| format!("XDP program on {name}")).collect();
        if self.pin_dir.exists() {
            traces.push(format!("{} with {:?}", self.pin_dir.display(), self.pins()));
        }
        let socket = self.socket();
        if socket.exists() {
            traces.push(socket.display().to_string());
        }
        Ok(traces)
    }

    /// Names in the pin directory, sorted.
    pub fn pins(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.pin_dir) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// `bpftool -j map dump` of a pinned map.
    ///
    /// # Errors
    /// When there is no such map.
    pub fn dump(&self, map: &str) -> Result<serde_json::Value> {
        let text = process::output(
            Command::new("bpftool").args(["-j", "map", "dump", "pinned"]).arg(self.pin_dir.join(map)),
        )?;
        serde_json::from_str(&text).with_context(|| format!("bpftool's dump of {map}"))
    }

    /// Services by hash that the program sends by their rings, and those that it does not or not yet.
    ///
    /// # Errors
    /// When there is no such map.
    pub fn settled(&self) -> Result<[usize; 2]> {
        let dump = self.dump("services")?;
        let rows = dump.as_array().with_context(|| format!("no rows in {dump}"))?;
        let slots = rows.iter().filter_map(|row| row.pointer("/formatted/value/slots")?.as_array());
        let mut settled = [0; 2];
        ensure!(slots.clone().count() == rows.len(), "rows without slots: {dump}");
        for slot in slots.flatten() {
            let number = |name: &str| {
                let field = slot.pointer(name).and_then(serde_json::Value::as_u64);
                field.with_context(|| format!("no {name} in {slot}"))
            };
            let (protocol, byte) = (number("/info/protocol")?, number("/info/scheduler")?);
            let epoch = number("/pool/epoch")? as u16;
            if protocol != 0 && follows_ring(byte as u8) {
                settled[usize::from(epoch & Pool::SETTLED == 0)] += 1;
            }
        }
        Ok(settled)
    }

    /// The number that the kernel gave to the program on an interface.
    ///
    /// # Errors
    /// When none is attached.
    pub fn program_id(&self) -> Result<u64> {
        let is_link =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("link_"));
        let mut pins = fs::read_dir(&self.pin_dir)?.filter_map(|entry| Some(entry.ok()?.path()));
        let pin = pins.find(is_link).with_context(|| format!("no link in {}", self.pin_dir.display()))?;
        let text = process::output(Command::new("bpftool").args(["-j", "link", "show", "pinned"]).arg(&pin))?;
        let link: serde_json::Value = serde_json::from_str(&text)?;
        link["prog_id"].as_u64().with_context(|| format!("bpftool says of {}: {text}", pin.display()))
    }

    /// `bpftool map update` of a row of a pinned array.
    ///
    /// # Errors
    /// When there is no such row, or rows are not of that size.
    pub fn write_row(&self, map: &str, row: u32, value: &[u8]) -> Result<()> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>();
        let mut command = Command::new("bpftool");
        command.args(["map", "update", "pinned"]).arg(self.pin_dir.join(map));
        command.args(["key", "hex"]).args(hex(&row.to_ne_bytes()));
        command.args(["value", "hex"]).args(hex(value));
        process::output(&mut command).map(drop)
    }

    /// `bpftool net` as seen in the director's namespace.
    ///
    /// # Errors
    /// When bpftool fails.
    pub fn bpftool_net(&self) -> Result<String> {
        self.netns.run("bpftool", &["net"])
    }

    /// What the daemon has logged since the lab was built.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Its whole lines from this byte on, which becomes that behind them. What is before it is not read.
    ///
    /// # Errors
    /// When there is no log.
    pub fn log_from(&self, offset: &mut u64) -> Result<String> {
        let mut log = File::open(self.log_path())?;
        log.seek(SeekFrom::Start(*offset))?;
        let mut text = Vec::new();
        log.read_to_end(&mut text)?;
        text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        *offset += text.len() as u64;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Where it logs.
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("xlvs.log")
    }

    fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.daemon.as_mut().map_or(Ok(None), Running::exited)
    }

    fn take(&mut self) -> Result<Running> {
        self.daemon.take().context("the director runs no daemon")
    }
}

impl Drop for Director {
    fn drop(&mut self) {
        self.daemon = None;
        // After a kill the pins are what keeps the program attached.
        if let Err(error) = fs::remove_dir_all(&self.pin_dir)
            && self.pin_dir.exists()
        {
            eprintln!("lab: {}: {error}", self.pin_dir.display());
        }
    }
}
