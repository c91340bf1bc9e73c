//! What a node has told so far, which must be true whatever comes in.

use std::collections::BTreeSet;

use super::*;

#[derive(Default)]
pub(super) struct Told {
    pub(super) states: BTreeMap<RouterId, State>,
    pub(super) holds: BTreeSet<RouterId>,
    /// Of the only sync group.
    pub(super) group: State,
    pub(super) stopped: bool,
    /// What is to be held may be told once more then, and a group may be another.
    is_reloaded: bool,
}

impl Told {
    /// By a node whose configuration changes.
    pub(super) fn of_reloads() -> Self {
        Self { is_reloaded: true, ..Self::default() }
    }

    pub(super) fn check(&mut self, outputs: &[Output]) {
        for output in outputs {
            assert!(!self.stopped, "{output:?} after the end");
            match output {
                Output::Hold { router, hold } => self.check_hold(*router, *hold, outputs),
                Output::Announce { router, .. } => assert!(self.holds.contains(router), "{outputs:?}"),
                Output::Changed { router, from, to, .. } => {
                    assert_eq!(self.states.insert(*router, *to).unwrap_or_default(), *from);
                    assert_ne!(from, to);
                }
                Output::GroupChanged { to, .. } => {
                    let before = std::mem::replace(&mut self.group, *to);
                    assert!(self.is_reloaded || before != *to, "{outputs:?}");
                }
                Output::Ended(router) => {
                    assert_eq!(self.states.remove(router).unwrap_or_default(), State::Initialize);
                    assert!(!self.holds.contains(router), "{outputs:?}");
                }
                Output::Stopped => {
                    assert!(self.holds.is_empty(), "{:?}", self.holds);
                    self.stopped = true;
                }
                _ => {}
            }
        }
    }

    fn check_hold(&mut self, router: RouterId, hold: bool, outputs: &[Output]) {
        let is_news = if hold { self.holds.insert(router) } else { self.holds.remove(&router) };
        assert!(is_news || self.is_reloaded, "{outputs:?}");
    }
}
