//! From what runs to what is wanted now: the least that must change, in the order in which it may.
//!
//! A row is written before a list names it and given up after; a service is found when its list is there, and not found any
//! more before its rows are given up. Who stays keeps its row, its place in the list, and what
//! its checks said of it; who comes enters at the list's head, as a destination added to IPVS does.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{Action, Director, News, RealServer, VirtualService, Way, server_action};
use crate::plan::{Allocation, Difference, Wanted};

/// What a reload leads to: services that are not as they were, and what to change in the maps for that.
#[derive(Debug, Default)]
pub struct Next {
    /// What to change, in maps with places for all of it.
    pub actions: Vec<Action>,
    /// The services as they are then.
    services: Vec<VirtualService>,
    /// What people are to be told of.
    news: Vec<News>,
    /// Rows that some service has no more.
    vacated: Vec<u16>,
}

impl Director {
    /// What makes the services those after a difference, which is one from those that run. `allocation` keeps the rows of
    /// what stays, and `ways` are those that are known now, to the real servers that come at least.
    pub fn reload(
        &self,
        difference: &Difference,
        allocation: &Allocation,
        ways: &BTreeMap<IpAddr, Way>,
    ) -> Next {
        let mut next = Next::default();
        for (_, wanted) in &difference.others {
            let service = match self.services.get(&wanted.key) {
                Some(service) => service.reload(wanted, allocation, ways, &mut next),
                None => VirtualService::begin(wanted, allocation, ways, &mut next),
            };
            next.services.push(service);
        }
        for gone in &difference.gone {
            next.actions.push(Action::Withdraw(gone.key));
            for server in self.services.get(&gone.key).into_iter().flat_map(|service| &service.servers) {
                next.news.extend(News::removed(server, gone.key));
                next.vacated.push(server.row.row);
            }
        }
        let vacated = next.vacated.iter().filter(|row| !allocation.has_server_row(**row));
        next.actions.extend(vacated.map(|row| Action::Vacate { row: *row, generation: allocation.vacant }));
        next
    }

    /// Makes it so, once the maps are or will be; gives what was to change in them.
    pub fn adopt(&mut self, difference: &Difference, next: Next) -> Vec<Action> {
        let before = difference.others.iter().filter_map(|(old, _)| old.as_ref());
        before.chain(&difference.gone).for_each(|service| self.index.forget(service));
        difference.next().for_each(|service| self.index.note(service));
        for gone in &difference.gone {
            self.services.remove(&gone.key);
        }
        let services = next.services.into_iter();
        self.services.extend(services.map(|service| (service.wanted.key, service)));
        self.news.extend(next.news);
        next.actions
    }
}

impl VirtualService {
    fn begin(
        wanted: &Wanted,
        allocation: &Allocation,
        ways: &BTreeMap<IpAddr, Way>,
        next: &mut Next,
    ) -> Self {
        let service = Self::new(wanted, allocation, ways, &mut next.news);
        for (server, wanted) in service.servers.iter().zip(wanted.servers.iter()) {
            next.occupy(service.id, server, wanted.thresholds);
        }
        let Wanted { key, method, lease, policy, .. } = *wanted;
        next.actions.extend([service.pool_action(), Action::Service { key, method, lease, policy }]);
        service
    }

    fn reload(
        &self,
        wanted: &Wanted,
        allocation: &Allocation,
        ways: &BTreeMap<IpAddr, Way>,
        next: &mut Next,
    ) -> Self {
        let (id, key, quorum) = (self.id, wanted.key, self.quorum);
        let before = self.published();
        let order: Vec<IpAddr> = self.list.iter().map(|&place| self.servers[place].rip).collect();
        let thresholds = self.wanted.servers.iter().map(|server| server.thresholds);
        let mut old: BTreeMap<IpAddr, (RealServer, [u32; 2])> =
            self.servers.iter().cloned().zip(thresholds).map(|old| (old.0.rip, old)).collect();
        let mut servers = Vec::with_capacity(wanted.servers.len());
        let mut rows = BTreeMap::new();
        for wanted in wanted.servers.iter() {
            let server = if let Some((mut server, thresholds)) = old.remove(&wanted.rip) {
                rows.insert(server.rip, server_action(id, &server));
                server.weight = wanted.weight;
                server.inhibit_on_failure = wanted.inhibit_on_failure;
                server.is_sorry = wanted.is_sorry;
                server.drained = wanted.drained;
                server.failures.retain(|check, _| wanted.checks.contains(check));
                server.shares.retain(|check, _| wanted.checks.contains(check));
                if thresholds != wanted.thresholds {
                    let (row, thresholds) = (server.row.row, wanted.thresholds);
                    next.actions.push(Action::Limits { row, thresholds });
                }
                server
            } else {
                let server = RealServer::new(wanted, key, allocation, ways);
                next.news.extend(News::added(&server, key));
                server
            };
            servers.push(server);
        }
        for (server, _) in old.into_values() {
            next.news.extend(News::removed(&server, key));
            next.vacated.push(server.row.row);
        }
        let mut service = Self { wanted: wanted.clone(), id, servers, quorum, list: Vec::new() };
        next.news.extend(service.call());
        service.list = list(&order, &service.servers);
        // Nobody is to be picked whose row says that he must not be.
        let mut quiescent = Vec::new();
        for (server, wanted) in service.servers.iter().zip(wanted.servers.iter()) {
            let row = server_action(id, server);
            match rows.get(&server.rip) {
                None => next.occupy(id, server, wanted.thresholds),
                Some(before) if *before == row => {}
                Some(_) if server.effective_weight() == 0 => quiescent.push(row),
                Some(_) => next.actions.push(row),
            }
        }
        let Wanted { method, lease, policy, .. } = *wanted;
        if (method, lease, policy) != (self.wanted.method, self.wanted.lease, self.wanted.policy) {
            next.actions.push(Action::Service { key, method, lease, policy });
        }
        if service.published() != before {
            next.actions.push(service.pool_action());
        }
        next.actions.extend(quiescent);
        service
    }
}

/// The places of `servers` in their list; `order` is what it was before.
fn list(order: &[IpAddr], servers: &[RealServer]) -> Vec<usize> {
    let places: BTreeMap<IpAddr, usize> =
        servers.iter().enumerate().map(|(place, server)| (server.rip, place)).collect();
    let is_listed = |place: &usize| servers[*place].is_listed();
    let stay: Vec<usize> =
        order.iter().filter_map(|rip| places.get(rip).copied()).filter(is_listed).collect();
    let known: BTreeSet<usize> = stay.iter().copied().collect();
    let come = (0..servers.len()).rev().filter(|place| !known.contains(place)).filter(is_listed);
    come.chain(stay.iter().copied()).collect()
}

impl Next {
    fn occupy(&mut self, service: u16, server: &RealServer, thresholds: [u32; 2]) {
        self.actions.push(Action::Occupy { row: server.row.row, thresholds });
        self.actions.push(server_action(service, server));
    }
}

#[cfg(test)]
mod tests;
