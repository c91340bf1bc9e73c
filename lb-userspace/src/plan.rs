//! From the services wanted to rows of the maps: who gets which row, and where each service stands in its table.
//!
//! Rows outlive the daemon: an allocation is read back from pinned maps, and a real server that is still wanted
//! keeps its row and generation, so that its flows keep their server.

mod allocation;
mod change;
mod difference;
mod regions;
mod table;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use lb_common::{
    layout::{Address, MARK_PROTOCOL, MAX_POOL, MAX_SERVERS, MAX_SERVICES, PRESENCE, Policy},
    sched::Method,
};

pub use allocation::{Allocation, Row};
pub use change::{Change, changes};
pub use difference::Difference;
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
    /// Its real servers in the order of the configuration, and behind them the sorry server, if it has one. All that name the
    /// same ones share them, which is what makes two services the same at a glance.
    pub servers: Arc<Vec<WantedServer>>,
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
        let servers = Arc::new(servers);
        Self { key, method, lease: 0, policy: Policy::default(), quorum: 1, hysteresis: 0, servers }
    }

    /// Its real servers, to be changed for it alone.
    pub fn servers_mut(&mut self) -> &mut Vec<WantedServer> {
        Arc::make_mut(&mut self.servers)
    }
}

impl AsRef<Self> for Wanted {
    fn as_ref(&self) -> &Self {
        self
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

#[cfg(test)]
mod testing {
    use std::collections::BTreeMap;

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

    pub(super) fn difference(before: &[Wanted], after: &[Wanted]) -> Difference {
        let before: BTreeMap<ServiceKey, Wanted> =
            before.iter().map(|service| (service.key, service.clone())).collect();
        Difference::between(&before, after.to_vec())
    }
}

#[cfg(test)]
mod tests;
