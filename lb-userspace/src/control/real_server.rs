//! One real server of one service: what its checks say of it, the way to it, and the weight that follows.

use std::{collections::BTreeMap, net::IpAddr};

use lb_common::layout::ServerState;

use super::{News, Way};
use crate::{
    health::{Share, Verdict},
    plan::{Allocation, Row, ServiceKey, WantedServer},
};

/// A real server of one service.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact by itself")]
#[derive(Clone, Debug)]
pub struct RealServer {
    /// Its RIP.
    pub rip: IpAddr,
    /// Its row and generation.
    pub row: Row,
    /// The weight configured.
    pub weight: u16,
    pub(super) inhibit_on_failure: bool,
    pub(super) is_sorry: bool,
    /// The weight it had, while it is drained.
    pub(super) drained: Option<u16>,
    /// It is its turn to get connections: a real server's while there is a quorum or no sorry server, and the sorry server's
    /// while there is none.
    pub(super) is_called: bool,
    /// Its failed checks and why.
    pub(super) failures: BTreeMap<u32, String>,
    /// What checks want its weight to be.
    pub(super) shares: BTreeMap<u32, Share>,
    pub(super) way: Way,
    /// Nothing was told of the way yet.
    is_sought: bool,
}

impl RealServer {
    pub(super) fn new(
        wanted: &WantedServer,
        service: ServiceKey,
        allocation: &Allocation,
        ways: &BTreeMap<IpAddr, Way>,
    ) -> Self {
        let unknown = || Way::None("its MAC address is being resolved".to_owned());
        Self {
            rip: wanted.rip,
            row: allocation.server_row(&service, wanted.rip),
            weight: wanted.weight,
            inhibit_on_failure: wanted.inhibit_on_failure,
            is_sorry: wanted.is_sorry,
            drained: wanted.drained,
            is_called: !wanted.is_sorry,
            failures: wanted
                .alpha
                .iter()
                .map(|check| (*check, "it was not checked yet".to_owned()))
                .collect(),
            shares: BTreeMap::new(),
            way: ways.get(&wanted.rip).cloned().unwrap_or_else(unknown),
            is_sought: !ways.contains_key(&wanted.rip),
        }
    }

    /// The state its row shows, and the reason when it is not eligible.
    pub fn state(&self) -> (ServerState, Option<&str>) {
        let failure = self.failures.values().next().map(String::as_str);
        match (&self.way, failure) {
            (_, Some(reason)) if !self.inhibit_on_failure => (ServerState::Down, Some(reason)),
            (Way::None(reason), _) => (ServerState::Unresolved, Some(reason)),
            (Way::Local, reason) => (ServerState::Local, reason),
            (Way::Through(_), reason) => (ServerState::Ready, reason),
        }
    }

    /// May new connections go to it?
    pub fn is_eligible(&self) -> bool {
        self.effective_weight() > 0
    }

    /// The way to it.
    pub const fn way(&self) -> &Way {
        &self.way
    }

    /// Has a check of it failed?
    pub fn is_failed(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Why this check of it has failed, if it has.
    pub fn failure(&self, check: u32) -> Option<&str> {
        self.failures.get(&check).map(String::as_str)
    }

    /// Is it the sorry server?
    pub const fn is_sorry(&self) -> bool {
        self.is_sorry
    }

    /// In the list, or taken out of it by its check or for want of a quorum?
    pub(super) fn is_listed(&self) -> bool {
        self.inhibit_on_failure || (self.failures.is_empty() && self.is_called)
    }

    pub(super) fn effective_weight(&self) -> u16 {
        if matches!(self.way, Way::None(_)) { 0 } else { self.listed_weight() }
    }

    /// The weight that IPVS would have for it, which knows nothing of MAC addresses: none after a failed check, or while it is
    /// not its turn.
    pub fn listed_weight(&self) -> u16 {
        if self.failures.is_empty() && self.is_called { self.wanted_weight() } else { 0 }
    }

    /// What it counts for a quorum: one that is drained is up.
    pub(super) fn quorum_weight(&self) -> u16 {
        self.drained.unwrap_or_else(|| self.wanted_weight())
    }

    /// The weight configured, with what its checks add to it; none while it is drained.
    pub fn wanted_weight(&self) -> u16 {
        if self.drained.is_some() {
            return 0;
        }
        let configured = i64::from(self.weight);
        let more = self.shares.values().map(|share| match share {
            Share::To(weight) => i64::from(*weight) - configured,
            Share::By(more) => *more,
        });
        let wanted = more.fold(configured, i64::saturating_add);
        u16::try_from(wanted.max(0)).unwrap_or(u16::MAX)
    }

    /// Takes another way; gives what is to be told of it.
    pub(super) fn take(&mut self, way: &Way, service: ServiceKey) -> Option<News> {
        let is_lost = |way: &Way| matches!(way, Way::None(_));
        let was_lost = is_lost(&self.way) && !std::mem::take(&mut self.is_sought);
        self.way = way.clone();
        let lost = if let Way::None(reason) = way { Some(reason.clone()) } else { None };
        (was_lost != is_lost(way)).then_some(News::Way { service, server: self.rip, lost })
    }

    /// Takes what a check says.
    pub(super) fn judge(&mut self, check: u32, verdict: &Verdict) {
        match verdict {
            Verdict::Up | Verdict::UpWith(_) => drop(self.failures.remove(&check)),
            Verdict::Down { reason } => drop(self.failures.insert(check, reason.clone())),
        }
        match verdict {
            // A check that fails no longer weighs its server, as under keepalived.
            Verdict::Up | Verdict::Down { .. } => drop(self.shares.remove(&check)),
            Verdict::UpWith(share) => drop(self.shares.insert(check, *share)),
        }
    }
}
