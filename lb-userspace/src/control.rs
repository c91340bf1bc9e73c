//! The director's decisions: events about real servers in, changes to the maps out.
//!
//! Nothing here waits, reads a clock or touches a map. The loop in `io` executes the actions in their order.

mod index;
mod news;
mod quorum;
mod real_server;
mod reload;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::IpAddr};

use lb_common::{
    layout::{NextHop, Policy, ServerInfo},
    sched::Method,
};

use self::index::Index;
pub use self::{news::News, quorum::Quorum, real_server::RealServer, reload::Next};
use crate::{
    health::Verdict,
    plan::{Allocation, ServiceKey, Wanted, WantedServer},
};

/// The way to a real server, as the network adapter sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is this host.
    Local,
    /// Through this interface to this MAC address.
    Through(NextHop),
    /// None: why.
    None(String),
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The way to an address changed.
    Way(IpAddr, Way),
    /// A health check came to a verdict.
    Check(u32, Verdict),
}

/// A change to make to the maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write a row of `servers`.
    Server {
        /// The row.
        row: u16,
        /// Its way.
        next_hop: NextHop,
        /// Its state.
        info: ServerInfo,
        /// Its RIP.
        rip: IpAddr,
    },
    /// Publish a service's list of (row of `servers`, weight) in IPVS's order, head first.
    Pool(ServiceKey, Vec<(u16, u16)>),
    /// Give a row to a real server, whose counts begin with nothing.
    Occupy {
        /// The row.
        row: u16,
        /// Its limits of connections, as [`WantedServer::thresholds`].
        thresholds: [u32; 2],
    },
    /// Change a real server's limits of connections.
    Limits {
        /// Its row.
        row: u16,
        /// As [`WantedServer::thresholds`].
        thresholds: [u32; 2],
    },
    /// Change what a service is besides its list; one that comes is found by packets from then on.
    Service {
        /// Which.
        key: ServiceKey,
        /// How it picks.
        method: Method,
        /// Row of `leases`.
        lease: u16,
        /// What its new connections depend on besides.
        policy: Policy,
    },
    /// Let no packet find a service any more.
    Withdraw(ServiceKey),
    /// Take a row from its real server, whose flows end.
    Vacate {
        /// The row.
        row: u16,
        /// A generation that no server ever had.
        generation: u16,
    },
}

/// A virtual service.
#[derive(Clone, Debug)]
pub struct VirtualService {
    /// What was asked for.
    pub wanted: Wanted,
    /// Row of `cursors`.
    pub id: u16,
    /// Its real servers in the order of the configuration.
    pub servers: Vec<RealServer>,
    /// Whether enough of them are up.
    pub quorum: Quorum,
    /// Places in `servers`, as IPVS lists them: what was added last comes first.
    list: Vec<usize>,
}

impl AsRef<Wanted> for VirtualService {
    fn as_ref(&self) -> &Wanted {
        &self.wanted
    }
}

/// Everything the director knows of its services.
#[derive(Clone, Debug)]
pub struct Director {
    /// By their keys.
    pub services: BTreeMap<ServiceKey, VirtualService>,
    /// Which of them an event concerns.
    index: Index,
    /// What people were not told of yet.
    news: Vec<News>,
}

impl Director {
    /// A director whose real servers all stand in their lists and of whose ways nothing is known yet.
    pub fn new(wanted: &[Wanted], allocation: &Allocation) -> Self {
        let ways = BTreeMap::new();
        let mut news = Vec::new();
        let mut service = |service| VirtualService::new(service, allocation, &ways, &mut news);
        let services = wanted.iter().map(|wanted| (wanted.key, service(wanted))).collect();
        let mut index = Index::default();
        for wanted in wanted {
            index.note(wanted);
        }
        Self { services, index, news }
    }

    /// Every row and every pool, for maps that are empty.
    pub fn everything(&self) -> Vec<Action> {
        let servers =
            self.services.values().flat_map(|s| s.servers.iter().map(|server| server_action(s.id, server)));
        let pools = self.services.values().map(VirtualService::pool_action);
        servers.chain(pools).collect()
    }

    /// Takes an event in; says what to change.
    pub fn handle(&mut self, event: &Event) -> Vec<Action> {
        let mut actions = Vec::new();
        for key in self.index.concerned(event) {
            if let Some(service) = self.services.get_mut(key) {
                service.handle(event, &mut actions, &mut self.news);
            }
        }
        actions
    }

    /// The services that an event concerns.
    pub fn concerned(&self, event: &Event) -> impl Iterator<Item = &VirtualService> {
        self.index.concerned(event).iter().filter_map(|key| self.services.get(key))
    }

    /// Has a service a real server with this address?
    pub fn names(&self, rip: IpAddr) -> bool {
        self.index.names(rip)
    }

    /// What changed since the last call that people are told of.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }
}

