//! What is asked of a director's daemon, by `xlvs` itself.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::Director;
use crate::events::Events;
use crate::process;

impl Director {
    /// The command line that asks for the status.
    pub fn ask(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("status").args(arguments).arg("--state-dir").arg(&self.state_dir);
        command
    }

    /// The daemon's control socket.
    pub fn socket(&self) -> PathBuf {
        self.state_dir.join("control.sock")
    }

    /// Follows what `xlvs events` tells.
    ///
    /// # Errors
    /// When it does not begin in time.
    pub fn follow(&self) -> Result<Events> {
        Events::follow(self.subcommand("events")?, &self.dir)
    }

    /// The command line of another of `xlvs`'s commands, inside the namespace.
    ///
    /// # Errors
    /// When the namespace is gone.
    pub fn subcommand(&self, name: &str) -> Result<Command> {
        let mut command = self.netns.command(&self.binary)?;
        command.arg(name).arg("--state-dir").arg(&self.state_dir);
        Ok(command)
    }

    /// The `xlvs` that it runs.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// What `xlvs adm` prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn ipvsadm(&self, arguments: &[&str]) -> Result<String> {
        self.ipvsadm_with(arguments, "")
    }

    /// The same with an input, which `-R` reads.
    ///
    /// # Errors
    /// When it fails.
    pub fn ipvsadm_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let path = self.dir.join("ipvsadm.rules");
        fs::write(&path, input)?;
        process::output(self.adm(arguments).stdin(File::open(&path)?))
    }

    /// What `xlvs explain` prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn explain(&self, arguments: &[&str]) -> Result<String> {
        process::output(self.subcommand("explain")?.args(arguments))
    }

    /// The command line of `xlvs adm`.
    pub fn adm(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("adm").args(arguments).env("XLVS_STATE_DIR", &self.state_dir);
        command
    }
}
