//! What `xlvs events` tells while a test goes on.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::process::Running;
use crate::wait;

const BOUND: Duration = Duration::from_secs(20);

/// Somebody who follows.
#[derive(Debug)]
pub struct Events {
    path: PathBuf,
    running: Running,
}

impl Events {
    /// Starts `command`, which prints them, and waits until it follows.
    ///
    /// # Errors
    /// When it does not in time.
    pub(crate) fn follow(mut command: Command, dir: &Path) -> Result<Self> {
        let path = dir.join("events");
        let (out, err) = (File::create(&path)?, File::create(dir.join("events.err"))?);
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        let events = Self { running: Running::start("xlvs events", &mut command)?, path };
        events.wait("following", |_| true)?;
        Ok(events)
    }

    /// Those so far.
    ///
    /// # Errors
    /// When a line is no JSON.
    pub fn all(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(&self.path)?;
        // The last one may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    /// Waits for one of this kind that fits, and returns the first.
    ///
    /// # Errors
    /// When none comes in time.
    pub fn wait(&self, kind: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        wait::until(&format!("an event `{kind}`"), BOUND, || {
            let all = self.all()?;
            let found = all.iter().find(|event| event["event"] == kind && fits(event));
            Ok(match found {
                Some(event) => ControlFlow::Break(event.clone()),
                None => ControlFlow::Continue(format!("{all:?}")),
            })
        })
    }

    /// Waits until there are no more to come.
    ///
    /// # Errors
    /// When it does not end in time, or not well.
    pub fn end(mut self) -> Result<Vec<Value>> {
        let status = self.running.ended("with its director", BOUND)?;
        anyhow::ensure!(status.success(), "xlvs events ended with {status}");
        self.all()
    }
}
