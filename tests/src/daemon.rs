//! A director's daemon, `xlvs` or keepalived, treated alike: killed, frozen, stopped cleanly, started again.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;

use crate::director::Director;
use crate::host;
use crate::netns::{Bind, Netns};
use crate::node::Node;
use crate::process::{self, Running};
use crate::status::{Instance, Status};
use crate::wait;

const BOUND: Duration = Duration::from_secs(10);

/// A daemon that speaks VRRP; it ends when the value goes out of scope.
#[derive(Debug)]
pub enum Daemon {
    /// The one under test.
    Xlvs(Xlvs),
    /// The one it has to get along with.
    Keepalived(Keepalived),
}

impl Daemon {
    /// Kills it so that it can do nothing more: no last advert, no address taken away.
    ///
    /// # Errors
    /// When it was not running.
    pub fn kill(&mut self) -> Result<()> {
        match self {
            Self::Xlvs(xlvs) => xlvs.director.kill9(),
            Self::Keepalived(keepalived) => keepalived.kill(),
        }
    }

    /// Stops it by SIGTERM and waits for its end.
    ///
    /// # Errors
    /// When it does not end, or not with success.
    pub fn stop_clean(&mut self) -> Result<()> {
        let status = match self {
            Self::Xlvs(xlvs) => xlvs.director.term()?,
            Self::Keepalived(keepalived) => keepalived.take()?.stop(Signal::SIGTERM, BOUND)?,
        };
        ensure!(status.success(), "a clean stop ended with {status}");
        Ok(())
    }

    /// Asks it by SIGTERM to stop, and does not wait.
    ///
    /// # Errors
    /// When it was not running.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::SIGTERM)
    }

    /// Stops it where it is, by SIGSTOP.
    ///
    /// # Errors
    /// When it was not running.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it run on after [`Self::freeze`].
    ///
    /// # Errors
    /// When it was not running.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Starts it again on the same configuration, after a stop or a kill.
    ///
    /// # Errors
    /// When it still runs, or does not come up.
    pub fn restart(&mut self) -> Result<()> {
        match self {
            Self::Xlvs(xlvs) => xlvs.director.start(&xlvs.config).map(drop),
            Self::Keepalived(keepalived) => keepalived.run(),
        }
    }

    /// Writes another configuration in place of its own and has it read by SIGHUP; does not wait for what comes of it.
    ///
    /// # Errors
    /// When it was not running.
    pub fn reload(&mut self, config: &str) -> Result<()> {
        match self {
            Self::Xlvs(xlvs) => {
                xlvs.director.write_config(config)?;
                config.clone_into(&mut xlvs.config);
                xlvs.director.signal(Signal::SIGHUP)
            }
            Self::Keepalived(keepalived) => {
                fs::write(keepalived.config(), config)?;
                // It tells its child.
                keepalived.running.as_ref().context("keepalived does not run")?.signal(Signal::SIGHUP)
            }
        }
    }

    /// What it has logged since it was first started.
    pub fn log(&self) -> String {
        match self {
            Self::Xlvs(xlvs) => xlvs.director.log(),
            Self::Keepalived(keepalived) => keepalived.log(),
        }
    }

    /// What `xlvs` says of itself.
    ///
    /// # Errors
    /// When it does not answer, or is not `xlvs`.
    pub fn status(&self) -> Result<Status> {
        match self {
            Self::Xlvs(xlvs) => xlvs.director.status(),
            Self::Keepalived(_) => bail!("keepalived tells no status"),
        }
    }

    /// What `xlvs` says of one of its virtual routers.
    ///
    /// # Errors
    /// When it does not say it.
    pub fn instance(&self, name: &str) -> Result<Instance> {
        let mut instances = self.status()?.instances.into_iter();
        instances.find(|instance| instance.name == name).with_context(|| format!("no vrrp_instance {name}"))
    }

    /// `xlvs` itself, if it is that.
    pub fn director(&self) -> Option<&Director> {
        match self {
            Self::Xlvs(xlvs) => Some(&xlvs.director),
            Self::Keepalived(_) => None,
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        match self {
            Self::Xlvs(xlvs) => xlvs.director.signal(signal),
            Self::Keepalived(keepalived) => keepalived.signal(signal),
        }
    }
}

/// `xlvs` on the interfaces of its configuration.
#[derive(Debug)]
pub struct Xlvs {
    director: Director,
    config: String,
}

impl Xlvs {
    pub(crate) fn start(node: &Node, pin_dir: &Path, config: &str, binds: Vec<Bind>) -> Result<Self> {
        let dir = node.dir().join("xlvs");
        fs::create_dir_all(&dir)?;
        let netns = Arc::clone(node.netns());
        let mut director = Director::new(netns, host::binary(), Vec::new(), &dir, pin_dir.to_owned());
        director.set_binds(binds);
        director.start(config)?;
        Ok(Self { director, config: config.to_owned() })
    }
}

/// keepalived without its health checker.
#[derive(Debug)]
pub struct Keepalived {
    netns: Arc<Netns>,
    dir: PathBuf,
    binds: Vec<Bind>,
    running: Option<Running>,
}

impl Keepalived {
    pub(crate) fn start(node: &Node, config: &str, binds: Vec<Bind>) -> Result<Self> {
        let dir = node.dir().join("keepalived");
        fs::create_dir_all(&dir)?;
        let mut keepalived = Self { netns: Arc::clone(node.netns()), dir, binds, running: None };
        fs::write(keepalived.config(), config)?;
        keepalived.run()?;
        Ok(keepalived)
    }

    fn run(&mut self) -> Result<()> {
        ensure!(self.running.is_none(), "keepalived still runs");
        let mut command = self.netns.command_with("keepalived", &self.binds)?;
        command.args(["-n", "-l", "-D", "-P", "-f"]).arg(self.config());
        for (option, file) in [("-p", "parent.pid"), ("-r", "vrrp.pid"), ("-c", "checkers.pid")] {
            // One that was killed has left its file.
            let _ = fs::remove_file(self.dir.join(file));
            command.arg(option).arg(self.dir.join(file));
        }
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let already = self.log().len();
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let (vrrp, log) = (self.dir.join("vrrp.pid"), self.log_path());
        let running = self.running.insert(Running::start("keepalived", &mut command)?);
        wait::until("keepalived to run", BOUND, || {
            if let Some(status) = running.exited()? {
                let log = fs::read_to_string(&log).unwrap_or_default();
                bail!("keepalived ended with {status}: {}", log[already..].trim());
            }
            let ready = vrrp.exists() && !running.descendants().is_empty();
            Ok(if ready { ControlFlow::Break(()) } else { ControlFlow::Continue("no VRRP process".into()) })
        })
    }

    fn kill(&mut self) -> Result<()> {
        let mut running = self.take()?;
        // A parent that sees its child end, and a child whose parent ends, would stop cleanly.
        running.signal(Signal::SIGSTOP)?;
        for child in running.descendants() {
            process::signal(child, Signal::SIGKILL)?;
        }
        running.stop(Signal::SIGKILL, BOUND).map(drop)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let running = self.running.as_ref().context("keepalived does not run")?;
        for child in running.descendants() {
            process::signal(child, signal)?;
        }
        running.signal(signal)
    }

    fn take(&mut self) -> Result<Running> {
        self.running.take().context("keepalived does not run")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn config(&self) -> PathBuf {
        self.dir.join("keepalived.conf")
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("keepalived.log")
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        if self.running.is_some()
            && let Err(error) = self.kill()
        {
            eprintln!("lab: {error:#}");
        }
    }
}
