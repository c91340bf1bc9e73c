//! What `xlvs status` tells: the document that the daemon sends and the command prints.

mod checks;
mod configuration;
mod text;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::{Deserialize, Serialize};

use crate::{
    config::model::Protocol,
    plan::{ServiceKey, mapped},
};

pub use self::checks::{Check, Checks, Delay};
pub use self::configuration::{Configuration, Failure, Reload};

/// The whole document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since it was ready.
    pub uptime_seconds: u64,
    /// `native` or `generic`.
    pub mode: String,
    /// The configuration in force.
    #[serde(default)]
    pub configuration: Configuration,
    /// Where the program is attached.
    pub interfaces: Vec<Interface>,
    /// Do the virtual routers answer? While they do not, there are no `instances`, and nobody knows here how they stand.
    #[serde(default = "yes")]
    pub vrrp_answers: bool,
    /// The virtual routers.
    pub instances: Vec<Instance>,
    /// The virtual services.
    pub services: Vec<Service>,
    /// The checks of real servers.
    #[serde(default)]
    pub checks: Checks,
    /// The tables of connections.
    #[serde(default)]
    pub flows: Flows,
    /// Packets by the way they left the program.
    pub counters: BTreeMap<String, u64>,
}

/// Told by a daemon that does not say otherwise.
const fn yes() -> bool {
    true
}

/// An interface the program is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
}

/// A `vrrp_instance`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// How often it went into each state.
    #[serde(default)]
    pub transitions: BTreeMap<String, u64>,
    /// Adverts sent.
    pub adverts_sent: u64,
    /// Adverts heard and accepted.
    pub adverts_received: u64,
    /// Adverts refused, by reason.
    pub adverts_refused: BTreeMap<String, u64>,
}

/// A virtual service.
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the document by itself")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// The VIP; of a service by firewall mark, the unspecified address of its family.
    pub address: IpAddr,
    /// The port; 0 for a service on every port, or by firewall mark.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`; `FWM` for a service by firewall mark.
    pub protocol: String,
    /// The firewall mark.
    #[serde(default)]
    pub fwmark: Option<u32>,
    /// The name in `lb_algo`.
    pub scheduler: String,
    /// Its flags, as in `lb_algo` and in ipvsadm's `-b`.
    #[serde(default)]
    pub scheduler_flags: Vec<String>,
    /// How long clients stay with their real server.
    #[serde(default)]
    pub persistence: Option<Persistence>,
    /// Are UDP packets balanced one by one (`ops`)?
    #[serde(default)]
    pub one_packet: bool,
    /// May connections begin in their middle (`sloppy_tcp`)?
    #[serde(default)]
    pub sloppy: bool,
    /// The `vrrp_instance` that owns the VIP.
    pub instance: Option<String>,
    /// Are packets to it forwarded here, or is another node master of that instance?
    pub active: bool,
    /// The weight of real servers that must be up (`quorum`).
    #[serde(default)]
    pub quorum: u32,
    /// Is less up, so that it is the turn of the sorry server if there is one?
    #[serde(default)]
    pub quorum_lost: bool,
    /// Is it as somebody made or changed it by hand, and not as the file says?
    #[serde(default)]
    pub by_hand: bool,
    /// Connections scheduled.
    pub connections: u64,
    /// Connections there are now in an active state, as IPVS counts.
    pub active_connections: u32,
    /// The others there are now: closing ones, and UDP.
    pub inactive_connections: u32,
    /// Packets from clients.
    pub packets: u64,
    /// Their bytes from the IP header on.
    pub bytes: u64,
    /// What it counts in a second, as a running mean.
    #[serde(default)]
    pub rates: Rates,
    /// Its real servers in the order of the configuration, and then its sorry server.
    pub servers: Vec<RealServer>,
}

/// How clients stay with their real servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Persistence {
    /// For how many seconds after the last new connection.
    pub timeout_seconds: u32,
    /// Clients whose addresses begin with the same so many bits are one client.
    pub granularity: u8,
    /// Does a client leave a real server of weight 0 (`expire_quiescent_template`)?
    pub expire_quiescent: bool,
}

/// A real server of a service.
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the document by itself")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RealServer {
    /// The RIP.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The weight configured, with what checks make of it; 0 while it is drained.
    pub weight: u16,
    /// With so many connections it gets no new ones (`uthreshold`); 0 for no limit.
    #[serde(default)]
    pub upper_threshold: u32,
    /// With fewer than so many it gets new ones again (`lthreshold`).
    #[serde(default)]
    pub lower_threshold: u32,
    /// Up, down or unresolved.
    pub state: ServerState,
    /// Why it takes no new connections, if it does not.
    pub reason: Option<String>,
    /// May new connections go to it?
    pub eligible: bool,
    /// Is it this host?
    pub local: bool,
    /// Is it the sorry server (`sorry_server`)?
    #[serde(default)]
    pub sorry: bool,
    /// Is it as somebody made or changed it by hand, and not as the file says?
    #[serde(default)]
    pub by_hand: bool,
    /// Its checks in the order of the configuration.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// The weight that `xlvs undrain` gives back, while it is drained.
    #[serde(default)]
    pub draining: Option<u16>,
    /// Its or its gateway's MAC address.
    pub mac: Option<String>,
    /// The interface towards it.
    pub interface: Option<String>,
    /// Connections scheduled.
    pub connections: u64,
    /// Connections there are now in an active state, as IPVS counts.
    pub active_connections: u32,
    /// The others there are now: closing ones, and UDP.
    pub inactive_connections: u32,
    /// Packets from clients.
    pub packets: u64,
    /// Their bytes from the IP header on.
    pub bytes: u64,
    /// What it counts in a second, as a running mean.
    #[serde(default)]
    pub rates: Rates,
}

/// What is counted in a second: a sample every two seconds, of which a quarter goes into it, as ipvsadm tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rates {
    /// New connections.
    pub connections: u64,
    /// Packets from clients.
    pub packets: u64,
    /// Their bytes from the IP header on.
    pub bytes: u64,
}

/// The tables of connections, of each address family one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Flows {
    /// That of IPv4.
    pub ipv4: FlowTable,
    /// That of IPv6.
    pub ipv6: FlowTable,
}

/// How full a table of connections is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowTable {
    /// Connections and templates of persistence in it, as they were counted last: about once a second.
    pub entries: u64,
    /// How many it has room for.
    pub capacity: u64,
}

/// How a real server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServerState {
    /// Its checks pass and the way to it is known.
    Up,
    /// A check failed.
    Down,
    /// Its MAC address is not known.
    Unresolved,
}

impl ServerState {
    const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Unresolved => "unresolved",
        }
    }
}

impl Service {
    /// Which one it is.
    fn key(&self) -> ServiceKey {
        match self.fwmark {
            Some(mark) => ServiceKey::of_mark(self.address.is_ipv6(), mark),
            None => ServiceKey {
                vip: mapped(self.address),
                protocol: Protocol::named(&self.protocol).map_or(0, Protocol::number),
                port: self.port,
            },
        }
    }

    /// As ipvsadm writes it: `TCP 192.0.2.10:80`, `FWM 3 IPv6`.
    pub fn name(&self) -> String {
        self.key().to_string()
    }
}

impl RealServer {
    /// Its address and port: `192.0.2.11:80`.
    pub fn name(&self) -> String {
        SocketAddr::new(self.address, self.port).to_string()
    }
}

/// The JSON Schema of what `xlvs status --json` prints.
pub fn schema() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Status>()
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
