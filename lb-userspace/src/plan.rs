//! From the services wanted to rows of the maps: who gets which row, and where each service stands in its table.
//!
//! Rows outlive the daemon: an allocation is read back from pinned maps, and a real server that is still wanted
//! keeps its row and generation, so that its flows keep their server.

mod change;
mod regions;
mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
};

use lb_common::{
    layout::{Address, MARK_PROTOCOL, MAX_POOL, MAX_SERVERS, MAX_SERVICES, PRESENCE, Policy},
    sched::Method,
};

pub use change::{Change, changes};
pub use regions::Regions;
pub use table::{Moves, Place, ServiceTable};

/// What identifies a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// The VIP.
    pub vip: Address,
    /// IP protocol number.
    pub protocol: u8,
    /// Port, host order; 0 for a service on every port.
    pub port: u16,
}

impl ServiceKey {
    /// The service of the packets with a firewall mark, in one address family.
    pub const fn of_mark(is_v6: bool, mark: u32) -> Self {
        Self { vip: Address::mark(is_v6, mark), protocol: MARK_PROTOCOL, port: 0 }
    }

    /// Is it of IPv6?
    pub const fn is_v6(&self) -> bool {
        match self.mark() {
            Some((is_v6, _)) => is_v6,
            None => !self.vip.is_v4(),
        }
    }

    /// Family and firewall mark, if it is a service by firewall mark.
    pub const fn mark(&self) -> Option<(bool, u32)> {
        let [_, _, _, is_v6, .., a, b, c, d] = self.vip.octets;
        if self.protocol == MARK_PROTOCOL {
            Some((is_v6 != 0, u32::from_be_bytes([a, b, c, d])))
        } else {
            None
        }
    }

    /// The entry of the table that says that `vip` is one.
    pub const fn of_presence(vip: Address) -> Self {
        Self { vip, protocol: PRESENCE, port: 0 }
    }
}

impl fmt::Display for ServiceKey {
    /// As ipvsadm writes it: `TCP 192.0.2.10:80`, `FWM 3 IPv6`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = protocol_name(self.protocol);
        match self.mark() {
            Some((is_v6, mark)) => write!(f, "{protocol} {mark}{}", if is_v6 { " IPv6" } else { "" }),
            None => write!(f, "{protocol} {}", SocketAddr::new(unmapped(self.vip), self.port)),
        }
    }
}

/// A virtual service that is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub key: ServiceKey,
    /// How it picks.
    pub method: Method,
    /// Row of `leases`: the virtual router that owns the VIP, 0 when none does.
    pub lease: u16,
    /// What its new connections depend on besides.
    pub policy: Policy,
    /// The sum of weights that must be up.
    pub quorum: u32,
    /// How far beyond the quorum the sum must go for a change.
    pub hysteresis: u32,
    /// Its real servers in the order of the configuration, and behind them the sorry server, if it has one.
    pub servers: Vec<WantedServer>,
}

/// A real server of a service that is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedServer {
    /// Its RIP.
    pub rip: IpAddr,
    /// Its weight.
    pub weight: u16,
    /// With how many connections it is overloaded, and below how many no longer; 0 for none and for the default.
    pub thresholds: [u32; 2],
    /// A failed check takes its weight and not its place.
    pub inhibit_on_failure: bool,
    /// The numbers of its health checks.
    pub checks: Vec<u32>,
    /// Those of them that count as failed until they pass.
    pub alpha: Vec<u32>,
    /// It is the sorry server: it gets connections while there is no quorum, and only then.
    pub is_sorry: bool,
    /// The weight it had before it was drained by hand: no check gives it one, and a quorum counts this.
    pub drained: Option<u16>,
}

impl Wanted {
    /// One that nobody in particular owns, with no more than this said of it.
    pub fn new(key: ServiceKey, method: Method, servers: Vec<WantedServer>) -> Self {
        Self { key, method, lease: 0, policy: Policy::default(), quorum: 1, hysteresis: 0, servers }
    }
}

