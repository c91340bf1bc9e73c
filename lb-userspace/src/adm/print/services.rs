//! Listings of services and their servers.

use std::fmt::{self, Write as _};

use super::{Places, mask};
use crate::adm::{
    command::Columns,
    names::Names,
    order,
    state::{
        Counts, Family, Forwarding, ListedServer, ListedService, SchedulerFlags, ServiceId, Tunnel,
        TunnelChecksum, TunnelType,
    },
    table::{Denial, Table},
    values::{NAMED_FLAGS, NUMBERED_FLAGS},
};

/// The kernel's, of which the table follows the rules.
const VERSION: &str = "IP Virtual Server version 1.2.1 (size=4096)";
/// IPv4 services and servers are cut at these columns.
const SERVICE_WIDTH: usize = 33;
const SERVER_WIDTH: usize = 28;

/// How a listing looks.
pub(super) struct Style<'a, N> {
    pub(super) columns: Columns,
    pub(super) sorted: bool,
    pub(super) exact: bool,
    pub(super) places: Places<'a, N>,
}

pub(super) fn list<N: Names>(
    table: &Table,
    only: Option<ServiceId>,
    style: &Style<'_, N>,
) -> Result<String, Denial> {
    let services = match only {
        Some(id) => vec![table.service(id).ok_or(Denial::NoService)?],
        None if style.sorted => order::services(&table.services),
        None => table.services.iter().collect(),
    };
    let mut text = if only.is_some() { String::new() } else { format!("{VERSION}\n") };
    text.push_str(&head(style.columns));
    for service in services {
        style.write_service(&mut text, service);
    }
    Ok(text)
}

fn head(columns: Columns) -> String {
    let (service, server) = ("Prot LocalAddress:Port", "  -> RemoteAddress:Port");
    match columns {
        Columns::Plain => {
            format!("{service} Scheduler Flags\n{server}           Forward Weight ActiveConn InActConn\n")
        }
        Columns::Tunnels => format!(
            "{service} Scheduler Flags\n{server}           Forward TunnelInfo    Weight ActiveConn InActConn\n"
        ),
        Columns::Stats => wide(["Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"]),
        Columns::Rate => wide(["CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"]),
        Columns::Thresholds => {
            let names = ("Uthreshold", "Lthreshold", "ActiveConn", "InActConn");
            format!(
                "{service:<33} {:<10} {:<10} {:<10} {:<10}\n{server}\n",
                names.0, names.1, names.2, names.3
            )
        }
        Columns::PersistentConnections => {
            let names = ("Weight", "PersistConn", "ActiveConn", "InActConn");
            format!(
                "{service:<33} {:<9} {:<11} {:<10} {:<10}\n{server}\n",
                names.0, names.1, names.2, names.3
            )
        }
    }
}

fn wide(names: [&str; 5]) -> String {
    let mut text = format!("{:<33}", "Prot LocalAddress:Port");
    for name in names {
        let _infallible = write!(text, " {name:>8}");
    }
    text + "\n  -> RemoteAddress:Port\n"
}

impl<N: Names> Style<'_, N> {
    fn write_service(&self, text: &mut String, listed: &ListedService) {
        let id = listed.service.id;
        let name = self.service_name(id);
        match self.columns {
            Columns::Stats => self.write_numbers(text, &format!("{name:<33}"), &listed.counts, 0),
            Columns::Rate => self.write_numbers(text, &format!("{name:<33}"), &listed.rates, 0),
            _ => {
                let _infallible = writeln!(text, "{name} {}{}", listed.service.scheduler, remarks(listed));
            }
        }
        let servers =
            if self.sorted { order::servers(&listed.servers) } else { listed.servers.iter().collect() };
        for server in servers {
            self.write_server(text, server, id);
        }
    }

    fn service_name(&self, id: ServiceId) -> String {
        match id {
            ServiceId::Mark { mark, family } => {
                let family = if family == Family::V6 { " IPv6" } else { "" };
                format!("FWM  {}{family}", mark as i32)
            }
            ServiceId::Address { protocol, address, port } => {
                let place = self.places.write(address, port, Some(protocol));
                let name = format!("{:<4} {place}", protocol.name());
                if address.is_ipv4() { cut(name, SERVICE_WIDTH) } else { name }
            }
        }
    }

    fn write_server(&self, text: &mut String, listed: &ListedServer, service: ServiceId) {
        let ListedServer { server, connections, counts, rates } = listed;
        let name = self.places.server(server.id, service);
        let name = if server.id.address.is_ipv4() { cut(name, SERVER_WIDTH) } else { name };
        let (weight, active, inactive) = (server.weight, connections.active, connections.inactive);
        let way = way(server.forwarding);
        let _infallible = match self.columns {
            Columns::Stats => return self.write_numbers(text, &format!("  -> {name:<28}"), counts, 0),
            Columns::Rate => return self.write_numbers(text, &format!("  -> {name:<28}"), rates, 3),
            Columns::Plain => {
                writeln!(text, "  -> {name:<28} {way:<7} {weight:<6} {active:<10} {inactive:<10}")
            }
            Columns::Tunnels => {
                let tunnel = if server.forwarding == Forwarding::Tunnel {
                    tunnel(server.tunnel)
                } else {
                    "n/a".to_owned()
                };
                writeln!(
                    text,
                    "  -> {name:<28} {way:<7} {tunnel:<13} {weight:<6} {active:<10} {inactive:<10}"
                )
            }
            Columns::Thresholds => {
                let (upper, lower) = (server.upper_threshold, server.lower_threshold);
                writeln!(text, "  -> {name:<28} {upper:<10} {lower:<10} {active:<10} {inactive:<10}")
            }
            Columns::PersistentConnections => {
                let persistent = connections.persistent;
                writeln!(text, "  -> {name:<28} {weight:<9} {persistent:<11} {active:<10} {inactive:<10}")
            }
        };
    }

    /// Five numbers; so many first ones are never scaled.
    fn write_numbers(&self, text: &mut String, name: &str, counts: &Counts, unscaled: usize) {
        text.push_str(name);
        let Counts { connections, in_packets, out_packets, in_bytes, out_bytes } = *counts;
        for (place, number) in
            [connections, in_packets, out_packets, in_bytes, out_bytes].into_iter().enumerate()
        {
            let exact = self.exact || place < unscaled;
            let _infallible = write!(text, "{}", Large { number, exact });
        }
        text.push('\n');
    }
}

