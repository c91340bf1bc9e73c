//! Runs the programs that a configuration names: without a shell, as the user it says, in a process group of their own.
//! Refuses to decide when they run and what their end means.

use std::collections::BTreeMap;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::time::{sleep, timeout};
use tracing::error;

use super::descriptors;
use crate::config::model::vrrp::{Command, User, VrrpGlobals};

mod identity;
mod program;
mod security;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

pub use identity::Identity;
pub use program::Program;

/// From SIGTERM to SIGKILL.
pub const GRACE: Duration = Duration::from_secs(2);

/// How often it is looked whether a process group is gone: only its leader's end is an event.
const GROUP_POLL: Duration = Duration::from_millis(20);

/// Names that a service manager sets for its service alone.
const OF_THE_SERVICE: [&str; 7] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "JOURNAL_STREAM",
];

/// Where programs are looked for when the daemon has no `PATH`.
const DEFAULT_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a program cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there, or the name is nowhere in `PATH`.
    #[error("{program} does not exist{}", if program.contains('/') { "" } else { " in any directory of PATH" })]
    Missing {
        /// What was looked for.
        program: String,
    },
    /// It is no file, or its user may not execute it.
    #[error("{program} cannot be executed by {user}: it needs `chmod a+x {program}`, or is no file")]
    NotExecutable {
        /// The file.
        program: String,
        /// Who was to run it.
        user: String,
    },
    /// A user that is not there.
    #[error("there is no user {name}")]
    NoUser {
        /// The name.
        name: String,
    },
    /// A group that is not there.
    #[error("there is no group {name}")]
    NoGroup {
        /// The name.
        name: String,
    },
    /// `enable_script_security` forbids it.
    #[error("{program} is not run as root because {problem}")]
    Insecure {
        /// The program.
        program: String,
        /// The path that others may write, and what to do about it.
        problem: security::Problem,
    },
    /// The system refused.
    #[error("{program}: {error}")]
    System {
        /// The program or path.
        program: String,
        /// Its answer.
        error: io::Error,
    },
}

/// What is done with a program that runs when its [`Running`] is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// Its process group is killed; it gets SIGTERM when this daemon dies.
    Killed,
    /// It runs on.
    Left,
}

/// How programs are run here: the default user, the rules of security, and what was already said about which.
/// Clones share all of it.
#[derive(Debug, Clone)]
pub struct Programs(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    default_user: Option<User>,
    security: bool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    identities: BTreeMap<Option<User>, Identity>,
    /// The error that was logged last, until the program could be run.
    complaints: BTreeMap<Command, String>,
}

impl Programs {
    /// Begins with nothing known.
    pub fn new(globals: &VrrpGlobals) -> Self {
        Self(Arc::new(Shared {
            default_user: globals.script_user.clone(),
            security: globals.script_security,
            known: Mutex::default(),
        }))
    }

    /// The same for other rules. What was said already is not forgotten while they stay as they are.
    #[must_use]
    pub fn changed(&self, globals: &VrrpGlobals) -> Self {
        let now = (&globals.script_user, globals.script_security);
        if (&self.0.default_user, self.0.security) == now { self.clone() } else { Self::new(globals) }
    }