impl WantedServer {
    /// One without limits and checks.
    pub const fn new(rip: IpAddr, weight: u16) -> Self {
        Self {
            rip,
            weight,
            thresholds: [0; 2],
            inhibit_on_failure: false,
            checks: Vec::new(),
            alpha: Vec::new(),
            is_sorry: false,
            drained: None,
        }
    }
}

/// Whether one director holds these services with so many real servers each.
///
/// # Errors
/// [`PlanError`] when it does not.
pub fn within_limits(services: impl Iterator<Item = (ServiceKey, usize)>) -> Result<(), PlanError> {
    let (mut count, mut rows, mut longest) = (0, 0, None);
    for (service, servers) in services {
        count += 1;
        rows += servers;
        if servers > MAX_POOL {
            longest = longest.or(Some(PlanError::Pool { service, count: servers }));
        }
    }
    match longest {
        _ if count > MAX_SERVICES => Err(PlanError::Services(count)),
        Some(error) => Err(error),
        None if rows > MAX_SERVERS => Err(PlanError::Servers(rows)),
        None => Ok(()),
    }
}

/// An address as the maps hold it.
pub fn mapped(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(v4) => Address::v4(v4.octets()),
        IpAddr::V6(v6) => Address { octets: v6.octets() },
    }
}

/// An address of the maps as people write it.
pub fn unmapped(address: Address) -> IpAddr {
    std::net::Ipv6Addr::from(address.octets).to_canonical()
}

/// An IP protocol's name as people write it, and what stands in its place for a service by firewall mark.
pub const fn protocol_name(protocol: u8) -> &'static str {
    match protocol {
        6 => "TCP",
        17 => "UDP",
        132 => "SCTP",
        MARK_PROTOCOL => "FWM",
        _ => "?",
    }
}

/// More was asked for than one director holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Too many virtual services.
    #[error(
        "{0} virtual servers are configured and one director holds {MAX_SERVICES}: split them over directors"
    )]
    Services(usize),
    /// Too many real servers in one service.
    #[error("{service} has {count} real servers and a service holds {MAX_POOL}: split the service")]
    Pool {
        /// The service.
        service: ServiceKey,
        /// Real servers asked for.
        count: usize,
    },
    /// Too many real servers in all.
    #[error(
        "the configuration needs {0} rows of real servers and one director holds {MAX_SERVERS}: split it"
    )]
    Servers(usize),
}

/// A real server's row and the generation it was given with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Row of `servers`.
    pub row: u16,
    /// Differs from that of every server that had the row before.
    pub generation: u16,
}

/// Who has which row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocation {
    /// Rows of `cursors` by service.
    pub services: BTreeMap<ServiceKey, u16>,
    /// Rows of `servers` by service and RIP.
    pub servers: BTreeMap<(ServiceKey, Address), Row>,
    /// The generation the next new server gets.
    pub next_generation: u16,
    /// The generation of the rows that nobody has any more; no server ever had it.
    pub vacant: u16,
}

impl Allocation {
    /// The allocation for `wanted` that keeps every row of `self` that is still wanted.
    ///
    /// # Errors
    /// [`PlanError`] when there are more than a director holds.
    pub fn assign(&self, wanted: &[Wanted]) -> Result<Self, PlanError> {
        self.assign_without(wanted, &Self::default())
    }

    /// The same while the program runs with the rows of `self`: new services and, where there are rows enough, new servers
    /// get those that nobody has now, for what is under way may still touch the others.
    ///
    /// # Errors
    /// [`PlanError`] when there are more than a director holds.
    pub fn assign_beside(&self, wanted: &[Wanted]) -> Result<Self, PlanError> {
        if self.is_of(wanted) {
            return Ok(self.clone());
        }
        let services = Self { services: self.services.clone(), ..Self::default() };
        let next = self.assign_without(wanted, self).or_else(|_| self.assign_without(wanted, &services))?;
        let is_gone = |server| !next.servers.contains_key(server);
        if self.servers.keys().any(is_gone) {
            let next_generation = next.next_generation.wrapping_add(1);
            return Ok(Self { vacant: next.next_generation, next_generation, ..next });
        }
        Ok(next)
    }

