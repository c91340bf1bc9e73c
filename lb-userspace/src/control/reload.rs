//! From what runs to what is wanted now: the least that must change, in the order in which it may.
//!
//! A row is written before a list names it and given up after; a service is found when its list is there, and not found any
//! more before its rows are given up. Who stays keeps its row, its place in the list, and what
//! its checks said of it; who comes enters at the list's head, as a destination added to IPVS does.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{Action, Director, Index, News, RealServer, VirtualService, Way, server_action};
use crate::plan::{Allocation, Wanted};

/// What a reload has to do so far.
#[derive(Default)]
struct Steps {
    actions: Vec<Action>,
    /// Rows nobody has any more.
    vacated: Vec<u16>,
    /// What people are to be told of.
    news: Vec<News>,
}

impl Director {
    /// Makes the services those of `wanted`; says what to change in maps with places for all of them. `allocation` keeps the
    /// rows of what stays, and `ways` are those that are known now.
    pub fn reload(
        &mut self,
        wanted: &[Wanted],
        allocation: &Allocation,
        ways: &BTreeMap<IpAddr, Way>,
    ) -> Vec<Action> {
        let mut before = std::mem::take(&mut self.services);
        let mut steps = Steps::default();
        for wanted in wanted {
            let service = match before.remove(&wanted.key) {
                Some(service) => service.reload(wanted, allocation, ways, &mut steps),
                None => VirtualService::begin(wanted, allocation, ways, &mut steps),
            };
            self.services.insert(wanted.key, service);
        }
        self.index = Index::of(&self.services);
        steps.actions.extend(before.keys().map(|key| Action::Withdraw(*key)));
        for (key, service) in &before {
            steps.news.extend(service.servers.iter().filter_map(|server| News::removed(server, *key)));
        }
        let gone = before.into_values().flat_map(|service| service.servers);
        steps.vacated.extend(gone.map(|server| server.row.row));
        let taken: BTreeSet<u16> = allocation.servers.values().map(|row| row.row).collect();
        let Steps { mut actions, vacated, news } = steps;
        self.news.extend(news);
        let vacated = vacated.into_iter().filter(|row| !taken.contains(row));
        actions.extend(vacated.map(|row| Action::Vacate { row, generation: allocation.vacant }));
        actions
    }
}

impl VirtualService {
    fn begin(
        wanted: &Wanted,
        allocation: &Allocation,
        ways: &BTreeMap<IpAddr, Way>,
        steps: &mut Steps,
    ) -> Self {
        let service = Self::new(wanted, allocation, ways, &mut steps.news);
        for (server, wanted) in service.servers.iter().zip(&wanted.servers) {
            steps.occupy(service.id, server, wanted.thresholds);
        }
        let Wanted { key, method, lease, policy, .. } = *wanted;
        steps.actions.extend([service.pool_action(), Action::Service { key, method, lease, policy }]);
        service
    }

    fn reload(
        self,
        wanted: &Wanted,
        allocation: &Allocation,
        ways: &BTreeMap<IpAddr, Way>,
        steps: &mut Steps,
    ) -> Self {
        if self.wanted == *wanted {
            return self;
        }
        let (id, key, quorum) = (self.id, wanted.key, self.quorum);
        let before = self.published();
        let order: Vec<IpAddr> = self.list.iter().map(|&place| self.servers[place].rip).collect();
        let thresholds = self.wanted.servers.iter().map(|server| server.thresholds);
        let mut old: BTreeMap<IpAddr, (RealServer, [u32; 2])> =
            self.servers.into_iter().zip(thresholds).map(|old| (old.0.rip, old)).collect();
        let mut servers = Vec::with_capacity(wanted.servers.len());
        let mut rows = BTreeMap::new();
        for wanted in &wanted.servers {
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
                    steps.actions.push(Action::Limits { row, thresholds });
                }
                server
            } else {
                let server = RealServer::new(wanted, key, allocation, ways);
                steps.news.extend(News::added(&server, key));
                server
            };
            servers.push(server);
        }
        for (server, _) in old.into_values() {
            steps.news.extend(News::removed(&server, key));
            steps.vacated.push(server.row.row);
        }
        let mut service = Self { wanted: wanted.clone(), id, servers, quorum, list: Vec::new() };
        steps.news.extend(service.call());
        service.list = list(&order, &service.servers);
        // Nobody is to be picked whose row says that he must not be.
        let mut quiescent = Vec::new();
        for (server, wanted) in service.servers.iter().zip(&wanted.servers) {
            let row = server_action(id, server);
            match rows.get(&server.rip) {
                None => steps.occupy(id, server, wanted.thresholds),
                Some(before) if *before == row => {}
                Some(_) if server.effective_weight() == 0 => quiescent.push(row),
                Some(_) => steps.actions.push(row),
            }
        }
        let Wanted { method, lease, policy, .. } = *wanted;
        if (method, lease, policy) != (self.wanted.method, self.wanted.lease, self.wanted.policy) {
            steps.actions.push(Action::Service { key, method, lease, policy });
        }
        if service.published() != before {
            steps.actions.push(service.pool_action());
        }
        steps.actions.extend(quiescent);
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

impl Steps {
    fn occupy(&mut self, service: u16, server: &RealServer, thresholds: [u32; 2]) {
        self.actions.push(Action::Occupy { row: server.row.row, thresholds });
        self.actions.push(server_action(service, server));
    }
}

#[cfg(test)]
mod tests;
