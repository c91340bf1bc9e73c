//! Owns the watching of what VRRP tracks besides interfaces: runs every `vrrp_script`, reads every `track_file`, counts
//! the processes of every `vrrp_track_process`. Refuses to know what that does to a priority.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use super::command::Programs;
use crate::config::model::vrrp::Vrrp;
use crate::vrrp::Input;

mod file;
mod process;
mod script;
#[cfg(test)]
mod tests;

pub(super) use file::number;

/// Inputs that may wait for the reader. When it is full, scripts and files wait for room and processes are told of
/// with their newest state; nothing is lost but changes that were undone meanwhile.
const INPUTS: usize = 64;

/// Everything that is watched. When this is dropped it all ends, and scripts that run are killed.
#[derive(Debug)]
pub struct Trackers {
    inputs: mpsc::Sender<Input>,
    programs: Programs,
    scripts: BTreeMap<String, script::Watch>,
    files: Option<file::Watch>,
    processes: Option<process::Watch>,
}

/// What of the next configuration's watching may fail, and did not.
#[derive(Debug)]
pub struct Begun {
    files: Option<file::Watch>,
    processes: Option<process::Watch>,
}

impl Trackers {
    /// Writes the files that have an `init_file`, and begins to watch. Each script is told of when it is known first,
    /// each file and process at once; then all of them when they change. Needs a Tokio runtime with time and I/O.
    ///
    /// # Errors
    /// As of [`Self::begin`]. A script or file that cannot be used is logged instead.
    pub fn start(vrrp: &Vrrp) -> anyhow::Result<(Self, mpsc::Receiver<Input>)> {
        let (inputs, reader) = mpsc::channel(INPUTS);
        let programs = Programs::new(&vrrp.globals);
        let mut trackers = Self { inputs, programs, scripts: BTreeMap::new(), files: None, processes: None };
        let begun = trackers.begin(vrrp)?;
        trackers.change(vrrp, begun);
        Ok((trackers, reader))
    }

    /// Begins what another configuration needs and what is not there yet, which watches nothing before [`Self::change`].
    ///
    /// # Errors
    /// Without inotify or threads.
    pub fn begin(&self, vrrp: &Vrrp) -> anyhow::Result<Begun> {
        let needs_files = self.files.is_none() && !vrrp.files.is_empty();
        let needs_processes = self.processes.is_none() && !vrrp.processes.is_empty();
        Ok(Begun {
            files: needs_files.then(|| file::Watch::start(self.inputs.clone())).transpose()?,
            processes: needs_processes.then(|| process::Watch::start(self.inputs.clone())).transpose()?,
        })
    }

    /// Watches what another configuration says. What is the same there goes on as it was. What is another begins anew, and
    /// what was told of it holds until something else is. What is new begins as in [`Self::start`]; `begun` is for the same
    /// configuration.
    pub fn change(&mut self, vrrp: &Vrrp, begun: Begun) {
        self.files = self.files.take().or(begun.files).filter(|_| !vrrp.files.is_empty());
        self.processes = self.processes.take().or(begun.processes).filter(|_| !vrrp.processes.is_empty());
        if let Some(files) = &mut self.files {
            files.change(&vrrp.files);
        }
        if let Some(processes) = &self.processes {
            processes.change(&vrrp.processes);
        }
        self.change_scripts(vrrp);
    }

    fn change_scripts(&mut self, vrrp: &Vrrp) {
        self.programs = self.programs.changed(&vrrp.globals);
        let mut before = std::mem::take(&mut self.scripts);
        for script in &vrrp.scripts {
            let old = before.remove(&script.name);
            let now = script::Watch::in_place_of(old, script, &self.programs, &self.inputs);
            self.scripts.insert(script.name.clone(), now);
        }
    }
}
