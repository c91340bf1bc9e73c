//! Owns what a configuration says, in types with units. Reads no text.

pub mod check;
mod mail;
mod pattern;
mod places;
mod quorum;
mod selection;
mod tls;
pub mod vrrp;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::source::Span;
use check::Checker;
use vrrp::{Command, Vrrp, VrrpInstance};

pub use mail::Mail;
pub use quorum::{Quorum, SorryServer};
pub use selection::{Group, MarkRule, Prefix, Selector};
pub use tls::TlsFiles;

/// A whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `router_id` of `global_defs`; without it the host's name is meant.
    pub router_id: Option<String>,
    /// Every `virtual_server` that is no group's, in the order of the file; [`Config::served`] are those that can run. Copies
    /// of a configuration share them, and what they share is the same at a glance.
    pub virtual_servers: Vec<Arc<VirtualServer>>,
    /// Which packets get a firewall mark; the first rule that fits decides.
    pub mark_rules: Vec<MarkRule>,
    /// `lvs_timeouts` of `global_defs`.
    pub timeouts: LvsTimeouts,
    /// Scripts and FIFOs are told of real servers that are up from the start.
    pub rs_init_notifies: bool,
    /// Who is told by mail.
    pub mail: Mail,
    /// What checks that speak TLS show of themselves.
    pub tls: Option<TlsFiles>,
    /// Who holds the virtual addresses.
    pub vrrp: Vrrp,
}

impl Config {
    /// The virtual servers that can run; the diagnostics say why another one cannot.
    pub fn served(&self) -> impl Iterator<Item = &Arc<VirtualServer>> {
        self.virtual_servers.iter().filter(|service| service.is_available())
    }

    /// The same, which shares with `before` the virtual servers that say the same, wherever they stand.
    #[must_use]
    pub fn sharing(mut self, before: &Self) -> Self {
        let known: BTreeMap<Selector, &Arc<VirtualServer>> =
            before.virtual_servers.iter().map(|service| (service.selector, service)).collect();
        for service in &mut self.virtual_servers {
            let is_same =
                |known: &&&Arc<VirtualServer>| Arc::ptr_eq(known, service) || known.says_the_same(service);
            if let Some(same) = known.get(&service.selector).filter(is_same) {
                *service = Arc::clone(same);
            }
        }
        self
    }

    /// The `vrrp_instance` whose master is to forward for `selector`: the first that runs and owns its address.
    ///
    /// A firewall mark has no address: the instance is that which owns the addresses that the mark's rules are for. Where
    /// these are several, it is the first if all change state together in one `vrrp_sync_group`, and otherwise none.
    pub fn owner(&self, selector: Selector) -> Option<&VrrpInstance> {
        let mut owners = self.owners(selector);
        let first = owners.next()?;
        let is_decided = match selector {
            Selector::Address { .. } => true,
            Selector::Mark { .. } => owners.all(|other| self.change_together(first, other)),
        };
        is_decided.then_some(first)
    }

    /// The instances that run and own an address that `selector` is for.
    pub fn owners(&self, selector: Selector) -> impl Iterator<Item = &VrrpInstance> {
        let is_for = move |owned: IpAddr| match selector {
            Selector::Address { address, .. } => address == owned,
            Selector::Mark { mark, family } => {
                let fits = |rule: &MarkRule| rule.mark == mark && rule.is_for(owned);
                vrrp::Family::of(owned) == family && self.mark_rules.iter().any(fits)
            }
        };
        let owns = move |instance: &VrrpInstance| {
            instance.interface.is_some() && instance.owned().any(|owned| is_for(owned.address))
        };
        self.vrrp.instances.iter().filter(move |instance| owns(instance))
    }

    fn change_together(&self, one: &VrrpInstance, other: &VrrpInstance) -> bool {
        let groups = &self.vrrp.sync_groups;
        groups.iter().any(|group| group.members.contains(&one.name) && group.members.contains(&other.name))
    }

    /// The interfaces of the `vrrp_instance`s, each once.
    pub fn interfaces(&self) -> BTreeSet<&str> {
        self.vrrp.instances.iter().filter_map(|instance| instance.interface.as_deref()).collect()
    }
}

/// After what silence connections are forgotten, in seconds; `None` and 0 leave it as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LvsTimeouts {
    /// Of established TCP connections.
    pub tcp: Option<u32>,
    /// Of TCP connections after a FIN.
    pub tcp_fin: Option<u32>,
    /// Of UDP.
    pub udp: Option<u32>,
}

/// One `virtual_server`: which packets it is for, and the real servers behind it.
#[expect(clippy::struct_excessive_bools, reason = "each is a keyword of its own, and any may go with any")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualServer {
    /// Which packets it is for; of a group the first.
    pub selector: Selector,
    /// The `virtual_server_group` that it is for, if it is for one.
    pub group: Option<Group>,
    /// How a real server is picked for a new connection.
    pub scheduler: Scheduler,
    /// `sh` and `mh`: the client's port counts, not only its address.
    pub hash_port: bool,
    /// `sh` and `mh`: where the real server of a client takes no connection, another one does.
    pub hash_fallback: bool,
    /// How a packet is handed to a real server that says nothing else.
    pub forwarding: Forwarding,
    /// How long a client stays with its real server; `None` when each connection is picked anew.
    pub persistence: Option<Duration>,
    /// Which clients are one client to `persistence`; `None` when each address is its own.
    pub granularity: Option<Granularity>,
    /// What its new connections depend on besides.
    pub opening: Opening,
    /// Time between two checks of a real server that says nothing else.
    pub delay_loop: Duration,
    /// When it has enough real servers, and what happens when it has not.
    pub quorum: Quorum,
    /// Who gets the connections while there is no quorum.
    pub sorry: Option<SorryServer>,
    /// `omega`: the end of the daemon is told as the end of the real servers and the quorum.
    pub omega: bool,
    /// `ha_suspend`: the checks rest while the virtual address is not here.
    pub ha_suspend: bool,
    /// The real servers, in the order of the file, no two of them with the same address and port.
    pub real_servers: Vec<RealServer>,
    /// Somebody made it or changed it by hand.
    pub by_hand: bool,
    /// Where it stands in the file.
    pub span: Span,
}

