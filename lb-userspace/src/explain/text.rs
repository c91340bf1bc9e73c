//! An explanation for people.

use std::fmt::{self, Display, Write as _};

use super::account::{
    Action, Candidate, Explanation, FoundBy, FoundService, KnownFlow, KnownLease, Outcome, Picked, PickedBy,
    RealServer, Scheduling, Stands,
};

/// The most real servers of a list that are shown.
const SHOWN: usize = 32;

impl Explanation {
    /// The lines of `xlvs explain`.
    pub fn to_text(&self) -> String {
        let mut text = format!("{} by {}\n", self.packet, self.interface);
        // Writing to a string cannot fail.
        let _infallible = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        line(text, "service", &self.service_text())?;
        if self.service.is_some() {
            line(
                text,
                "lease",
                &self.lease.as_ref().map_or_else(|| "no virtual router owns the address".to_owned(), lease),
            )?;
            line(text, "flow", &self.flow.as_ref().map_or_else(|| "none".to_owned(), known))?;
        }
        if let Some(template) = &self.template {
            line(text, "template", &known(template))?;
        } else if self.records.iter().any(|record| record == "template") {
            line(text, "template", &"none")?;
        }
        if let Some(scheduling) = &self.scheduling {
            scheduled(text, scheduling)?;
        }
        let may = self.outcomes.len() > 1;
        for outcome in &self.outcomes {
            self.outcome(text, outcome, may)?;
        }
        if !self.records.is_empty() {
            line(text, "recorded", &self.records.join(", "))?;
        }
        Ok(())
    }

    fn service_text(&self) -> String {
        match &self.service {
            Some(FoundService { service, by }) => format!("{service}{}", by_text(*by)),
            None if self.near.is_empty() => "none, and none near it".to_owned(),
            None => format!("none; near it are {}", self.near.join(", ")),
        }
    }

    fn outcome(&self, text: &mut String, outcome: &Outcome, may: bool) -> fmt::Result {
        let Outcome { server, verdict } = outcome;
        if let Some(RealServer { address, weight, mac, interface, .. }) = server {
            let by = match self.by {
                Some(PickedBy::Flow) => ", its flow's",
                Some(PickedBy::Template) => ", its client's",
                _ if may => ", if chance has it so",
                _ => ", the scheduler's pick",
            };
            let mut what = format!("{address}{by}; weight {weight}");
            if let (Some(mac), Some(interface)) = (mac, interface) {
                let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
                write!(what, "; to {mac} by {interface}")?;
            }
            line(text, "server", &what)?;
        }
        let action = match verdict.action {
            Action::Tx => "XDP_TX",
            Action::Redirect => "XDP_REDIRECT",
            Action::Pass => "XDP_PASS",
            Action::Drop => "XDP_DROP",
            Action::Answer => "XDP_TX of an ICMP error",
        };
        line(text, "verdict", &format!("{action}, {}", verdict.counter))?;
        line(text, "", &verdict.explanation)
    }
}

fn line(text: &mut String, what: &str, said: &impl Display) -> fmt::Result {
    writeln!(text, "  {what:<10} {said}")
}

fn by_text(by: FoundBy) -> String {
    match by {
        FoundBy::Address => String::new(),
        FoundBy::Mark(mark) => format!(", by the firewall mark {mark}"),
        FoundBy::Ftp => ", as what may be FTP's data".to_owned(),
        FoundBy::EveryPort => ", which is on every port".to_owned(),
    }
}

fn lease(lease: &KnownLease) -> String {
    let KnownLease { virtual_router_id, instance, state, milliseconds, .. } = lease;
    let router = match instance {
        Some(instance) => format!("{instance} (VRID {virtual_router_id})"),
        None => format!("VRID {virtual_router_id}"),
    };
    let state = state.as_ref().map_or_else(String::new, |state| format!(", {state}"));
    let may = match milliseconds {
        0 => "may not forward".to_owned(),
        left => format!("may forward for {left} ms"),
    };
    format!("{router}{state}: this node {may}")
}

fn known(flow: &KnownFlow) -> String {
    let KnownFlow { state, idle_seconds, left_seconds, server, stands } = flow;
    let server = server.map_or_else(|| "a server that is gone".to_owned(), |server| server.to_string());
    let stands = match stands {
        Stands::Serves => "",
        Stands::Over => ", over: the packet opens another",
        Stands::Quiescent => ", which takes no new connections: its clients leave it",
        Stands::Unresolved => ", which has no known MAC address at the moment",
        Stands::ServerGone => ", which is gone or down",
    };
    format!("{state}, seen {idle_seconds} s ago, {left_seconds} s left; to {server}{stands}")
}

fn scheduled(text: &mut String, scheduling: &Scheduling) -> fmt::Result {
    let Scheduling { name, standing, candidates } = scheduling;
    let standing = standing.as_ref().map_or_else(String::new, |standing| format!(", {standing}"));
    let count = candidates.len();
    line(text, "scheduler", &format!("{name} over {count} real servers{standing}"))?;
    for candidate in candidates.iter().take(SHOWN) {
        let Candidate {
            address,
            weight,
            active_connections,
            inactive_connections,
            overloaded,
            joined,
            picked,
            ..
        } = candidate;
        let arrow = match picked {
            Picked::No => "  ",
            Picked::Next => "->",
            Picked::Perhaps => "?>",
        };
        let overloaded = if *overloaded { ", overloaded" } else { "" };
        let joined = if *joined > 0 { ", serves the address" } else { "" };
        line(
            text,
            "",
            &format!(
                "{arrow} {address} weight {weight}, {active_connections} active, {inactive_connections} inactive\
                 {overloaded}{joined}"
            ),
        )?;
    }
    if count > SHOWN {
        line(text, "", &format!("   and {} more, which --json has", count - SHOWN))?;
    }
    Ok(())
}
