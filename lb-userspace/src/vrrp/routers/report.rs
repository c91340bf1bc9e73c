//! What people and monitoring are told of a router.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use super::Routers;
use crate::vrrp::wire::Refusal;
use crate::vrrp::{RouterId, State};

/// How one router stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterReport {
    /// Its number.
    pub router: RouterId,
    /// Its name.
    pub name: String,
    /// The name of its sync group.
    pub group: Option<String>,
    /// Its state.
    pub state: State,
    /// Since when it is in it.
    pub since: Instant,
    /// How often it went into each state.
    pub transitions: BTreeMap<State, u64>,
    /// Its effective priority.
    pub priority: u8,
    /// The address it sends from.
    pub source: Option<IpAddr>,
    /// Whose adverts it hears, while it is backup.
    pub master: Option<IpAddr>,
    /// Until when it may forward.
    pub lease: Option<Instant>,
    /// Why it cannot run, in sentences; those of its group if it has none itself.
    pub faults: Vec<String>,
    /// Adverts that left.
    pub sent: u64,
    /// Adverts that were heard and not refused.
    pub heard: u64,
    /// Adverts that were refused, by reason.
    pub refused: BTreeMap<Refusal, u64>,
}

impl Routers {
    /// How every router stands, in the order of their numbers; one that is being replaced as it was.
    pub fn report(&self) -> Vec<RouterReport> {
        self.all
            .iter()
            .map(|(id, router)| {
                let machine = &router.machine;
                let (sent, heard) = machine.adverts();
                let faults = match (&router.standing.faults, &router.cause) {
                    (own, Some(of_group)) if own.is_empty() => vec![of_group.clone()],
                    (own, _) => own.clone(),
                };
                RouterReport {
                    router: *id,
                    name: router.identity.name.clone(),
                    group: router.group.and_then(|group| Some(self.groups.get(&group)?.name.clone())),
                    state: router.state,
                    since: router.since,
                    transitions: router.transitions.clone(),
                    priority: machine.priority(),
                    source: router.source,
                    master: machine.master(),
                    lease: machine.lease(),
                    faults,
                    sent,
                    heard,
                    refused: machine.refused().clone(),
                }
            })
            .collect()
    }
}