    /// Has everyone of `wanted`, where nobody is named twice, a row, and nobody else?
    fn is_of(&self, wanted: &[Wanted]) -> bool {
        let servers: usize = wanted.iter().map(|service| service.servers.len()).sum();
        let mut keys = wanted.iter().flat_map(|s| s.servers.iter().map(|server| (s.key, mapped(server.rip))));
        (wanted.len(), servers) == (self.services.len(), self.servers.len())
            && wanted.iter().all(|service| self.services.contains_key(&service.key))
            && keys.all(|key| self.servers.contains_key(&key))
    }

    /// Nobody gets a row that another has in `avoided`.
    fn assign_without(&self, wanted: &[Wanted], avoided: &Self) -> Result<Self, PlanError> {
        let mut next = Self { next_generation: self.next_generation, vacant: self.vacant, ..Self::default() };
        // So that row numbers last, those that are kept or avoided besides.
        within_limits(wanted.iter().map(|service| (service.key, service.servers.len())))?;
        let kept = wanted.iter().filter_map(|service| self.services.get(&service.key));
        let mut service_rows = Free::without(kept.chain(avoided.services.values()).copied());
        let keys = || wanted.iter().flat_map(|s| s.servers.iter().map(|server| (s.key, mapped(server.rip))));
        let kept = keys().filter_map(|key| self.servers.get(&key));
        let mut server_rows = Free::without(kept.chain(avoided.servers.values()).map(|row| row.row));
        for service in wanted {
            let row = self.services.get(&service.key).copied().unwrap_or_else(|| service_rows.take());
            next.services.insert(service.key, row);
        }
        for key in keys() {
            let row = self.servers.get(&key).copied().unwrap_or_else(|| {
                let generation = next.next_generation;
                next.next_generation = generation.wrapping_add(1);
                Row { row: server_rows.take(), generation }
            });
            next.servers.insert(key, row);
        }
        match next.server_rows() {
            rows if rows > MAX_SERVERS => Err(PlanError::Servers(rows)),
            _ => Ok(next),
        }
    }

    /// Rows that `servers` must have.
    pub fn server_rows(&self) -> usize {
        self.servers.values().map(|row| usize::from(row.row) + 1).max().unwrap_or(1)
    }

    /// Rows that `cursors` must have.
    pub fn service_rows(&self) -> usize {
        self.services.values().map(|row| usize::from(*row) + 1).max().unwrap_or(1)
    }
}

/// Row numbers nobody has, lowest first.
struct Free {
    taken: BTreeSet<u16>,
    next: u16,
}

impl Free {
    fn without(taken: impl IntoIterator<Item = u16>) -> Self {
        Self { taken: taken.into_iter().collect(), next: 0 }
    }

    fn take(&mut self) -> u16 {
        while self.taken.contains(&self.next) {
            self.next += 1;
        }
        self.next += 1;
        self.next - 1
    }
}

#[cfg(test)]
mod testing {
    use lb_common::sched::Scheduler;

    use super::*;

    pub(super) fn key(port: u16) -> ServiceKey {
        ServiceKey { vip: Address::v4([10, 0, 0, 100]), protocol: 6, port }
    }

    pub(super) fn service(port: u16, servers: &[u8]) -> Wanted {
        let server = |last: &u8| WantedServer::new(IpAddr::from([10, 0, 0, *last]), 1);
        let servers = servers.iter().map(server).collect();
        Wanted { lease: port, ..Wanted::new(key(port), Scheduler::Rr.into(), servers) }
    }
}

#[cfg(test)]
mod tests;
