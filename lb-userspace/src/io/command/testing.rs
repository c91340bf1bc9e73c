//! Scripts in a directory of their own, and waiting for what they do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::config::model::vrrp::Command;

/// Longer than anything here takes.
pub(in crate::io) const PATIENCE: Duration = Duration::from_secs(20);

/// A directory that every user may enter.
pub(in crate::io) struct Place(TempDir);

impl Place {
    pub(in crate::io) fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self(place)
    }

    pub(in crate::io) fn dir(&self) -> &Path {
        self.0.path()
    }

    pub(in crate::io) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file that everybody may execute.
    pub(in crate::io) fn executable(&self, name: &str, body: &str) -> String {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    /// A command that runs `body` in this directory. The shell reads the file: the kernel would not execute one
    /// that a process just forked by another test still has open for writing.
    pub(in crate::io) fn script(&self, name: &str, body: &str) -> Command {
        let path = self.executable(name, &format!("cd {}\n{body}", self.dir().display()));
        command(&["/bin/sh", &path])
    }

    /// What is in a file, nothing if it is not there.
    pub(in crate::io) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Waits until a file has this many lines, and gives it.
    pub(in crate::io) async fn lines(&self, name: &str, count: usize) -> String {
        until(|| {
            let text = self.read(name);
            (text.ends_with('\n') && text.lines().count() >= count).then_some(text)
        })
        .await
    }
}

pub(in crate::io) fn command(words: &[&str]) -> Command {
    Command { words: words.iter().map(|&word| word.to_owned()).collect(), user: None }
}

pub(in crate::io) async fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(value) = found() {
                return value;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, search).await.expect("the condition comes true in time")
}

/// A zombie counts as gone: who has to reap it may be anybody.
pub(in crate::io) fn is_gone(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}