/// How the connections of a virtual server begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// `expire_quiescent_template`: a client leaves a real server of weight 0, though persistence would keep it there.
    pub expire_quiescent: bool,
    /// `ops`: UDP packets are each given a real server, and no connection is remembered.
    pub one_packet: bool,
    /// `sloppy_tcp`: connections may begin in their middle, with any segment but a reset.
    pub sloppy: bool,
}

impl VirtualServer {
    /// All packets it is for.
    pub fn selectors(&self) -> impl Iterator<Item = Selector> {
        let others = self.group.iter().flat_map(|group| &group.others).copied();
        std::iter::once(self.selector).chain(others)
    }

    /// The transport protocol of those that go to addresses; marks have none.
    pub fn protocol(&self) -> Option<Protocol> {
        self.selectors().find_map(|selector| match selector {
            Selector::Address { protocol, .. } => Some(protocol),
            Selector::Mark { .. } => None,
        })
    }

    /// Whether this version can serve it. One by hand may be without real servers, which follow or are gone.
    pub fn is_available(&self) -> bool {
        self.by_hand || self.pool().next().is_some()
    }

    /// The real servers this version can forward to.
    pub fn pool(&self) -> impl Iterator<Item = &RealServer> {
        self.real_servers.iter().filter(|server| server.forwarding.is_available())
    }
}

impl fmt::Display for VirtualServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.group {
            Some(group) => write!(f, "group {}", group.name),
            None => self.selector.fmt(f),
        }
    }
}

/// One `real_server` of a virtual server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealServer {
    /// The address.
    pub address: IpAddr,
    /// The port; under direct routing always that of the virtual server, and so 0 where that has none.
    pub port: u16,
    /// Its share of new connections.
    pub weight: Weight,
    /// The weight it gets back when it is no longer drained by hand, while its weight is 0 for that.
    pub drained: Option<Weight>,
    /// How a packet is handed to it.
    pub forwarding: Forwarding,
    /// Its checks: it is up while all of them pass.
    pub checkers: Vec<Checker>,
    /// Whether a failed check sets the weight to 0 in place of taking the server out.
    pub inhibit_on_failure: bool,
    /// `uthreshold`: with so many connections it gets no new ones; 0 for no limit.
    pub upper_threshold: u32,
    /// `lthreshold`: with fewer than so many it gets new ones again; 0 for three quarters of the upper threshold.
    pub lower_threshold: u32,
    /// `notify_up`: run when it comes up.
    pub notify_up: Option<Command>,
    /// `notify_down`: run when it goes down.
    pub notify_down: Option<Command>,
    /// `smtp_alert`: whether mail tells of it.
    pub smtp_alert: Option<bool>,
    /// Where it stands in the file.
    pub span: Span,
}

/// The share of new connections a real server gets, from 0 (none) to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(pub u16);

impl Default for Weight {
    fn default() -> Self {
        Self(1)
    }
}

/// The length of the address prefix that makes clients one client, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Granularity(pub u8);

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Its IP protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    /// Its name in files and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|protocol| protocol.name() == name)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A way to hand a packet to a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Forwarding {
    /// Direct routing: only the MAC addresses change.
    Dr,
    /// Address translation.
    Nat,
    /// A tunnel.
    Tun,
}

impl Forwarding {
    /// Whether this version can do it.
    pub const fn is_available(self) -> bool {
        match self {
            Self::Dr => true,
            Self::Nat | Self::Tun => false,
        }
    }

    /// What stands for it in the file.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Dr => "DR",
            Self::Nat => "NAT",
            Self::Tun => "TUN",
        }
    }
}

/// A rule by which a real server is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are those of ipvsadm(8), which explains them")]
pub enum Scheduler {
    Rr,
    Wrr,
    Lc,
    Wlc,
    Lblc,
    Lblcr,
    Dh,
    Sh,
    Mh,
    Sed,
    Nq,
    Fo,
    Ovf,
    Twos,
}

impl Scheduler {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Rr,
        Self::Wrr,
        Self::Lc,
        Self::Wlc,
        Self::Lblc,
        Self::Lblcr,
        Self::Dh,
        Self::Sh,
        Self::Mh,
        Self::Sed,
        Self::Nq,
        Self::Fo,
        Self::Ovf,
        Self::Twos,
    ];

    /// What stands for it in the file.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Lblc => "lblc",
            Self::Lblcr => "lblcr",
            Self::Dh => "dh",
            Self::Sh => "sh",
            Self::Mh => "mh",
            Self::Sed => "sed",
            Self::Nq => "nq",
            Self::Fo => "fo",
            Self::Ovf => "ovf",
            Self::Twos => "twos",
        }
    }
}
