//! What `xlvs status` tells: the document that the daemon sends and the command prints.

mod checks;
mod configuration;

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    net::{IpAddr, Ipv4Addr},
};

use lb_common::counters::Counter;
use serde::{Deserialize, Serialize};

pub use self::checks::{Checks, Delay};
pub use self::configuration::{Configuration, Failure, Reload};
use crate::vrrp::wire::Refusal;

/// The whole document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The virtual routers.
    pub instances: Vec<Instance>,
    /// The virtual services.
    pub services: Vec<Service>,
    /// The checks of real servers.
    #[serde(default)]
    pub checks: Checks,
    /// Packets by the way they left the program.
    pub counters: BTreeMap<String, u64>,
}

/// An interface the program is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
}

/// A `vrrp_instance`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// A virtual service.
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the document by itself")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Its real servers in the order of the configuration, and then its sorry server.
    pub servers: Vec<RealServer>,
}

/// How clients stay with their real servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealServer {
    /// The RIP.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The weight configured.
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
}

/// How a real server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

impl Status {
    /// One screen for people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let interfaces: Vec<&str> = self.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        let Self { version, pid, uptime_seconds, mode, .. } = self;
        let on = interfaces.join(", ");
        let _infallible =
            writeln!(text, "xlvs {version}, pid {pid}, up {uptime_seconds} s, {mode} XDP on {on}");
        text.push_str(&self.configuration.to_text());
        for instance in &self.instances {
            instance.write_text(&mut text);
        }
        for service in &self.services {
            service.write_text(&mut text);
        }
        text.push_str(&self.checks.to_text());
        text.push_str("\nPackets\n");
        for counter in Counter::ALL {
            if let Some(count @ 1..) = self.counters.get(counter.name()) {
                let _infallible =
                    writeln!(text, "  {count:>12} {:<26} {}", counter.name(), counter.explanation());
            }
        }
        text
    }
}

impl Instance {
    fn write_text(&self, text: &mut String) {
        let Self { name, state, seconds, priority, interface, virtual_router_id, .. } = self;
        let _infallible = write!(
            text,
            "\n{name} {state} for {seconds} s: priority {priority}, VRID {virtual_router_id} on {interface}, {}",
            Listed(&self.addresses)
        );
        match (self.master, self.lease_milliseconds) {
            (Some(master), None) => _ = write!(text, "; master is {master}"),
            (_, Some(left)) => _ = write!(text, "; may forward for {left} ms more"),
            (None, None) => {}
        }
        if let Some(group) = &self.group {
            let _infallible = write!(text, "\n  changes together with the sync group {group}");
        }
        let Self { masterships, adverts_sent, adverts_received, .. } = self;
        let _infallible = writeln!(
            text,
            "\n  became master: {masterships}; adverts: {adverts_sent} sent, {adverts_received} accepted"
        );
        for (name, count) in &self.adverts_refused {
            let known = Refusal::ALL.into_iter().find(|refusal| refusal.name() == name);
            let reason = match known {
                Some(refusal) => refusal.explanation(),
                // Told by a daemon of another version.
                None => name,
            };
            let _infallible = writeln!(text, "  adverts refused: {count}, {reason}");
        }
        for fault in &self.faults {
            let _infallible = writeln!(text, "  in fault: {fault}");
        }
    }
}

/// Addresses with commas between them.
struct Listed<'a>(&'a [IpAddr]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, address) in self.0.iter().enumerate() {
            write!(f, "{}{address}", if place == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Service {
    fn write_text(&self, text: &mut String) {
        let Self { protocol, scheduler, active_connections, inactive_connections, .. } = self;
        let Self { connections, packets, bytes, .. } = self;
        let at = match self.fwmark {
            Some(mark) if self.address.is_ipv6() => format!("{mark} IPv6"),
            Some(mark) => mark.to_string(),
            None => endpoint(self.address, self.port),
        };
        let flags = self.flags();
        let owner = match &self.instance {
            Some(instance) if self.active => format!(", active by {instance}"),
            Some(instance) => format!(", not master of {instance}"),
            None => String::new(),
        };
        let quorum =
            if self.quorum_lost { format!(", without its quorum of {}", self.quorum) } else { String::new() };
        let by_hand = if self.by_hand { ", by hand" } else { "" };
        let _infallible = writeln!(
            text,
            "\n{protocol} {at} {scheduler}{flags}{owner}{quorum}{by_hand}: {active_connections} active, {inactive_connections} inactive, \
             {connections} connections, {packets} packets, {bytes} bytes"
        );
        for server in &self.servers {
            let at = endpoint(server.address, server.port);
            let way = match (&server.mac, &server.interface) {
                _ if server.local => "this host".to_owned(),
                (Some(mac), Some(interface)) => format!("{mac} on {interface}"),
                _ => "-".to_owned(),
            };
            let _infallible = writeln!(
                text,
                "  -> {at:<26} weight {:<5} {:<10} {:>8} active {:>8} inactive {:>10} connections {:>12} packets {:>14} bytes  {way}{}",
                server.weight,
                server.state.name(),
                server.active_connections,
                server.inactive_connections,
                server.connections,
                server.packets,
                server.bytes,
                server.remarks()
            );
        }
    }

    /// As ipvsadm writes them, and those it does not know.
    fn flags(&self) -> String {
        let mut flags = String::new();
        if let Some(Persistence { timeout_seconds, granularity, expire_quiescent }) = self.persistence {
            let _infallible = write!(flags, " persistent {timeout_seconds}");
            _ = match self.address {
                IpAddr::V4(_) if granularity < 32 => {
                    let mask = u32::MAX.checked_shl(32 - u32::from(granularity)).unwrap_or(0);
                    write!(flags, " mask {}", Ipv4Addr::from_bits(mask))
                }
                IpAddr::V6(_) if granularity < 128 => write!(flags, " mask {granularity}"),
                IpAddr::V4(_) | IpAddr::V6(_) => Ok(()),
            };
            if expire_quiescent {
                flags.push_str(" expire-quiescent");
            }
        }
        for (is_set, flag) in [(self.one_packet, " ops"), (self.sloppy, " sloppy")] {
            if is_set {
                flags.push_str(flag);
            }
        }
        flags
    }
}

impl RealServer {
    /// What is said of it only if there is something to say.
    fn remarks(&self) -> String {
        let mut remarks = String::new();
        if self.sorry {
            remarks.push_str("  sorry server");
        }
        if self.by_hand {
            remarks.push_str("  by hand");
        }
        if self.upper_threshold > 0 {
            let Self { upper_threshold, lower_threshold, .. } = self;
            let _infallible =
                write!(remarks, "  at most {upper_threshold} connections, again below {lower_threshold}");
        }
        if let Some(reason) = &self.reason {
            let _infallible = write!(remarks, "  ({reason})");
        }
        remarks
    }
}

fn endpoint(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

#[cfg(test)]
mod tests;