    /// Whether it is a clone of the other.
    pub fn are(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether `command` can be run. If not, an error is logged, once for each reason; `role` says what the command
    /// is to its configuration: `vrrp_script chk`.
    pub fn check(&self, role: &str, command: &Command) -> bool {
        self.judge(role, command, self.find(command)).is_some()
    }

    /// Starts `command` with more arguments than its own. If that fails an error is logged, once for each reason.
    pub fn start(
        &self,
        role: &str,
        command: &Command,
        arguments: &[String],
        dropped: Dropped,
    ) -> Option<Running> {
        let started = self.find(command).and_then(|program| program.start(arguments, dropped));
        self.judge(role, command, started)
    }

    /// Finds the program and its user. Both are looked up anew each time, so that a program that comes later can be
    /// run; a user that was found once is remembered.
    ///
    /// # Errors
    /// What is missing, or what `enable_script_security` has against it.
    pub fn find(&self, command: &Command) -> Result<Program, Error> {
        let program = Program::find(command, self.identity(command.user.as_ref())?)?;
        if self.0.security && program.identity().is_root() {
            security::check(&program)?;
        }
        Ok(program)
    }

    /// Who `user` is; without one, who runs programs that name nobody.
    ///
    /// # Errors
    /// When a name is unknown.
    pub fn identity(&self, user: Option<&User>) -> Result<Identity, Error> {
        let user = user.or(self.0.default_user.as_ref()).cloned();
        let mut known = self.known();
        if let Some(identity) = known.identities.get(&user) {
            return Ok(identity.clone());
        }
        let identity = user.as_ref().map_or_else(Identity::fallback, Identity::of)?;
        known.identities.insert(user, identity.clone());
        Ok(identity)
    }

    fn judge<T>(&self, role: &str, command: &Command, result: Result<T, Error>) -> Option<T> {
        let mut known = self.known();
        match result {
            Ok(value) => {
                known.complaints.remove(command);
                Some(value)
            }
            Err(problem) => {
                let text = problem.to_string();
                if known.complaints.get(command) != Some(&text) {
                    error!("{role} cannot be run: {text}");
                    known.complaints.insert(command.clone(), text);
                }
                None
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a program that had a time limit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, or by a signal that was not ours.
    Exited(ExitStatus),
    /// It was still running.
    TimedOut,
}

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Pid,
    dropped: Dropped,
}

impl Running {
    /// The number of its process, which is that of its process group.
    pub fn id(&self) -> i32 {
        self.group.as_raw()
    }

    /// Waits for its end; may be cancelled and called again.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.dropped = Dropped::Left;
        Ok(status)
    }

    /// Waits for its end, but not longer than `limit`.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub async fn wait_for(&mut self, limit: Duration) -> io::Result<End> {
        match timeout(limit, self.wait()).await {
            Ok(status) => status.map(End::Exited),
            Err(_) => Ok(End::TimedOut),
        }
    }

    /// Ends it and everything else in its process group: SIGTERM, and SIGKILL for what is left after [`GRACE`].
    pub async fn end(mut self) {
        self.signal(Signal::SIGTERM);
        let gone = timeout(GRACE, async {
            let _status = self.child.wait().await;
            while self.group_exists() {
                sleep(GROUP_POLL).await;
            }
        });
        if gone.await.is_err() {
            self.signal(Signal::SIGKILL);
            let _status = self.child.wait().await;
        }
        self.dropped = Dropped::Left;
    }

    /// Nobody hears of a failure: what is not there needs no signal.
    fn signal(&self, signal: Signal) {
        let _gone = killpg(self.group, signal);
    }

    fn group_exists(&self) -> bool {
        killpg(self.group, None) != Err(Errno::ESRCH)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.dropped == Dropped::Killed {
            self.signal(Signal::SIGKILL);
        }
    }
}

impl Program {
    /// Starts it with more arguments than its own. Needs a Tokio runtime with I/O.
    ///
    /// # Errors
    /// What the system says, for example that its interpreter is missing.
    pub fn start(&self, arguments: &[String], dropped: Dropped) -> Result<Running, Error> {
        let failed = |error| Error::System { program: self.path().display().to_string(), error };
        let identity = self.identity().clone();
        let mut command = tokio::process::Command::new(self.path());
        command.args(self.arguments()).args(arguments).current_dir("/").process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        for name in OF_THE_SERVICE {
            command.env_remove(name);
        }
        if std::env::var_os("PATH").is_none() {
            command.env("PATH", DEFAULT_PATH);
        }
        command.envs(identity.environment());
        let prepare = move || {
            descriptors::restore()?;
            identity.assume()?;
            // After the change of user, which would undo it.
            if dropped == Dropped::Killed {
                prctl::set_pdeathsig(Signal::SIGTERM)?;
            }
            Ok(())
        };
        // SAFETY: between fork and exec it makes system calls only; it allocates nothing and takes no lock.
        unsafe { command.pre_exec(prepare) };
        let child = command.spawn().map_err(failed)?;
        let id = child.id().ok_or_else(|| failed(Errno::ESRCH.into()))?;
        Ok(Running { child, group: Pid::from_raw(id as i32), dropped })
    }
}
