//! Reads the configuration file, as often as it is asked to. What the text means, `config` decides.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use tracing::{info, warn};

use crate::config::{self, Config, Parsed, Severity};

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
}

impl Source {
    /// A file, which need not be there yet.
    pub const fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Reads it as it is now. Warnings and notes go to the log.
    ///
    /// # Errors
    /// A file that cannot be read, or that is no configuration.
    pub fn load(&self) -> Result<Loaded, Refusal> {
        let unreadable =
            |error: anyhow::Error| Refusal { reason: format!("{error:#}"), diagnostics: String::new() };
        let parsed = read(&self.file).map_err(unreadable)?;
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
            (None, Some(config)) => Ok(Loaded { config, diagnostics }),
            (reason, _) => Err(Refusal { reason: reason.unwrap_or_default(), diagnostics }),
        }
    }
}

/// Reads and parses a file; its problems are in the result.
///
/// # Errors
/// A file that cannot be read, or that is no text.
pub fn read(file: &Path) -> anyhow::Result<Parsed> {
    let bytes = std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = before.split(|byte| *byte == b'\n').count();
            bail!(
                "{}:{line}: this is not text in UTF-8: convert the file, for example with iconv",
                file.display()
            );
        }
    };
    Ok(config::parse(&file.display().to_string(), &text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a file with these bytes.
    fn loaded(bytes: &[u8]) -> Result<Loaded, Refusal> {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("k.conf");
        std::fs::write(&file, bytes).expect("a file");
        Source::new(file).load()
    }

    #[test]
    fn a_refusal_has_the_first_error_in_one_line_and_all_with_their_lines() {
        let text = "virtual_server 10.0.0.1 80 {\n lb_kind DR\n real_server 10.0.0.2 80 {\n  weight x\n  weight y\n }\n}\n";
        let refusal = loaded(text.as_bytes()).expect_err("two errors");
        assert!(
            refusal.reason.contains("k.conf:4:10: ") && refusal.reason.contains("and 1 more"),
            "{refusal}"
        );
        assert_eq!(refusal.reason.lines().count(), 1, "{refusal}");
        assert!(refusal.diagnostics.contains("weight y"), "{}", refusal.diagnostics);
    }

    #[test]
    fn what_is_no_text_is_refused_without_diagnostics() {
        for (bytes, reason) in
            [(&b"\n\xff\n"[..], "k.conf:2: this is not text"), (&b"vrrp_instance {"[..], "k.conf:1:")]
        {
            let refusal = loaded(bytes).expect_err("no configuration");
            assert!(refusal.reason.contains(reason), "{refusal}");
        }
        let refusal = Source::new(PathBuf::from("/absent/k.conf")).load().expect_err("no file");
        assert_eq!((refusal.reason.contains("cannot be read"), refusal.diagnostics.as_str()), (true, ""));
    }

    #[test]
    fn a_file_that_can_be_used_is_with_what_else_is_to_be_said_of_it() {
        let text = "virtual_server 10.0.0.1 80 {\n lb_kind NAT\n real_server 10.0.0.2 80 {\n }\n}\n";
        let Loaded { config, diagnostics } = loaded(text.as_bytes()).expect("it loads");
        assert_eq!(config.virtual_servers.len(), 1);
        assert!(diagnostics.contains("NAT"), "{diagnostics}");
    }
}
