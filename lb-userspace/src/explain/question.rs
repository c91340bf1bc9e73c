//! The packet that is asked about.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use clap::ValueEnum;
use lb_common::{flow::Parts, sctp::chunk, tcp::flag};
use serde::{Deserialize, Serialize};

use crate::{
    config::model::Protocol,
    plan::{mapped, protocol_name},
};

/// Where in its connection a packet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    /// The first: a SYN, of SCTP an INIT.
    First,
    /// One from the middle: an ACK, data.
    Middle,
    /// One that closes: a FIN, a SHUTDOWN.
    Fin,
    /// One that breaks off: a RST, an ABORT.
    Reset,
}

/// A packet that a client sends to a service. Of UDP all are alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Where it comes from.
    pub source: SocketAddr,
    /// Where it goes to, in the same address family.
    pub destination: SocketAddr,
    /// Its protocol.
    pub protocol: Protocol,
    /// Where it stands.
    pub segment: Segment,
    /// The interface it comes in by; the first if none is named.
    pub interface: Option<String>,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, destination, protocol, .. } = self;
        write!(f, "{} {source} -> {destination}", protocol_name(protocol.number()))?;
        let what = match (protocol, self.segment) {
            (Protocol::Udp, _) => return Ok(()),
            (Protocol::Tcp, Segment::First) => "SYN",
            (Protocol::Tcp, Segment::Middle) => "ACK",
            (Protocol::Tcp, Segment::Fin) => "FIN",
            (Protocol::Tcp, Segment::Reset) => "RST",
            (Protocol::Sctp, Segment::First) => "INIT",
            (Protocol::Sctp, Segment::Middle) => "DATA",
            (Protocol::Sctp, Segment::Fin) => "SHUTDOWN",
            (Protocol::Sctp, Segment::Reset) => "ABORT",
        };
        write!(f, ", {what}")
    }
}

/// The packet as the stages have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    pub(super) parts: Parts,
    pub(super) is_v6: bool,
    /// TCP flags, or the type of the SCTP chunk that decides.
    pub(super) flags: u8,
}

impl Packet {
    pub(super) fn of(question: &Question) -> Self {
        let Question { source, destination, protocol, segment, .. } = question;
        let flags = match (protocol, segment) {
            (Protocol::Udp, _) | (Protocol::Sctp, Segment::Middle) => 0,
            (Protocol::Tcp, Segment::First) => flag::SYN,
            (Protocol::Tcp, Segment::Middle) => flag::ACK,
            (Protocol::Tcp, Segment::Fin) => flag::FIN | flag::ACK,
            (Protocol::Tcp, Segment::Reset) => flag::RST,
            (Protocol::Sctp, Segment::First) => chunk::INIT,
            (Protocol::Sctp, Segment::Fin) => chunk::SHUTDOWN,
            (Protocol::Sctp, Segment::Reset) => chunk::ABORT,
        };
        let address = |address: IpAddr| mapped(address);
        let parts = Parts {
            client: address(source.ip()),
            client_port: source.port(),
            vip: address(destination.ip()),
            vip_port: destination.port(),
            protocol: protocol.number(),
            is_template: false,
        };
        Self { parts, is_v6: destination.is_ipv6(), flags }
    }
}
