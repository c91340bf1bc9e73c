//! Checks that are one.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::AbortHandle;

use super::Tools;
use crate::config::model::check::Probe;
use crate::health::{Check, Settings, Verdict};

/// What is the same here is one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) probe: Arc<Probe>,
    pub(super) settings: Settings,
    pub(super) is_resting: bool,
}

/// Their machine, and the probe under way.
pub(super) struct Shared {
    pub(super) key: Key,
    pub(super) machine: Check,
    pub(super) members: Vec<u32>,
    /// One of them wants every failed probe logged.
    pub(super) log_all_failures: bool,
    pub(super) tools: Arc<Tools>,
    pub(super) pending: Option<Pending>,
}

impl Shared {
    /// Is its server known to be up?
    pub(super) fn is_up(&self) -> bool {
        matches!(self.machine.verdict(), Some(Verdict::Up | Verdict::UpWith(_)))
    }
}

/// The probe that a machine waits for; `number` tells its answer from the answer to an older one.
pub(super) struct Pending {
    pub(super) number: u64,
    pub(super) abort: Option<AbortHandle>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(abort) = &self.abort {
            abort.abort();
        }
    }
}

/// The machine with this number, if it still waits for this probe.
pub(super) fn awaiting(all: &mut BTreeMap<u64, Shared>, number: u64, probe: u64) -> Option<&mut Shared> {
    all.get_mut(&number)
        .filter(|shared| shared.pending.as_ref().is_some_and(|pending| pending.number == probe))
}
