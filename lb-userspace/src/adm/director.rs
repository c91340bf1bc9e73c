//! A running director as ipvsadm's table: what can be listed of it, and how its status reads there.

use std::net::{IpAddr, Ipv4Addr};

use super::{
    command::{Columns, Command, Listing, View},
    state::{
        Connections, Counts, Family, Forwarding, ListedServer, ListedService, Netmask, Protocol, Server,
        ServerId, Service, ServiceId, Tunnel,
    },
    table::Table,
    values,
};
use crate::status::{self, Persistence, ServerState, Status};

/// Whether a director can answer a command: services are listed and saved, and there are no daemons; the rest it does not tell,
/// and its services are those of its configuration.
pub const fn answers(command: &Command) -> bool {
    match command {
        Command::Help | Command::Version | Command::Save { .. } => true,
        Command::List(Listing { view, .. }) => match view {
            View::Services { columns, .. } => {
                matches!(columns, Columns::Plain | Columns::Stats | Columns::Thresholds | Columns::Tunnels)
            }
            View::Daemons => true,
            View::Connections { .. } | View::Timeouts => false,
        },
        _ => false,
    }
}

impl Table {
    /// The services of a director, as the kernel has those that keepalived gives it: without the real servers that a check took
    /// out, or whose turn it is not.
    pub fn of(status: &Status) -> Self {
        let mut services: Vec<_> = status.services.iter().rev().filter_map(listed).collect();
        services.sort_by_key(|listed| matches!(listed.service.id, ServiceId::Mark { .. }));
        Self { services, ..Self::default() }
    }
}

fn listed(service: &status::Service) -> Option<ListedService> {
    let id = id(service)?;
    let flags = values::flags(&service.scheduler_flags.join(","), &service.scheduler);
    let server = |server: &status::RealServer| listed_server(server, id);
    Some(ListedService {
        service: Service {
            id,
            scheduler: service.scheduler.clone(),
            flags: flags.unwrap_or_default(),
            persistence: service.persistence.map(|persistence| persistence.timeout_seconds),
            netmask: service.persistence.map_or(Netmask::whole(id.family()), |all| netmask(all, id.family())),
            engine: String::new(),
            one_packet: service.one_packet,
        },
        counts: counts(service.connections, service.packets, service.bytes),
        rates: Counts::default(),
        servers: service.servers.iter().rev().filter(|server| !server.withdrawn).map(server).collect(),
    })
}

fn id(service: &status::Service) -> Option<ServiceId> {
    let (address, port) = (service.address, service.port);
    if let Some(mark) = service.fwmark {
        return Some(ServiceId::Mark { mark, family: Family::of(address) });
    }
    let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let protocol = protocols.into_iter().find(|protocol| protocol.name() == service.protocol)?;
    Some(ServiceId::Address { protocol, address, port })
}

fn netmask(persistence: Persistence, family: Family) -> Netmask {
    let length = u32::from(persistence.granularity);
    match family {
        Family::V4 => {
            Netmask::V4(Ipv4Addr::from_bits(u32::MAX.checked_shl(32u32.saturating_sub(length)).unwrap_or(0)))
        }
        Family::V6 => Netmask::V6(length),
    }
}

/// Under direct routing nothing is seen of what servers answer.
fn counts(connections: u64, packets: u64, bytes: u64) -> Counts {
    Counts { connections, in_packets: packets, in_bytes: bytes, ..Counts::default() }
}

fn listed_server(server: &status::RealServer, service: ServiceId) -> ListedServer {
    let port = match service {
        ServiceId::Address { port, .. } => port,
        ServiceId::Mark { .. } => 0,
    };
    // The kernel knows nothing of MAC addresses that are not known.
    let has_weight = server.eligible || server.state == ServerState::Unresolved;
    let address: IpAddr = server.address;
    ListedServer {
        server: Server {
            id: ServerId { address, port },
            forwarding: Forwarding::Route,
            tunnel: Tunnel::default(),
            weight: if has_weight { server.weight.into() } else { 0 },
            upper_threshold: server.upper_threshold,
            lower_threshold: server.lower_threshold,
        },
        connections: Connections {
            active: server.active_connections,
            inactive: server.inactive_connections,
            persistent: 0,
        },
        counts: counts(server.connections, server.packets, server.bytes),
        rates: Counts::default(),
    }
}
