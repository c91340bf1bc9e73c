//! What is told of a packet's way.

use std::net::IpAddr;

use lb_common::counters::Counter;
use serde::{Deserialize, Serialize};

use super::question::Question;

/// The whole of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The packet.
    pub packet: Question,
    /// The interface it comes in by.
    pub interface: String,
    /// The service it is for.
    pub service: Option<FoundService>,
    /// Where there is none: services of the same address, or else of the same port.
    pub near: Vec<String>,
    /// The lease of the virtual router that owns the address; nothing if none owns it.
    pub lease: Option<KnownLease>,
    /// Its flow.
    pub flow: Option<KnownFlow>,
    /// Its client's template of persistence, where it was looked for.
    pub template: Option<KnownFlow>,
    /// What the scheduler looks at, where it was asked.
    pub scheduling: Option<Scheduling>,
    /// By what the real server was found.
    pub by: Option<PickedBy>,
    /// What would be recorded: `flow`, `template`.
    pub records: Vec<String>,
    /// What becomes of it: one outcome, unless chance decides.
    pub outcomes: Vec<Outcome>,
}

/// A service, and how the packet came to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundService {
    /// As ipvsadm writes it.
    pub service: String,
    /// By what.
    pub by: FoundBy,
}

/// By what a service is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundBy {
    /// Address, port and protocol.
    Address,
    /// The firewall mark that a rule gives to the packet.
    Mark(u32),
    /// It may be FTP's data.
    Ftp,
    /// It is on every port.
    EveryPort,
}

/// A lease as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownLease {
    /// Row of `leases`.
    pub row: u16,
    /// The VRID.
    pub virtual_router_id: u8,
    /// The `vrrp_instance`.
    pub instance: Option<String>,
    /// Its state, as the status names it.
    pub state: Option<String>,
    /// For how long this node may forward; 0 if it may not.
    pub milliseconds: u64,
}

/// A flow or a template as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFlow {
    /// Its state, as ipvsadm names it.
    pub state: String,
    /// Since when nothing was seen of it.
    pub idle_seconds: u32,
    /// When it is forgotten if nothing comes.
    pub left_seconds: u32,
    /// Its real server, if that is there.
    pub server: Option<IpAddr>,
    /// What it means for the packet.
    pub stands: Stands,
}

/// What a flow or a template means for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stands {
    /// The packet goes to its server.
    Serves,
    /// It closes, and the packet opens another connection.
    Over,
    /// Its server takes no new connections, and its clients are to leave it (`expire_quiescent_template`).
    Quiescent,
    /// Its server has no known MAC address at the moment.
    Unresolved,
    /// Its server is gone or down.
    ServerGone,
}

/// What a scheduler looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduling {
    /// The scheduler.
    pub name: String,
    /// Where it stands, if it goes around.
    pub standing: Option<String>,
    /// The list that is published, in its order.
    pub candidates: Vec<Candidate>,
}

impl Scheduling {
    pub(super) fn mark(&mut self, rows: &[u16], picked: Picked) {
        let candidates = self.candidates.iter_mut().filter(|candidate| rows.contains(&candidate.row));
        candidates.for_each(|candidate| candidate.picked = picked);
    }
}

/// A real server in the list of its service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its address.
    pub address: IpAddr,
    /// Row of `servers`.
    pub row: u16,
    /// Its weight in the list; under wrr the weights are divided by their greatest common divisor.
    pub weight: u16,
    /// Its active connections.
    pub active_connections: u32,
    /// Its others.
    pub inactive_connections: u32,
    /// It has reached its limit of connections.
    pub overloaded: bool,
    /// Under lblc and lblcr, which addition to the address's servers it was; 0 if it is none of them.
    pub joined: u32,
    /// Whether it is picked.
    pub picked: Picked,
}

/// Whether a real server is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Picked {
    /// No.
    No,
    /// Yes.
    Next,
    /// If chance has it so.
    Perhaps,
}

/// By what a packet's real server is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PickedBy {
    /// Its flow.
    Flow,
    /// Its client's template.
    Template,
    /// The scheduler.
    Scheduler,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The real server that it is for.
    pub server: Option<RealServer>,
    /// How it leaves.
    pub verdict: Verdict,
}

/// A real server and the way to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealServer {
    /// Its address.
    pub address: IpAddr,
    /// Row of `servers`.
    pub row: u16,
    /// The number that flows of this server carry.
    pub generation: u16,
    /// Its configured weight.
    pub weight: u16,
    /// The MAC address that the frame is sent to.
    pub mac: Option<[u8; 6]>,
    /// The interface that it leaves by.
    pub interface: Option<String>,
}

/// How a packet leaves the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// In what way.
    pub action: Action,
    /// The counter's name.
    pub counter: String,
    /// What it counts.
    pub explanation: String,
}

impl Verdict {
    pub(super) fn new(action: Action, counter: Counter) -> Self {
        let (name, explanation) = (counter.name(), counter.explanation());
        Self { action, counter: name.to_owned(), explanation: explanation.to_owned() }
    }
}

/// In what way a packet leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Out of the interface it came in by (`XDP_TX`).
    Tx,
    /// Out of another (`XDP_REDIRECT`).
    Redirect,
    /// To the stack (`XDP_PASS`).
    Pass,
    /// Nowhere (`XDP_DROP`).
    Drop,
    /// Back, as an ICMP error (`XDP_TX`), as long as there are not too many of them.
    Answer,
}

/// What the stages have found out so far.
#[derive(Default)]
pub(super) struct Account {
    pub(super) service: Option<FoundService>,
    pub(super) near: Vec<String>,
    pub(super) lease: Option<KnownLease>,
    pub(super) flow: Option<KnownFlow>,
    pub(super) template: Option<KnownFlow>,
    pub(super) scheduling: Option<Scheduling>,
    pub(super) by: Option<PickedBy>,
    pub(super) records: Vec<String>,
}
