//! What `xlvs status --json` says, as far as tests read it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Result, anyhow};
use serde::Deserialize;

/// The whole answer.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// `native` or `generic`.
    pub mode: String,
    /// The configuration in force.
    pub configuration: Configuration,
    /// Where the program is attached.
    pub interfaces: Vec<Interface>,
    /// Whether the virtual routers answer.
    pub vrrp_answers: bool,
    /// Virtual routers.
    pub instances: Vec<Instance>,
    /// Virtual servers.
    pub services: Vec<Service>,
    /// The checks of real servers.
    pub checks: Checks,
    /// Data-plane counters by name.
    pub counters: BTreeMap<String, u64>,
}

/// The configuration in force.
#[derive(Debug, Clone, Deserialize)]
pub struct Configuration {
    /// Since when, in seconds.
    pub seconds: u64,
    /// How often it replaced another.
    pub reloads: u64,
    /// Why the last reload failed, if it did.
    pub failure: Option<Failure>,
}

/// A reload that failed.
#[derive(Debug, Clone, Deserialize)]
pub struct Failure {
    /// Why.
    pub reason: String,
}

/// The checks of real servers.
#[derive(Debug, Clone, Deserialize)]
pub struct Checks {
    /// How many are made.
    pub count: usize,
    /// As how many.
    pub distinct: usize,
    /// How long after their moment the probes began.
    pub lateness: Vec<Delay>,
    /// How long after a verdict the data plane was as it wants.
    pub effect: Vec<Delay>,
}

/// How often something took so long.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Delay {
    /// Milliseconds that it took at most, unless it is above all bounds.
    pub within: Option<u32>,
    /// How often.
    pub count: u64,
}

/// One interface with the program.
#[derive(Debug, Clone, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index in the director's namespace.
    pub index: u32,
}

/// One `vrrp_instance`.
#[derive(Debug, Clone, Deserialize)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// The `vrrp_sync_group` it is in.
    pub group: Option<String>,
    /// The interface it runs on.
    pub interface: String,
    /// The VRID.
    pub virtual_router_id: u8,
    /// `MASTER`, `BACKUP`, `FAULT` or `STOP`.
    pub state: String,
    /// Since when, in seconds.
    pub seconds: u64,
    /// The effective priority.
    pub priority: u8,
    /// Whose adverts it hears as backup.
    pub master: Option<IpAddr>,
    /// The address it sends adverts from.
    pub source: Option<IpAddr>,
    /// How long it may forward without another advert.
    pub lease_milliseconds: Option<u64>,
    /// The addresses it owns.
    pub addresses: Vec<IpAddr>,
    /// Why it is in fault.
    pub faults: Vec<String>,
    /// How often it became master.
    pub masterships: u64,
    /// Adverts sent.
    pub adverts_sent: u64,
    /// Adverts heard and accepted.
    pub adverts_received: u64,
    /// Adverts refused, by reason.
    pub adverts_refused: BTreeMap<String, u64>,
}

/// One virtual server.
#[derive(Debug, Clone, Deserialize)]
pub struct Service {
    /// Virtual address.
    pub address: IpAddr,
    /// Virtual port.
    pub port: u16,
    /// `TCP` or `UDP`.
    pub protocol: String,
    /// `rr`, `wrr`, ...
    pub scheduler: String,
    /// The `vrrp_instance` that owns the virtual address.
    pub instance: Option<String>,
    /// Whether this node forwards for it.
    pub active: bool,
    /// The weight of real servers that must be up.
    pub quorum: u32,
    /// Whether less is up.
    pub quorum_lost: bool,
    /// Made or changed by hand.
    pub by_hand: bool,
    /// Connections scheduled.
    pub connections: u64,
    /// Active ones there are now.
    pub active_connections: u32,
    /// Inactive ones there are now.
    pub inactive_connections: u32,
    /// Packets forwarded.
    pub packets: u64,
    /// Bytes forwarded, by IP length.
    pub bytes: u64,
    /// Real servers.
    pub servers: Vec<Server>,
}

/// One real server of one virtual server.
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the document by itself")]
#[derive(Debug, Clone, Deserialize)]
pub struct Server {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Its weight.
    pub weight: u32,
    /// `up`, `down`, `unresolved` or `removed`.
    pub state: String,
    /// Why it is not up.
    pub reason: Option<String>,
    /// Whether it receives new connections.
    pub eligible: bool,
    /// Whether it is the director itself.
    pub local: bool,
    /// Whether it is the sorry server.
    pub sorry: bool,
    /// Made or changed by hand.
    pub by_hand: bool,
    /// The weight it gets back, while it is drained.
    pub draining: Option<u16>,
    /// Its link-layer address.
    pub mac: Option<String>,
    /// The interface it is reached through.
    pub interface: Option<String>,
    /// Connections scheduled to it.
    pub connections: u64,
    /// Active ones there are now.
    pub active_connections: u32,
    /// Inactive ones there are now.
    pub inactive_connections: u32,
    /// Packets forwarded to it.
    pub packets: u64,
    /// Bytes forwarded to it.
    pub bytes: u64,
}

impl Status {
    /// The only virtual server.
    ///
    /// # Errors
    /// When there is none or more than one.
    pub fn service(&self) -> Result<&Service> {
        match self.services.as_slice() {
            [service] => Ok(service),
            others => Err(anyhow!("status lists {} services, expected one", others.len())),
        }
    }

    /// The real server at `address` of the only virtual server.
    ///
    /// # Errors
    /// When it is not listed.
    pub fn server(&self, address: impl Into<IpAddr>) -> Result<&Server> {
        let address = address.into();
        let servers = &self.service()?.servers;
        servers
            .iter()
            .find(|server| server.address == address)
            .ok_or_else(|| anyhow!("status does not list {address}"))
    }
}
