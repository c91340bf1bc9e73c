//! Owns what the outside is told of transitions: notify scripts, in order for each instance and group, and lines in
//! FIFOs. Refuses to decide what a transition is, and never makes anybody wait.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::command::{Dropped, End, Programs};
use super::fifo::Fifos;
use crate::config::model::vrrp::{Command, FifoLines, Notify, VrrpGlobals};

#[cfg(test)]
mod tests;

const LIMITS: Limits =
    Limits { patience: Duration::from_mins(1), finish: Duration::from_secs(10), waiting: 64 };

/// Who changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A `vrrp_instance`.
    Instance,
    /// A `vrrp_sync_group`.
    Group,
    /// A virtual server and its real servers.
    Service,
}

impl fmt::Display for Subject {
    /// As scripts and FIFOs get it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Instance => "INSTANCE",
            Self::Group => "GROUP",
            Self::Service => "VS",
        })
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Whether it happened to an instance or a group.
    pub subject: Subject,
    /// The name of that.
    pub name: String,
    /// `MASTER`, `BACKUP`, `FAULT` and `STOP` run a script and `notify`; `MASTER_RX_LOWER_PRI` runs its own script
    /// alone; `MASTER_PRIORITY` and `BACKUP_PRIORITY` run none. All of them go to the FIFOs, the last two only with
    /// `notify_priority_changes`.
    pub state: &'static str,
    /// The effective priority; 0 for a group.
    pub priority: u8,
}

/// Runs notify scripts and writes to FIFOs until it is finished or dropped. Scripts that run then are left running.
#[derive(Debug)]
pub struct Notifier {
    programs: Programs,
    fifos: Fifos,
    queues: Queues,
    runtime: Handle,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    /// A script that runs longer runs on, but the next one no longer waits for it.
    patience: Duration,
    /// How long scripts may take at the end.
    finish: Duration,
    /// Scripts that wait for one instance. When there are more, the oldest is not run: what counts is the last state.
    waiting: usize,
}

/// What waits, for each that a task works for. The task ends and its key goes when nothing is left.
type Queues = watch::Sender<BTreeMap<(Subject, String), VecDeque<Job>>>;

#[derive(Debug, PartialEq, Eq)]
struct Job {
    /// For people: `notify_master of VI_1`.
    role: String,
    command: Command,
    arguments: Vec<String>,
}

impl Notifier {
    /// Opens the FIFOs and starts their readers. Must be called in a Tokio runtime with time and I/O; the other
    /// methods may be called from anywhere.
    ///
    /// # Errors
    /// Outside of a runtime. A FIFO or script that cannot be used is logged instead.
    pub fn start(globals: &VrrpGlobals) -> anyhow::Result<Self> {
        Self::limited(globals, LIMITS)
    }

    fn limited(globals: &VrrpGlobals, limits: Limits) -> anyhow::Result<Self> {
        let runtime = Handle::try_current()?;
        let programs = Programs::new(globals);
        let fifos = Fifos::open(&globals.fifos, &programs);
        Ok(Self { programs, fifos, queues: watch::Sender::default(), runtime, limits })
    }

    /// Takes other users, rules and FIFOs. What waits is run as it was to be.
    pub fn change(&mut self, globals: &VrrpGlobals) {
        self.programs = self.programs.changed(globals);
        self.fifos.change(&globals.fifos, &self.programs);
    }

    /// Logs which of the scripts of an instance or group cannot be run, so that it is known before they are needed.
    pub fn check(&self, name: &str, scripts: &Notify) {
        let commands = [
            ("notify_master", &scripts.master),
            ("notify_backup", &scripts.backup),
            ("notify_fault", &scripts.fault),
            ("notify_stop", &scripts.stop),
            ("notify_master_rx_lower_pri", &scripts.lower_priority),
            ("notify", &scripts.any),
        ];
        for (keyword, command) in commands {
            if let Some(command) = command {
                self.programs.check(&format!("{keyword} of {name}"), command);
            }
        }
    }

    /// Writes the line and has the scripts run, after those that run for the same instance or group. What would run twice
    /// in a row with the same arguments waits once.
    pub fn notify(&self, notification: Notification, scripts: &Notify) {
        if is_priority_change(notification.state) && !scripts.priority_changes {
            return;
        }
        let Notification { subject, name, state, priority } = &notification;
        debug!("notifying {subject} {name} {state} {priority}");
        self.fifos.write(FifoLines::Vrrp, &format!("{subject} \"{name}\" {state} {priority}\n"));
        let jobs = jobs(&notification, scripts);
        if !jobs.is_empty() {
            self.queue((notification.subject, notification.name), jobs);
        }
    }

