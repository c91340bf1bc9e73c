//! What ipvsadm shows and changes: plain data, without a rule of its own.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

pub use crate::config::model::{Protocol, vrrp::Family};

/// What identifies a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ServiceId {
    /// Packets to an address.
    Address {
        /// The transport protocol.
        protocol: Protocol,
        /// The VIP.
        address: IpAddr,
        /// The port, 0 for all.
        port: u16,
    },
    /// Packets with a firewall mark.
    Mark {
        /// The mark, not 0.
        mark: u32,
        /// Of packets of which family.
        family: Family,
    },
}

impl ServiceId {
    /// Its family.
    pub const fn family(&self) -> Family {
        match self {
            Self::Address { address, .. } => Family::of(*address),
            Self::Mark { family, .. } => *family,
        }
    }

    /// Whether it is the unspecified address without a port.
    pub const fn is_nothing(&self) -> bool {
        matches!(self, Self::Address { address, port: 0, .. } if address.is_unspecified())
    }

    /// Its transport protocol; marks have none, and TCP's names of ports are used for them.
    pub const fn protocol(&self) -> Protocol {
        match self {
            Self::Address { protocol, .. } => *protocol,
            Self::Mark { .. } => Protocol::Tcp,
        }
    }
}

/// Which clients are one client to persistence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Netmask {
    /// A mask of an IPv4 address, of any shape.
    V4(Ipv4Addr),
    /// The length of a prefix of an IPv6 address.
    V6(u32),
}

impl Netmask {
    /// The one that makes each address a client of its own.
    pub const fn whole(family: Family) -> Self {
        match family {
            Family::V4 => Self::V4(Ipv4Addr::BROADCAST),
            Family::V6 => Self::V6(128),
        }
    }

    /// Whether it says nothing.
    pub fn is_whole(self) -> bool {
        self == Self::whole(Family::V4) || self == Self::whole(Family::V6)
    }
}

/// The three flags that mean something to the service's scheduler only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulerFlags(pub [bool; 3]);

impl SchedulerFlags {
    /// Whether one is set.
    pub fn any(self) -> bool {
        self.0.contains(&true)
    }
}

/// What is said of a virtual service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Which.
    pub id: ServiceId,
    /// The scheduler's name.
    pub scheduler: String,
    /// Its flags.
    pub flags: SchedulerFlags,
    /// For how many seconds a client stays with its server; `None` without persistence.
    pub persistence: Option<u32>,
    /// Which clients are one client to that.
    pub netmask: Netmask,
    /// The persistence engine's name, empty without one.
    pub engine: String,
    /// Each UDP packet is scheduled by itself.
    pub one_packet: bool,
}

impl Service {
    /// One of which nothing is said.
    pub const fn new(id: ServiceId) -> Self {
        Self {
            id,
            scheduler: String::new(),
            flags: SchedulerFlags([false; 3]),
            persistence: None,
            netmask: Netmask::whole(id.family()),
            engine: String::new(),
            one_packet: false,
        }
    }
}

/// How packets are handed to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Forwarding {
    /// Address translation.
    Masquerading,
    /// The server is this host.
    Local,
    /// A tunnel.
    Tunnel,
    /// Direct routing.
    Route,
}

/// What packets to a server are wrapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TunnelType {
    /// IP in IP.
    Ipip,
    /// Generic UDP encapsulation.
    Gue,
    /// Generic routing encapsulation.
    Gre,
}

impl TunnelType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ipip, Self::Gue, Self::Gre];

    /// The name on the command line and in listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipip => "ipip",
            Self::Gue => "gue",
            Self::Gre => "gre",
        }
    }
}

/// The checksum of a tunnel's outer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TunnelChecksum {
    /// None.
    None,
    /// Computed here.
    Local,
    /// Left to the other end.
    Remote,
}

/// The tunnel to a server; of meaning only where its forwarding is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// Which.
    pub kind: TunnelType,
    /// The other end's UDP port, 0 where there is none.
    pub port: u16,
    /// The outer header's checksum.
    pub checksum: TunnelChecksum,
}

impl Default for Tunnel {
    fn default() -> Self {
        Self { kind: TunnelType::Ipip, port: 0, checksum: TunnelChecksum::None }
    }
}

/// What identifies a server within its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ServerId {
    /// The RIP.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

/// What is said of a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Which.
    pub id: ServerId,
    /// How packets are handed to it.
    pub forwarding: Forwarding,
    /// The tunnel to it.
    pub tunnel: Tunnel,
    /// Its share of new connections, at most `i32::MAX`.
    pub weight: u32,
    /// With so many connections it gets no new ones; 0 for no limit.
    pub upper_threshold: u32,
    /// With fewer than so many it gets new ones again.
    pub lower_threshold: u32,
}

/// What was counted since the start or the last `-Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Connections.
    pub connections: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Packets to clients.
    pub out_packets: u64,
    /// Bytes from clients.
    pub in_bytes: u64,
    /// Bytes to clients.
    pub out_bytes: u64,
}

/// How many there are of a server's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// In an active state.
    pub active: u32,
    /// In another.
    pub inactive: u32,
    /// Templates of persistence.
    pub persistent: u32,
}

/// A server as it is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedServer {
    /// What was said of it.
    pub server: Server,
    /// Its connections.
    pub connections: Connections,
    /// In all.
    pub counts: Counts,
    /// Per second.
    pub rates: Counts,
}

/// A service as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedService {
    /// What was said of it.
    pub service: Service,
    /// In all.
    pub counts: Counts,
    /// Per second.
    pub rates: Counts,
    /// Its servers, the last one added first.
    pub servers: Vec<ListedServer>,
}

/// After what silence connections are forgotten, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// Established TCP connections.
    pub tcp: u32,
    /// TCP connections after a FIN.
    pub tcp_fin: u32,
    /// UDP.
    pub udp: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { tcp: 900, tcp_fin: 120, udp: 300 }
    }
}

/// Which half of the synchronisation a daemon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// It sends.
    Master,
    /// It receives.
    Backup,
}

impl Role {
    /// Both, in the order of a listing.
    pub const ALL: [Self; 2] = [Self::Master, Self::Backup];

    /// Its name on the command line and in listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Backup => "backup",
        }
    }
}

/// A synchronisation daemon as it was asked for, or as it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    /// Which half.
    pub role: Role,
    /// The interface of its group.
    pub interface: String,
    /// Whose messages it takes and sends.
    pub sync_id: u8,
    /// The longest message; `None` for what the interface carries.
    pub max_length: Option<u16>,
    /// The multicast group; `None` for the usual one.
    pub group: Option<IpAddr>,
    /// The UDP port; `None` for the usual one.
    pub port: Option<u16>,
    /// The TTL of its packets; `None` for the usual one.
    pub ttl: Option<u8>,
}

/// A connection as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The protocol's name: that of a service, or `IP` for a template of a firewall mark.
    pub protocol: String,
    /// Seconds until it is forgotten.
    pub expires: u32,
    /// The state's name.
    pub state: String,
    /// The client.
    pub client: (IpAddr, u16),
    /// The VIP and port.
    pub service: (IpAddr, u16),
    /// The real server.
    pub server: (IpAddr, u16),
    /// The persistence engine's name and what it keeps, if one has a part in it.
    pub engine: Option<(String, String)>,
}
