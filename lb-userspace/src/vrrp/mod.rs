//! Owns which virtual routers this node is master of. Refuses sockets, clocks and threads: time is a parameter, and
//! what is to be sent, announced or reported is an output that `io::vrrp` executes.

pub mod announcing;
mod changes;
pub mod machine;
mod numbers;
pub mod routers;
pub mod script;
pub mod tracking;
pub mod wire;

use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

pub use self::changes::changes;
pub use self::numbers::Numbers;
pub use self::routers::{RouterReport, Routers};

/// The state of a virtual router, RFC 5798 section 6.4, and keepalived's fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Not started, or stopped.
    #[default]
    Initialize,
    /// Another router is master, or nobody yet.
    Backup,
    /// This one is.
    Master,
    /// It cannot be: an interface, address or tracker is down.
    Fault,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Initialize, Self::Backup, Self::Master, Self::Fault];

    /// As notify scripts get it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Initialize => "STOP",
            Self::Backup => "BACKUP",
            Self::Master => "MASTER",
            Self::Fault => "FAULT",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A virtual router by its number, which [`Numbers`] gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouterId(pub usize);

impl RouterId {
    /// The row of `leases` that belongs to it: row 0 is nobody's.
    pub const fn lease_row(self) -> u16 {
        self.0 as u16 + 1
    }
}

/// A sync group by its number, which [`Numbers`] gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub usize);

/// Something that happened to the routers of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// An advert came in on the router's interface; its form was accepted.
    Heard {
        /// Whose.
        router: RouterId,
        /// The address it came from.
        source: IpAddr,
        /// What it says.
        advert: wire::Advert,
    },
    /// A packet came in that is no advert for the router, or none of a peer; it is counted.
    Refused {
        /// Whose.
        router: RouterId,
        /// Who sent it, if it says so.
        source: Option<IpAddr>,
        /// Why.
        reason: wire::Refusal,
    },
    /// The advert that [`Output::Advert`] asked for has left. Only this extends the lease.
    Sent(RouterId),
    /// An interface is up (administratively, with carrier) or not; one never named is taken to be absent.
    Interface {
        /// Its name.
        name: String,
        /// Whether it is up.
        up: bool,
    },
    /// The address the router sends from: known now, changed, or gone.
    Source {
        /// Whose.
        router: RouterId,
        /// The address.
        address: Option<IpAddr>,
    },
    /// A `vrrp_script` is up or down, after rise and fall.
    Script {
        /// Its name.
        name: String,
        /// Whether it is up.
        up: bool,
    },
    /// A `track_file` has this number in it; one that cannot be read has 0.
    File {
        /// Its name.
        name: String,
        /// The number.
        value: i32,
    },
    /// A `vrrp_track_process` is up or down, after its delays.
    Process {
        /// Its name.
        name: String,
        /// Whether it is up.
        up: bool,
    },
    /// This node stops: give the mastership away and then end.
    Stop,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send an advert to the group or to every peer; answer with [`Input::Sent`] if it left.
    Advert {
        /// Whose.
        router: RouterId,
        /// The priority to name; 0 gives the mastership away.
        priority: u8,
        /// What its checksum covers.
        checksum: crate::config::model::vrrp::Checksum,
    },
    /// The router may forward until then; without a time, at once no more.
    Lease {
        /// Whose.
        router: RouterId,
        /// Until when.
        until: Option<Instant>,
    },
    /// The router is to hold its addresses, routes and rules, or not.
    Hold {
        /// Whose.
        router: RouterId,
        /// Whether it is to.
        hold: bool,
    },
    /// Tell the neighbours of one interface where one address of the router is: one message.
    Announce {
        /// Whose.
        router: RouterId,
        /// The address.
        address: IpAddr,
    },
    /// A router's state changed.
    Changed {
        /// Whose.
        router: RouterId,
        /// From which.
        from: State,
        /// To which.
        to: State,
        /// Its effective priority now.
        priority: u8,
        /// Why, for people.
        reason: String,
    },
    /// A sync group's state changed: that of all its members now.
    GroupChanged {
        /// Whose.
        group: GroupId,
        /// To which.
        to: State,
    },
    /// Only the effective priority changed.
    Priority {
        /// Whose.
        router: RouterId,
        /// It is now.
        priority: u8,
    },
    /// As master it heard a lower priority (`notify_master_rx_lower_pri`); said once between two adverts that are due.
    HeardLower(RouterId),
    /// An advert of a known sender changed nothing, and why; already counted.
    Refused {
        /// Whose.
        router: RouterId,
        /// Who sent it.
        source: IpAddr,
        /// Why.
        reason: wire::Refusal,
    },
    /// A router that a reload took out of the configuration, or replaced, has ended. If one comes after it, it has the same
    /// number and waits for [`Input::Source`].
    Ended(RouterId),
    /// Every router has stopped: nothing more will come.
    Stopped,
}
