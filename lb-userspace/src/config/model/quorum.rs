//! When a virtual server has enough real servers, and what happens when it has not.

use std::net::IpAddr;

use super::Forwarding;
use super::vrrp::Command;
use crate::config::source::Span;

/// `quorum` and its kin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// The sum of weights that must be up.
    pub least: u32,
    /// How far beyond [`Self::least`] the sum must go, either way; less than that.
    pub hysteresis: u32,
    /// Run when it is gained.
    pub up: Option<Command>,
    /// Run when it is lost.
    pub down: Option<Command>,
    /// `smtp_alert`: whether mail tells of it.
    pub smtp_alert: Option<bool>,
}

impl Default for Quorum {
    fn default() -> Self {
        Self { least: 1, hysteresis: 0, up: None, down: None, smtp_alert: None }
    }
}

/// `sorry_server`: who gets the connections while there is no quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SorryServer {
    /// The address, of the family of the virtual server.
    pub address: IpAddr,
    /// The port; under direct routing always that of the virtual server.
    pub port: u16,
    /// How a packet is handed to it.
    pub forwarding: Forwarding,
    /// `sorry_server_inhibit`: while there is a quorum it stays in the list, with weight 0.
    pub inhibit: bool,
    /// Where it stands in the file.
    pub span: Span,
}