/// A number in nine columns, the first of them blank if there is no unit; one that may not be scaled takes what it needs.
struct Large {
    number: u64,
    exact: bool,
}

impl fmt::Display for Large {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, u64, &str); 4] = [
            (100_000_000_000_000, 1_000_000_000_000, "T"),
            (100_000_000_000, 1_000_000_000, "G"),
            (1_000_000_000, 1_000_000, "M"),
            (100_000_000, 1_000, "K"),
        ];
        let scaled = UNITS.iter().find(|(least, ..)| !self.exact && self.number >= *least);
        let (divisor, unit) = scaled.map_or((1, ""), |(_, divisor, unit)| (*divisor, *unit));
        let blank = if unit.is_empty() { " " } else { "" };
        write!(f, "{blank}{:>8}{unit}", self.number / divisor)
    }
}

/// What stands behind a scheduler's name.
fn remarks(listed: &ListedService) -> String {
    let service = &listed.service;
    let mut text = String::new();
    if service.flags.any() {
        let _infallible = write!(text, " ({})", flags(service.flags, &service.scheduler));
    }
    if let Some(seconds) = service.persistence {
        let _infallible = write!(text, " persistent {seconds}");
        if let Some(mask) = mask(service.netmask) {
            let _infallible = write!(text, " mask {mask}");
        }
        if !service.engine.is_empty() {
            let _infallible = write!(text, " pe {}", service.engine);
        }
    }
    if service.one_packet {
        text.push_str(" ops");
    }
    text
}

/// Flags by the names that the scheduler has for them; one with names of its own has none for the third.
pub(super) fn flags(flags: SchedulerFlags, scheduler: &str) -> String {
    let mut own = NAMED_FLAGS.iter().filter(|(owner, ..)| *owner == scheduler).peekable();
    let names: Vec<&str> = match own.peek() {
        Some(_) => own.filter(|(.., place)| flags.0[*place]).map(|(_, name, _)| *name).collect(),
        None => NUMBERED_FLAGS
            .into_iter()
            .zip(flags.0)
            .filter(|(_, is_set)| *is_set)
            .map(|(name, _)| name)
            .collect(),
    };
    names.join(",")
}

const fn way(forwarding: Forwarding) -> &'static str {
    match forwarding {
        Forwarding::Masquerading => "Masq",
        Forwarding::Local => "Local",
        Forwarding::Tunnel => "Tunnel",
        Forwarding::Route => "Route",
    }
}

fn tunnel(tunnel: Tunnel) -> String {
    let checksum = match tunnel.checksum {
        TunnelChecksum::None => "-c",
        TunnelChecksum::Local => "+c",
        TunnelChecksum::Remote => "r+c",
    };
    match tunnel.kind {
        TunnelType::Ipip => "ipip".to_owned(),
        TunnelType::Gue => format!("gue:{}:{checksum}", tunnel.port),
        TunnelType::Gre => format!("gre:{checksum}"),
    }
}

fn cut(mut name: String, width: usize) -> String {
    name.truncate(name.floor_char_boundary(width));
    name
}