impl VirtualService {
    /// All of its real servers stand in its list, except those whose checks count as failed yet; the ways are those that
    /// are known.
    fn new(
        wanted: &Wanted,
        allocation: &Allocation,
        ways: &BTreeMap<IpAddr, Way>,
        news: &mut Vec<News>,
    ) -> Self {
        let server = |server| RealServer::new(server, wanted.key, allocation, ways);
        let servers: Vec<RealServer> = wanted.servers.iter().map(server).collect();
        let quorum = Quorum::default();
        let id = allocation.service_row(&wanted.key);
        let mut service = Self { wanted: wanted.clone(), id, servers, quorum, list: Vec::new() };
        news.extend(service.servers.iter().filter_map(|server| News::added(server, wanted.key)));
        news.extend(service.call());
        service.list =
            (0..service.servers.len()).rev().filter(|&place| service.servers[place].is_listed()).collect();
        service
    }

    fn handle(&mut self, event: &Event, actions: &mut Vec<Action>, news: &mut Vec<News>) {
        let wanted = &self.wanted.servers;
        let concerns = |(place, server): (usize, &RealServer)| match event {
            Event::Way(rip, _) => *rip == server.rip,
            Event::Check(check, _) => wanted[place].checks.contains(check),
        };
        let concerned: Vec<usize> =
            self.servers.iter().enumerate().filter(|of| concerns(*of)).map(|(place, _)| place).collect();
        if concerned.is_empty() {
            return;
        }
        let (rows, published) = (self.rows(), self.published());
        for place in concerned {
            let server = &mut self.servers[place];
            match event {
                Event::Way(_, way) => news.extend(server.take(way, self.wanted.key)),
                Event::Check(check, verdict) => {
                    let (before, from) = (news::Health::of(server, *check), server.wanted_weight());
                    server.judge(*check, verdict);
                    let (service, server, to) = (self.wanted.key, &*server, server.wanted_weight());
                    if from != to && !matches!(verdict, Verdict::Down { .. }) {
                        news.push(News::Weight { service, server: server.rip, from, to });
                    }
                    news.extend(before.change(server, *check, service));
                }
            }
        }
        news.extend(self.call());
        self.relist();
        self.change(&rows, &published, actions);
    }

    /// The servers in its list, the head first.
    pub fn listed(&self) -> impl Iterator<Item = (&RealServer, &WantedServer)> {
        self.list.iter().map(|&place| (&self.servers[place], &self.wanted.servers[place]))
    }

    fn rows(&self) -> Vec<Action> {
        self.servers.iter().map(|server| server_action(self.id, server)).collect()
    }

    /// Takes out of the list who is not to be in it any more; who comes, comes at its head.
    fn relist(&mut self) {
        let servers = &self.servers;
        self.list.retain(|&place| servers[place].is_listed());
        for (place, server) in servers.iter().enumerate() {
            if server.is_listed() && !self.list.contains(&place) {
                self.list.insert(0, place);
            }
        }
    }

    /// What makes `rows` and the list of before those of now: nobody is to be picked whose row says that he must not be.
    fn change(&self, rows: &[Action], published: &[(u16, u16, u16)], actions: &mut Vec<Action>) {
        let changed = self.servers.iter().zip(rows).filter_map(|(server, before)| {
            let row = server_action(self.id, server);
            (row != *before).then_some((server.effective_weight() == 0, row))
        });
        let (quiescent, eligible): (Vec<_>, Vec<_>) = changed.partition(|(is_quiescent, _)| *is_quiescent);
        let pool = (self.published() != published).then(|| self.pool_action());
        let row = |(_, row)| row;
        actions.extend(eligible.into_iter().map(row).chain(pool).chain(quiescent.into_iter().map(row)));
    }

    /// What its list and its ring are made of: rows, weights of this moment, weights configured.
    fn published(&self) -> Vec<(u16, u16, u16)> {
        let servers = self.list.iter().map(|&place| &self.servers[place]);
        servers.map(|server| (server.row.row, server.effective_weight(), server.weight)).collect()
    }

    fn pool_action(&self) -> Action {
        let member = |&place: &usize| (self.servers[place].row.row, self.servers[place].effective_weight());
        Action::Pool(self.wanted.key, self.list.iter().map(member).collect())
    }
}

fn server_action(service: u16, server: &RealServer) -> Action {
    let next_hop = match server.way {
        Way::Through(hop) => hop,
        Way::Local | Way::None(_) => NextHop::default(),
    };
    let info = ServerInfo {
        generation: server.row.generation,
        // A ring keeps the places of a server that gets nothing new.
        weight: Some(server.wanted_weight()).filter(|weight| *weight > 0).unwrap_or(server.weight),
        service,
        state: server.state().0 as u8,
        quiescent: u8::from(server.effective_weight() == 0),
    };
    Action::Server { row: server.row.row, next_hop, info, rip: server.rip }
}
