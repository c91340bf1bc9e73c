//! Owns what mail says of a change: subjects and bodies as keepalived writes them. Sends nothing.

use std::fmt;
use std::net::IpAddr;

use crate::plan::{ServiceKey, protocol_name, unmapped};

/// A change that people are told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The subject, without the name of the node.
    pub subject: String,
    /// The text.
    pub body: String,
}

/// Whose state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Router<'a> {
    /// A `vrrp_instance`.
    Instance(&'a str),
    /// A `vrrp_sync_group`.
    Group(&'a str),
}

impl Alert {
    /// That a virtual router or group went into `state`, one of `MASTER`, `BACKUP`, `FAULT` and `STOP`; of others
    /// nobody is told.
    pub fn of_router(router: Router<'_>, state: &str) -> Option<Self> {
        let body = match (router, state) {
            (Router::Instance(_), "MASTER") => "=> VRRP Instance is now owning VRRP VIPs <=",
            (Router::Instance(_), "BACKUP" | "FAULT") => "=> VRRP Instance is no longer owning VRRP VIPs <=",
            (Router::Instance(_), "STOP") => "=> VRRP Instance stopping <=",
            (Router::Group(_), "MASTER") => "=> All VRRP group instances are now in MASTER state <=",
            (Router::Group(_), "BACKUP") => "=> All VRRP group instances are now in BACKUP state <=",
            (Router::Group(_), "FAULT") => "=> All VRRP group instances are now in FAULT state <=",
            (Router::Group(_), "STOP") => "=> All VRRP group instances are now stopping <=",
            _ => return None,
        };
        let what = if state == "STOP" { "Stopping".to_owned() } else { format!("Entering {state} state") };
        let subject = match router {
            Router::Instance(name) => format!("VRRP Instance {name} - {what}"),
            Router::Group(name) => format!("VRRP Group {name} - {what}"),
        };
        Some(Self { subject, body: body.to_owned() })
    }

    /// That a real server of `service` came up or went down, and why.
    pub fn of_server(server: IpAddr, service: &Name<'_>, is_up: bool, why: &str) -> Self {
        let subject =
            format!("Realserver {} of virtual server {service} - {}", service.at(server), state(is_up));
        Self { subject, body: format!("=> {why} <=") }
    }

    /// That the quorum of `service` was gained or lost, and by which numbers: `Gained quorum 1+0=1 <= 3`.
    pub fn of_quorum(service: &Name<'_>, is_up: bool, why: &str) -> Self {
        Self { subject: format!("Virtualserver {service} - {}", state(is_up)), body: format!("=> {why} <=") }
    }
}

const fn state(is_up: bool) -> &'static str {
    if is_up { "UP" } else { "DOWN" }
}

/// A virtual server as keepalived names it in mail and FIFOs: `[192.0.2.1]:tcp:80`, `[G1]:tcp:80`, `FWM 3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// The service, or the first of its group.
    pub key: ServiceKey,
    /// The group that it is for.
    pub group: Option<&'a str>,
}

impl Name<'_> {
    /// A real server of it: `[192.0.2.11]:tcp:80`.
    pub fn at(&self, server: IpAddr) -> String {
        match self.key.mark() {
            Some(_) => format!("[{server}]"),
            None => format!("[{server}]:{}:{}", self.protocol(), self.key.port),
        }
    }

    fn protocol(&self) -> String {
        protocol_name(self.key.protocol).to_ascii_lowercase()
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.group, self.key.mark()) {
            (Some(group), None) => write!(f, "[{group}]:{}:{}", self.protocol(), self.key.port),
            (Some(group), Some(_)) => write!(f, "[{group}]"),
            (None, Some((_, mark))) => write!(f, "FWM {mark}"),
            (None, None) => write!(f, "[{}]:{}:{}", unmapped(self.key.vip), self.protocol(), self.key.port),
        }
    }
}
