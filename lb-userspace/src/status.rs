//! What `xlvs status` tells: the document that the daemon sends and the command prints.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    net::IpAddr,
};

use lb_common::counters::Counter;
use serde::{Deserialize, Serialize};

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
    /// Where the program is attached.
    pub interfaces: Vec<Interface>,
    /// The virtual routers.
    pub instances: Vec<Instance>,
    /// The virtual services.
    pub services: Vec<Service>,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The VIP.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// `TCP` or `UDP`.
    pub protocol: String,
    /// The name in `lb_algo`.
    pub scheduler: String,
    /// The `vrrp_instance` that owns the VIP.
    pub instance: Option<String>,
    /// Are packets to it forwarded here, or is another node master of that instance?
    pub active: bool,
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
    /// Its real servers in the order of the configuration.
    pub servers: Vec<RealServer>,
}

/// A real server of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealServer {
    /// The RIP.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The weight configured.
    pub weight: u16,
    /// Up, down or unresolved.
    pub state: ServerState,
    /// Why it takes no new connections, if it does not.
    pub reason: Option<String>,
    /// May new connections go to it?
    pub eligible: bool,
    /// Is it this host?
    pub local: bool,
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
        for instance in &self.instances {
            instance.write_text(&mut text);
        }
        for service in &self.services {
            service.write_text(&mut text);
        }
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
        let at = endpoint(self.address, self.port);
        let owner = match &self.instance {
            Some(instance) if self.active => format!(", active by {instance}"),
            Some(instance) => format!(", not master of {instance}"),
            None => String::new(),
        };
        let _infallible = writeln!(
            text,
            "\n{protocol} {at} {scheduler}{owner}: {active_connections} active, {inactive_connections} inactive, \
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
                server.reason.as_ref().map(|reason| format!("  ({reason})")).unwrap_or_default()
            );
        }
    }
}

fn endpoint(address: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_names_what_an_operator_asks_for() {
        let server = RealServer {
            address: IpAddr::from([10, 0, 0, 1]),
            port: 80,
            weight: 1,
            state: ServerState::Down,
            reason: Some("connection refused".into()),
            eligible: false,
            local: false,
            mac: Some("02:00:00:00:00:01".into()),
            interface: Some("eth1".into()),
            connections: 3,
            active_connections: 17,
            inactive_connections: 41,
            packets: 12,
            bytes: 900,
        };
        let status = Status {
            version: "1.2.3".into(),
            pid: 7,
            uptime_seconds: 60,
            mode: "native".into(),
            interfaces: vec![Interface { name: "eth1".into(), index: 2 }],
            instances: vec![Instance {
                name: "VI_1".into(),
                group: Some("both".into()),
                interface: "eth1".into(),
                virtual_router_id: 51,
                state: "BACKUP".into(),
                seconds: 9,
                priority: 99,
                master: Some(IpAddr::from([10, 0, 0, 3])),
                source: None,
                lease_milliseconds: None,
                addresses: vec![IpAddr::from([10, 0, 0, 100])],
                faults: Vec::new(),
                masterships: 0,
                adverts_sent: 0,
                adverts_received: 9,
                adverts_refused: BTreeMap::from([("checksum".into(), 2)]),
            }],
            services: vec![Service {
                address: IpAddr::from([10, 0, 0, 100]),
                port: 80,
                protocol: "TCP".into(),
                scheduler: "rr".into(),
                instance: Some("VI_1".into()),
                active: false,
                connections: 3,
                active_connections: 17,
                inactive_connections: 41,
                packets: 12,
                bytes: 900,
                servers: vec![server],
            }],
            counters: BTreeMap::from([("forwarded_tx".into(), 12), ("answer_ttl".into(), 0)]),
        };
        let text = status.to_text();
        for part in [
            "native XDP on eth1",
            "VI_1 BACKUP for 9 s: priority 99, VRID 51 on eth1, 10.0.0.100; master is 10.0.0.3",
            "changes together with the sync group both",
            "adverts refused: 2, its checksum is wrong",
            "TCP 10.0.0.100:80 rr, not master of VI_1",
            "down",
            "17 active       41 inactive",
            "(connection refused)",
            "12 forwarded_tx",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("answer_ttl"), "what never happened is not shown");
        let json = serde_json::to_string(&status).expect("serialises");
        assert_eq!(serde_json::from_str::<Status>(&json).expect("parses"), status);
    }
}
