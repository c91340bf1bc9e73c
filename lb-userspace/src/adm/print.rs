//! A table to the texts that ipvsadm prints of it.

mod save;
mod services;

use std::{fmt::Write as _, net::IpAddr};

use super::{
    command::{Listing, View},
    names::Names,
    state::{Connection, Daemon, Netmask, Protocol, Role, ServerId, ServiceId, Timeouts},
    table::{Denial, Table},
};

pub use save::save;

/// The program that is spoken like, with the version of its date.
pub(super) const VERSION: &str = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)";

/// What a listing shows.
///
/// # Errors
/// The one service that it is of is not there.
pub fn list(table: &Table, listing: &Listing, names: &impl Names) -> Result<String, Denial> {
    let places = Places { numeric: listing.numeric, names };
    match listing.view {
        View::Services { only, columns, sorted } => {
            services::list(table, only, &services::Style { columns, sorted, exact: listing.exact, places })
        }
        View::Connections { engines } => {
            let lines = table.connections.iter();
            let lines = lines.map(|connection| connection_line(connection, engines, listing.numeric, names));
            Ok([connections_head(engines)].into_iter().chain(lines).collect())
        }
        View::Timeouts => {
            let Timeouts { tcp, tcp_fin, udp } = table.timeouts;
            Ok(format!("Timeout (tcp tcpfin udp): {tcp} {tcp_fin} {udp}\n"))
        }
        View::Daemons => {
            let of = |role| table.daemons.iter().filter(move |daemon| daemon.role == role);
            Ok(Role::ALL.into_iter().flat_map(of).map(daemon).collect())
        }
    }
}

/// How addresses and ports are written.
struct Places<'a, N> {
    numeric: bool,
    names: &'a N,
}

impl<N: Names> Places<'_, N> {
    /// An address with its port, each by its name where it has one and names are wanted.
    fn write(&self, address: IpAddr, port: u16, protocol: Option<Protocol>) -> String {
        let host = if self.numeric { None } else { self.names.host_at(address) };
        let service = protocol
            .filter(|_| !self.numeric)
            .and_then(|protocol| self.names.service_at(port, protocol))
            .unwrap_or_else(|| port.to_string());
        match (address, host) {
            (IpAddr::V4(address), None) => format!("{address}:{service}"),
            (IpAddr::V6(address), None) => format!("[{address}]:{service}"),
            (IpAddr::V4(_), Some(host)) => format!("{host}:{service}"),
            (IpAddr::V6(_), Some(host)) => format!("[{host}]:{service}"),
        }
    }

    fn server(&self, id: ServerId, service: ServiceId) -> String {
        let protocol = match service {
            ServiceId::Address { protocol, .. } => Some(protocol),
            // A mark is of no protocol, and a port without one has no name.
            ServiceId::Mark { .. } => None,
        };
        self.write(id.address, id.port, protocol)
    }
}

/// What a netmask adds, where it says anything.
fn mask(netmask: Netmask) -> Option<String> {
    match netmask {
        _ if netmask.is_whole() => None,
        Netmask::V4(mask) => Some(mask.to_string()),
        Netmask::V6(length) => Some(length.to_string()),
    }
}

/// What stands above connections.
pub fn connections_head(engines: bool) -> String {
    let (state, source, service, server) = ("state", "source", "virtual", "destination");
    let mut text = format!("IPVS connection entries\npro expire {state:<11} {source:<18} {service:<18} ");
    let _infallible = if engines {
        let (name, data) = ("pe name", "pe_data");
        writeln!(text, "{server:<18} {name:<16} {data}")
    } else {
        writeln!(text, "{server}")
    };
    text
}

/// The line of a connection.
pub fn connection_line(connection: &Connection, engines: bool, numeric: bool, names: &impl Names) -> String {
    let Connection { protocol, expires, state, engine, .. } = connection;
    let named = Protocol::named(protocol);
    let places = Places { numeric, names };
    let [client, service, server] = [connection.client, connection.service, connection.server]
        .map(|(at, port)| places.write(at, port, named));
    let expires = format!("{:02}:{:02}", expires / 60, expires % 60);
    let head = format!("{protocol:<3} {expires:<6} {state:<11} {client:<18} {service:<18}");
    match engine {
        Some((name, data)) if engines => format!("{head} {server:<16} {name:<18} {data}\n"),
        _ => format!("{head} {server}\n"),
    }
}

fn daemon(daemon: &Daemon) -> String {
    let Daemon { role, interface, sync_id, max_length, group, port, ttl } = daemon;
    let mut text = format!("{} sync daemon (mcast={interface}, syncid={sync_id}", role.name());
    let facts = [
        ("maxlen", max_length.map(|length| length.to_string())),
        ("group", group.map(|group| group.to_string())),
        ("port", port.map(|port| port.to_string())),
        ("ttl", ttl.map(|ttl| ttl.to_string())),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            let _infallible = write!(text, ", {name}={value}");
        }
    }
    text.push_str(")\n");
    text
}
