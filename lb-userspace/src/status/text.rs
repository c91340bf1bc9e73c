//! The status as one screen for people.

use std::{
    fmt::{self, Write as _},
    net::{IpAddr, Ipv4Addr},
};

use anstream::adapter::strip_str;
use anstyle::{AnsiColor, Style};
use lb_common::counters::Counter;

use super::{
    Check, FlowTable, Flows, Instance, Persistence, Rates, RealServer, ServerState, Service, Status,
};
use crate::vrrp::wire::Refusal;

/// What is as it should be, what is not, names, and everything else.
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const STRONG: Style = Style::new().bold();
const PLAIN: Style = Style::new();

impl Status {
    /// One screen for people, without colours.
    pub fn to_text(&self) -> String {
        strip_str(&self.to_styled()).to_string()
    }

    /// The same with the escape codes of colours.
    pub fn to_styled(&self) -> String {
        let mut text = String::new();
        let interfaces: Vec<&str> = self.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        let Self { version, pid, uptime_seconds, mode, .. } = self;
        let on = interfaces.join(", ");
        let _infallible =
            writeln!(text, "xlvs {version}, pid {pid}, up {uptime_seconds} s, {mode} XDP on {on}");
        text.push_str(&self.configuration.to_text());
        if !self.vrrp_answers {
            let _infallible = writeln!(
                text,
                "\n{BAD}the virtual routers do not answer{BAD:#}: whether one is master here is not known"
            );
        }
        for instance in &self.instances {
            instance.write_text(&mut text);
        }
        for service in &self.services {
            service.write_text(&mut text);
        }
        text.push_str(&self.checks.to_text());
        self.flows.write_text(&mut text);
        text.push_str("\nPackets\n");
        for counter in Counter::ALL {
            if let Some(count @ 1..) = self.counters.get(counter.name()) {
                let name = counter.name();
                let style = if name.starts_with("drop") { BAD } else { PLAIN };
                let _infallible =
                    writeln!(text, "  {count:>12} {style}{name:<26}{style:#} {}", counter.explanation());
            }
        }
        text
    }
}

impl Instance {
    fn write_text(&self, text: &mut String) {
        let Self { name, state, seconds, priority, interface, virtual_router_id, .. } = self;
        let style = match state.as_str() {
            "MASTER" => GOOD,
            "FAULT" => BAD,
            _ => PLAIN,
        };
        let _infallible = write!(
            text,
            "\n{name} {style}{state}{style:#} for {seconds} s: priority {priority}, VRID {virtual_router_id} on {interface}, {}",
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
            let _infallible = writeln!(text, "  {BAD}in fault: {fault}{BAD:#}");
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
        let Self { scheduler, active_connections, inactive_connections, .. } = self;
        let Self { connections, packets, bytes, .. } = self;
        let name = self.name();
        let flags = self.flags();
        let owner = match &self.instance {
            Some(instance) if self.active => format!(", active by {instance}"),
            Some(instance) => format!(", not master of {instance}"),
            None => String::new(),
        };
        let quorum = if self.quorum_lost {
            format!(", {BAD}without its quorum of {}{BAD:#}", self.quorum)
        } else {
            String::new()
        };
        let by_hand = if self.by_hand { ", by hand" } else { "" };
        let _infallible = writeln!(
            text,
            "\n{STRONG}{name}{STRONG:#} {scheduler}{flags}{owner}{quorum}{by_hand}: {active_connections} active, {inactive_connections} inactive, \
             {connections} connections, {packets} packets, {bytes} bytes{}",
            self.rates.to_text()
        );
        for server in &self.servers {
            let at = server.name();
            let way = match (&server.mac, &server.interface) {
                _ if server.local => "this host".to_owned(),
                (Some(mac), Some(interface)) => format!("{mac} on {interface}"),
                _ => "-".to_owned(),
            };
            let style = match server.state {
                ServerState::Up => GOOD,
                ServerState::Down | ServerState::Unresolved => BAD,
            };
            let _infallible = writeln!(
                text,
                "  -> {at:<26} weight {:<5} {style}{:<10}{style:#} {:>8} active {:>8} inactive {:>10} connections {:>12} packets {:>14} bytes  {way}{}{}",
                server.weight,
                server.state.name(),
                server.active_connections,
                server.inactive_connections,
                server.connections,
                server.packets,
                server.bytes,
                server.remarks(),
                server.rates.to_text()
            );
            server.write_checks(text);
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

impl Rates {
    /// Nothing where nothing comes.
    fn to_text(self) -> String {
        let Self { connections, packets, bytes } = self;
        if self == Self::default() {
            return String::new();
        }
        format!("; {connections} connections/s, {packets} packets/s, {bytes} bytes/s")
    }
}

impl Flows {
    fn write_text(&self, text: &mut String) {
        for (family, FlowTable { entries, capacity }) in [("IPv4", self.ipv4), ("IPv6", self.ipv6)] {
            if entries > 0 {
                let _infallible =
                    write!(text, "\n{entries} of {capacity} places in the table of {family} are taken\n");
            }
        }
    }
}

impl RealServer {
    /// Each of its checks, where one has failed and it has others.
    fn write_checks(&self, text: &mut String) {
        if self.checks.len() < 2 || self.checks.iter().all(|check| check.failure.is_none()) {
            return;
        }
        for Check { kind, failure } in &self.checks {
            let _infallible = match failure {
                Some(reason) => writeln!(text, "     {kind} {BAD}fails{BAD:#}: {reason}"),
                None => writeln!(text, "     {kind} passes"),
            };
        }
    }

    /// What is said of it only if there is something to say.
    fn remarks(&self) -> String {
        let mut remarks = String::new();
        if self.sorry {
            remarks.push_str("  sorry server");
        }
        if self.by_hand {
            remarks.push_str("  by hand");
        }
        if let Some(weight) = self.draining {
            let _infallible = write!(remarks, "  draining, weight {weight} before");
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
