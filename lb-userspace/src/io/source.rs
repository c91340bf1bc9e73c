//! Reads the configuration file, as often as it is asked to. What the text means, `config` decides.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tracing::{info, warn};

use super::{effective, files};
use crate::config::{self, Config, Known, Parsed, Part, Severity, files::World};

/// Why a file is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In one line.
    pub reason: String,
    /// Everything that is wrong with the text, with the lines; empty if there is no text.
    pub diagnostics: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Refusal {}

/// A configuration as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What else is to be said about the text, with the lines; nothing that keeps it from being used.
    pub diagnostics: String,
}

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub struct Source {
    file: PathBuf,
    reading: Reading,
    part: Part,
    may_be_missing: bool,
    /// From the last reading.
    known: Known,
}

/// How a file is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The configuration id of this node.
    pub id: String,
    /// Every file that is to be included must be there.
    pub all_files: bool,
}

impl Source {
    /// A part of a file, which need not be there yet.
    pub fn new(file: PathBuf, reading: Reading, part: Part) -> Self {
        Self { file, reading, part, may_be_missing: false, known: Known::default() }
    }

    /// The same, which says nothing until its file is there for the first time.
    #[must_use]
    pub fn which_may_be_missing(self) -> Self {
        Self { may_be_missing: true, ..self }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Reads it as it is now. Warnings and notes go to the log.
    ///
    /// # Errors
    /// A file that cannot be read, or that is no configuration.
    pub fn load(&mut self) -> Result<Loaded, Refusal> {
        let unreadable =
            |error: anyhow::Error| Refusal { reason: format!("{error:#}"), diagnostics: String::new() };
        if self.may_be_missing && self.file.try_exists().is_ok_and(|exists| !exists) {
            info!("there is no {}; services are made by `xlvs adm`", self.file.display());
            return Ok(Loaded { config: Config::default(), diagnostics: String::new() });
        }
        let parsed = read_beside(&self.file, &self.reading, &mut self.known).map_err(unreadable)?;
        let diagnostics = config::render(&parsed);
        let lines = |severity| {
            let those = parsed.diagnostics.iter().filter(move |diagnostic| diagnostic.severity == severity);
            those.map(|diagnostic| diagnostic.one_line(&parsed.sources))
        };
        let mut errors = lines(Severity::Error);
        let reason = match (errors.next(), errors.count()) {
            (Some(first), 0) => Some(first),
            (Some(first), more) => {
                Some(format!("{first} (and {more} more: see `xlvs check {}`)", self.file.display()))
            }
            (None, _) if parsed.config.is_none() => {
                Some(format!("{}: is no configuration", self.file.display()))
            }
            (None, _) => None,
        };
        lines(Severity::Warning).for_each(|line| warn!("{line}"));
        lines(Severity::Note).for_each(|line| info!("{line}"));
        match (reason, parsed.config) {
            (None, Some(config)) => {
                // Should it be gone later, that is a mistake, and no wish to have nothing any more.
                self.may_be_missing = false;
                Ok(Loaded { config: self.part.of(config), diagnostics })
            }
            (reason, _) => Err(Refusal { reason: reason.unwrap_or_default(), diagnostics }),
        }
    }
}

/// Reads and parses a file and what it includes; its problems are in the result.
///
/// # Errors
/// A file that cannot be read.
pub fn read(file: &Path, reading: &Reading) -> anyhow::Result<Parsed> {
    read_beside(file, reading, &mut Known::default())
}

/// The same, without the blocks that are `known`.
fn read_beside(file: &Path, reading: &Reading, known: &mut Known) -> anyhow::Result<Parsed> {
    let name = file.display();
    let bytes = std::fs::read(file).with_context(|| format!("{name}: cannot be read"))?;
    let text = files::text(bytes);
    let path = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let world = World {
        id: &reading.id,
        demands_all: reading.all_files,
        path: &path,
        files: &files::RealFiles,
        environment: &|name| std::env::var(name).ok(),
        seed: rand::random(),
    };
    let name = name.to_string();
    let exceeded = |parsed: &Parsed| parsed.config.as_ref().and_then(effective::exceeded);
    let mut parsed = config::parse_beside(world, &name, &text, known);
    if exceeded(&parsed).is_some() {
        // What is too much stands where this text has it.
        parsed = config::parse_in(world, &name, &text);
    }
    if let Some(problem) = exceeded(&parsed) {
        parsed.refuse(problem);
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_may_be_missing_may_be_so_until_it_was_there() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let file = directory.path().join("keepalived.conf");
        let reading = Reading { id: "node".to_owned(), all_files: false };
        let source = Source::new(file.clone(), reading, Part::default());
        assert!(source.clone().load().is_err(), "one that may not");
        let mut source = source.which_may_be_missing();
        assert_eq!(source.load().expect("nothing is said").config, Config::default());
        fs::write(&file, "global_defs {\n router_id there\n}\n").expect("it can be written");
        assert_eq!(source.load().expect("it is read").config.router_id.as_deref(), Some("there"));
        fs::remove_file(&file).expect("it can be removed");
        let refusal = source.load().expect_err("its end is no wish to have nothing");
        assert!(refusal.reason.contains("cannot be read"), "{}", refusal.reason);
    }
}
