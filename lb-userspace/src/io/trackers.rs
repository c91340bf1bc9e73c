//! Owns the watching of what VRRP tracks besides interfaces: runs every `vrrp_script`, reads every `track_file`, counts
//! the processes of every `vrrp_track_process`. Refuses to know what that does to a priority.

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::command::Programs;
use crate::config::model::vrrp::Vrrp;
use crate::vrrp::Input;

mod file;
mod process;
mod script;
#[cfg(test)]
mod tests;

/// Inputs that may wait for the reader. When it is full, scripts and files wait for room and processes are told of
/// with their newest state; nothing is lost but changes that were undone meanwhile.
const INPUTS: usize = 64;

/// Everything that is watched. When this is dropped it all ends, and scripts that run are killed.
#[derive(Debug)]
pub struct Trackers {
    _tasks: JoinSet<()>,
    _processes: Option<process::Watch>,
}

impl Trackers {
    /// Writes the files that have an `init_file`, and begins to watch. Each script is told of when it is known first,
    /// each file and process at once; then all of them when they change. Needs a Tokio runtime with time and I/O.
    ///
    /// # Errors
    /// Without inotify or threads. A script or file that cannot be used is logged instead.
    pub fn start(vrrp: &Vrrp) -> anyhow::Result<(Self, mpsc::Receiver<Input>)> {
        file::initialize(&vrrp.files);
        Self::restart(vrrp)
    }

    /// The same for a configuration that comes later: files are left as they are.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn restart(vrrp: &Vrrp) -> anyhow::Result<(Self, mpsc::Receiver<Input>)> {
        let (inputs, reader) = mpsc::channel(INPUTS);
        let programs = Programs::new(&vrrp.globals);
        let mut tasks = JoinSet::new();
        for script in &vrrp.scripts {
            tasks.spawn(script::run(script.clone(), programs.clone(), inputs.clone()));
        }
        if !vrrp.files.is_empty() {
            tasks.spawn(file::Files::new(&vrrp.files, inputs.clone())?.run());
        }
        let processes = match &vrrp.processes[..] {
            [] => None,
            processes => Some(process::Watch::start(processes, inputs)?),
        };
        Ok((Self { _tasks: tasks, _processes: processes }, reader))
    }
}