    /// Writes a line about a virtual server or one of its real servers, and has `command` run, which is that to it:
    /// `notify_up of [192.0.2.11]:tcp:80`.
    pub fn service_changed(&self, service: &str, line: &str, role: String, command: Option<&Command>) {
        debug!("notifying {line}");
        self.fifos.write(FifoLines::Lvs, &format!("{line}\n"));
        if let Some(command) = command {
            let job = Job { role, command: command.clone(), arguments: Vec::new() };
            self.queue((Subject::Service, service.to_owned()), vec![job]);
        }
    }

    /// Logs if a program cannot be run that is `role` to its configuration.
    pub fn check_command(&self, role: &str, command: &Command) {
        self.programs.check(role, command);
    }

    /// Waits for the scripts that run and wait, and lets the readers of FIFOs read what is left, in bounded time.
    pub async fn finish(self) {
        let mut queues = self.queues.subscribe();
        let scripts = async {
            if timeout(self.limits.finish, queues.wait_for(BTreeMap::is_empty)).await.is_err() {
                for ((_, name), waiting) in self.queues.borrow().iter() {
                    warn!("a notify script of {name} still runs; {} that wait are not run", waiting.len());
                }
            }
        };
        tokio::join!(scripts, self.fifos.finish());
    }

    fn queue(&self, key: (Subject, String), jobs: Vec<Job>) {
        let mut idle = false;
        self.queues.send_modify(|queues| {
            idle = !queues.contains_key(&key);
            let queue = queues.entry(key.clone()).or_default();
            // Lower priorities may be heard faster than a script runs.
            for job in jobs {
                if queue.back() != Some(&job) {
                    queue.push_back(job);
                }
            }
            while queue.len() > self.limits.waiting {
                if let Some(job) = queue.pop_front() {
                    warn!("{} is not run: too many scripts wait", job.role);
                }
            }
        });
        if idle {
            let (programs, queues) = (self.programs.clone(), self.queues.clone());
            self.runtime.spawn(work(programs, queues, key, self.limits.patience));
        }
    }
}

/// Runs what waits for one instance or group, one after the other.
async fn work(programs: Programs, queues: Queues, key: (Subject, String), patience: Duration) {
    loop {
        let mut next = None;
        queues.send_modify(|queues| {
            next = queues.get_mut(&key).and_then(VecDeque::pop_front);
            if next.is_none() {
                queues.remove(&key);
            }
        });
        let Some(job) = next else { return };
        run(&programs, &job, patience).await;
    }
}

async fn run(programs: &Programs, job: &Job, patience: Duration) {
    let role = &job.role;
    let Some(mut running) = programs.start(role, &job.command, &job.arguments, Dropped::Left) else {
        // Why was perhaps said long ago.
        warn!("{role} was not run");
        return;
    };
    match running.wait_for(patience).await {
        Ok(End::Exited(status)) if status.success() => debug!("{role} is done"),
        Ok(End::Exited(status)) => warn!("{role} failed: {status}"),
        Ok(End::TimedOut) => warn!("{role} still runs after {patience:?}; the next one does not wait for it"),
        Err(error) => warn!("{role}: {error}"),
    }
}

/// The scripts of a notification in the order in which they run.
fn jobs(notification: &Notification, scripts: &Notify) -> Vec<Job> {
    let Notification { subject, name, state, priority } = notification;
    let (keyword, own, any) = match *state {
        "MASTER" => ("notify_master", &scripts.master, &scripts.any),
        "BACKUP" => ("notify_backup", &scripts.backup, &scripts.any),
        "FAULT" => ("notify_fault", &scripts.fault, &scripts.any),
        "STOP" => ("notify_stop", &scripts.stop, &scripts.any),
        "MASTER_RX_LOWER_PRI" => ("notify_master_rx_lower_pri", &scripts.lower_priority, &None),
        _ => return Vec::new(),
    };
    let job = |keyword, command: &Command, arguments| Job {
        role: format!("{keyword} of {name}"),
        command: command.clone(),
        arguments,
    };
    let words = vec![subject.to_string(), name.clone(), (*state).to_owned(), priority.to_string()];
    let own = own.as_ref().map(|command| job(keyword, command, Vec::new()));
    let any = any.as_ref().map(|command| job("notify", command, words));
    own.into_iter().chain(any).collect()
}

fn is_priority_change(state: &str) -> bool {
    matches!(state, "MASTER_PRIORITY" | "BACKUP_PRIORITY")
}
