//! Child processes: started, signalled by their own id, and never left behind.

use std::io::{Read as _, Seek as _};
use std::ops::ControlFlow;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

/// A running child, killed when the value goes out of scope.
#[derive(Debug)]
pub struct Running {
    what: String,
    child: Child,
}

impl Running {
    /// Starts `command`; `what` names it in messages.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(what: &str, command: &mut Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("{what}: cannot start {command:?}"))?;
        Ok(Self { what: what.to_owned(), child })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, once there is one.
    ///
    /// # Errors
    /// When the kernel refuses to say.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends `signal`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.raw_pid(), signal).with_context(|| format!("{}: {signal}", self.what))
    }

    /// Sends `signal` and waits for the end.
    ///
    /// # Errors
    /// When the process is still there after `bound`.
    pub fn stop(&mut self, signal: Signal, bound: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.exited()? {
            bail!("{} had already ended by itself: {status}", self.what);
        }
        self.signal(signal)?;
        self.ended(&format!("after {signal}"), bound)
    }

    /// Waits until the process has ended; `when` completes "to end ...".
    ///
    /// # Errors
    /// When it is still there after `bound`.
    pub fn ended(&mut self, when: &str, bound: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end {when}", self.what);
        wait::until(&what, bound, || {
            Ok(self
                .exited()?
                .map_or_else(|| ControlFlow::Continue("it still runs".into()), ControlFlow::Break))
        })
    }

    /// Waits until `probe` succeeds.
    ///
    /// # Errors
    /// When it fails until `bound`, or the process ends before.
    pub fn ready<T>(&mut self, bound: Duration, probe: impl Fn() -> Result<T>) -> Result<()> {
        wait::until(&format!("{} to answer", self.what), bound, || {
            if let Some(status) = self.exited()? {
                bail!("{} ended with {status}", self.what);
            }
            Ok(match probe() {
                Ok(_) => ControlFlow::Break(()),
                Err(error) => ControlFlow::Continue(format!("{error:#}")),
            })
        })
    }

    /// Its children and theirs that run now.
    pub fn descendants(&self) -> Vec<Pid> {
        let mut found = vec![self.raw_pid()];
        let mut next = 0;
        while let Some(parent) = found.get(next) {
            let path = format!("/proc/{parent}/task/{parent}/children");
            let children = std::fs::read_to_string(path).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw));
            next += 1;
        }
        found.split_off(1)
    }

    fn raw_pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An unreaped child keeps its id, so neither call can reach a stranger.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gives the calling thread, and all that it starts from now on, the machine before others: for what measures time.
///
/// # Errors
/// When the kernel refuses.
pub fn come_first() -> Result<()> {
    const NICENESS: libc::c_int = -19;
    // SAFETY: no pointers are passed; 0 is the calling thread.
    let outcome = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
    Errno::result(outcome).map(drop).context("a higher priority")
}

/// Sends `signal` to a descendant of a child that still lives.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn signal(pid: Pid, signal: Signal) -> Result<()> {
    match kill(pid, signal) {
        // It has ended since it was listed.
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("process {pid}: {signal}")),
    }
}

/// Runs `command` to its end, which is to come within `bound`; `what` names it in messages.
///
/// # Errors
/// When it cannot be started, or still runs then.
pub fn finished(what: &str, command: &mut Command, bound: Duration) -> Result<Output> {
    let (mut out, mut err) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(err.try_clone()?);
    let status = Running::start(what, command)?.ended("by itself", bound)?;
    let mut output = Output { status, stdout: Vec::new(), stderr: Vec::new() };
    for (file, text) in [(&mut out, &mut output.stdout), (&mut err, &mut output.stderr)] {
        file.rewind()?;
        file.read_to_end(text)?;
    }
    Ok(output)
}

/// Runs `command` to its end and hands back what it printed.
///
/// # Errors
/// When it cannot be started or ends with another code than 0; the message carries its standard error.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| {
        format!("cannot run {}: is it installed? (cargo xtask setup)", command.get_program().display())
    })?;
    if !output.status.success() {
        bail!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
