//! What a daemon tells scripts and FIFOs, written down in files of a test.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::wait;

/// Scripts and files in a directory.
#[derive(Debug)]
pub struct Record {
    dir: PathBuf,
}

impl Record {
    /// Makes the scripts below `dir`.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn new(dir: &Path) -> Result<Self> {
        let dir = dir.join("record");
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let (words, lines) = (dir.join("words"), dir.join("lines"));
        for (name, text) in [
            ("tell", format!("#!/bin/sh\necho \"$*\" >> {}\n", words.display())),
            ("reader", format!("#!/bin/sh\nexec cat \"$1\" >> {}\n", lines.display())),
        ] {
            let path = dir.join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { dir })
    }

    /// A quoted command that writes down `word`, for a configuration.
    pub fn command(&self, word: &str) -> String {
        format!("\"{} {word}\"", self.dir.join("tell").display())
    }

    /// What `global_defs` has to say so that lines about virtual servers are written down.
    pub fn globals(&self) -> String {
        self.globals_by("lvs_notify_fifo")
    }

    /// The same by another FIFO, which is told of more.
    pub fn globals_by(&self, fifo: &str) -> String {
        let [path, reader] = ["fifo", "reader"].map(|name| self.dir.join(name).display().to_string());
        format!("script_user root\n {fifo} {path}\n {fifo}_script \"{reader}\"\n")
    }

    /// The words that scripts were run with, sorted: scripts of different servers run at the same time.
    pub fn words(&self) -> Vec<String> {
        let mut words = self.read("words");
        words.sort();
        words
    }

    /// The lines that the FIFO brought, in order.
    pub fn lines(&self) -> Vec<String> {
        self.read("lines")
    }

    /// Waits until there are so many words and lines, and returns both.
    ///
    /// # Errors
    /// When there are fewer after the bound.
    pub fn wait(&self, words: usize, lines: usize, bound: Duration) -> Result<(Vec<String>, Vec<String>)> {
        wait::until(&format!("{words} words and {lines} lines"), bound, || {
            let told = (self.words(), self.lines());
            let is_enough = told.0.len() >= words && told.1.len() >= lines;
            Ok(if is_enough { ControlFlow::Break(told) } else { ControlFlow::Continue(format!("{told:#?}")) })
        })
    }

    fn read(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}
