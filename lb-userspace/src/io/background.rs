//! Owns the way into the background, and who waits until the director is ready: the process that was called, and the
//! service manager.

use std::fs::File;
use std::io::{self, PipeWriter, Read as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{self, ForkResult, Pid};
use sd_notify::NotifyState;
use tracing::warn;

/// What becomes of stderr once the director is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stderr {
    /// It goes on to whoever called.
    Kept,
    /// It goes nowhere.
    Closed,
}

/// Who is to be told that the director is ready.
#[derive(Debug, Default)]
pub struct Start {
    caller: Option<(PipeWriter, Stderr)>,
}

/// Which of the two processes this is.
#[derive(Debug)]
pub enum Process {
    /// The one that runs on in the background.
    Director(Start),
    /// The one that was called; the other one is ready, or has ended with this.
    Caller(ExitCode),
}

/// Makes a process that has no terminal and runs on when the one that was called has ended. Until it is ready, what it
/// says goes to the terminal. There must be no other thread.
///
/// # Errors
/// What the system refuses.
pub fn detach(stderr: Stderr) -> anyhow::Result<Process> {
    let (mut reader, writer) = io::pipe().context("making a pipe")?;
    // SAFETY: the process has one thread, so the child may do whatever the parent may.
    match unsafe { unistd::fork() }.context("making a process for the background")? {
        ForkResult::Parent { child } => {
            drop(writer);
            let is_ready = matches!(reader.read(&mut [0]), Ok(1));
            Ok(Process::Caller(if is_ready { ExitCode::SUCCESS } else { end_of(child) }))
        }
        ForkResult::Child => {
            unistd::setsid().context("leaving the terminal")?;
            unistd::chdir("/").context("leaving the directory")?;
            Ok(Process::Director(Start { caller: Some((writer, stderr)) }))
        }
    }
}

fn end_of(child: Pid) -> ExitCode {
    match waitpid(child, None) {
        Ok(WaitStatus::Exited(_, code)) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        ended => {
            eprintln!("the process in the background ended before it was ready: {ended:?}");
            ExitCode::FAILURE
        }
    }
}

impl Start {
    /// Tells them.
    pub fn tell(self) {
        if let Err(error) = sd_notify::notify(&[NotifyState::Ready]) {
            warn!("the service manager cannot be told that the director is ready: {error}");
        }
        let Some((mut pipe, stderr)) = self.caller else { return };
        if let Err(error) = leave_terminal(stderr) {
            warn!("the terminal cannot be left: {error}");
        }
        // Who called may have been killed.
        let _gone = pipe.write(&[1]);
    }
}

fn leave_terminal(stderr: Stderr) -> io::Result<()> {
    let nowhere = File::options().read(true).write(true).open("/dev/null")?;
    unistd::dup2_stdin(&nowhere)?;
    unistd::dup2_stdout(&nowhere)?;
    if stderr == Stderr::Closed {
        unistd::dup2_stderr(&nowhere)?;
    }
    Ok(())
}
