//! What a configuration says of VRRP: instances, groups of them, and what they track. Reads no text.

mod held;
mod notify;
mod tracking;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::source::Span;

pub use held::{Broadcast, RouteKind, Scope, VirtualAddress, VirtualRoute, VirtualRule};
pub use notify::{Command, Fifo, FifoLines, Notify, User};
pub use tracking::{Overwrite, ParamMatch, Track, TrackFile, TrackProcess, Tracks, VrrpScript};

/// Everything about VRRP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vrrp {
    /// What `global_defs` says for all instances.
    pub globals: VrrpGlobals,
    /// Every `vrrp_instance`, in the order of the file.
    pub instances: Vec<VrrpInstance>,
    /// Every `vrrp_sync_group`.
    pub sync_groups: Vec<SyncGroup>,
    /// Every `vrrp_script` that is tracked by anything.
    pub scripts: Vec<VrrpScript>,
    /// Every `track_file` (`vrrp_track_file`).
    pub files: Vec<TrackFile>,
    /// Every `vrrp_track_process`.
    pub processes: Vec<TrackProcess>,
}

impl Vrrp {
    /// Every interface that is named or made for an instance, once.
    pub fn interfaces(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for instance in &self.instances {
            names.extend(instance.interface.clone());
            names.extend(instance.vmac.as_ref().map(|vmac| vmac.name.clone()));
            names.extend(instance.owned().filter_map(|owned| owned.dev.clone()));
            names.extend(instance.tracks.interfaces.iter().map(|track| track.name.clone()));
        }
        for group in &self.sync_groups {
            names.extend(group.tracks.interfaces.iter().map(|track| track.name.clone()));
        }
        names
    }
}

/// What `global_defs` says about VRRP as a whole; what it says for each instance is filled in there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VrrpGlobals {
    /// `notify_fifo` and `vrrp_notify_fifo`: each gets a line for every transition.
    pub fifos: Vec<Fifo>,
    /// Who runs scripts that name nobody: `script_user`.
    pub script_user: Option<User>,
    /// `enable_script_security`: a script that somebody else than its user or root may write is not run.
    pub script_security: bool,
    /// `vrrp_startup_delay`: nothing is sent or heard before.
    pub startup_delay: Duration,
    /// `vrrp_delay_after_boot`: nor before the host runs so long.
    pub delay_after_boot: Duration,
    /// `vrrp_rt_priority`: the real-time priority of the thread, 1 to 99.
    pub rt_priority: Option<u8>,
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// RFC 3768; over IPv6 only keepalived speaks it, without authentication.
    #[default]
    V2 = 2,
    /// RFC 5798 and RFC 9568.
    V3 = 3,
}

/// An address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    #[default]
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The number of bits in an address.
    pub const fn width(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// The standing an instance begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InitialState {
    /// `state MASTER`: preempts whatever `nopreempt` says, and without `priority` it is the address owner.
    Master,
    /// `state BACKUP`, or none given.
    #[default]
    Backup,
}

/// How adverts of version 2 are authenticated.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Authentication {
    /// Eight bytes in clear, filled with zeros.
    Pass([u8; 8]),
    /// The key of an `IPsec` authentication header with HMAC-MD5-96, filled with zeros.
    Ah([u8; 8]),
}

impl fmt::Debug for Authentication {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass(_) => "Pass(..)",
            Self::Ah(_) => "Ah(..)",
        })
    }
}

/// Who gets adverts, and from whom they are heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Everybody in a group on the instance's link.
    Multicast {
        /// 224.0.0.18 or `ff02::12` unless another is configured.
        group: IpAddr,
    },
    /// Named routers.
    Unicast {
        /// Their addresses.
        peers: Vec<IpAddr>,
        /// Time to live of what is sent; 255 unless configured.
        ttl: u8,
        /// `check_unicast_src`: adverts of others than the peers are refused.
        only_peers: bool,
    },
}

/// What the checksum of an IPv4 advert of version 3 covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Checksum {
    /// A pseudo-header too (RFC 5798), as keepalived does by default.
    #[default]
    WithPseudoHeader,
    /// The message alone, as in version 2: `v3_checksum_as_v2`.
    MessageOnly,
    /// A pseudo-header with 224.0.0.18 in it, whichever peer it goes to: `old_unicast_checksum`.
    OldUnicast,
}

/// A macvlan interface with the virtual router's MAC address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vmac {
    /// The interface's name; `vrrp.VRID` (`vrrp6.VRID` for IPv6) without one.
    pub name: String,
    /// `vmac_xmit_base`: adverts leave through the underlying interface.
    pub xmit_base: bool,
}

/// How a master tells its neighbours where its addresses are; gratuitous ARP and unsolicited advertisements alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcing {
    /// Messages for each address at once when it becomes master, and again after [`Self::delay`]; at least 1.
    pub repeat: u32,
    /// From becoming master to the second burst; zero for none.
    pub delay: Duration,
    /// Time between later bursts; zero for none.
    pub refresh: Duration,
    /// Messages in each later burst.
    pub refresh_repeat: u32,
    /// From the burst when a master hears a lower priority to its repetition; zero for none.
    pub lower_prio_delay: Duration,
    /// Messages in each of these bursts; zero for none.
    pub lower_prio_repeat: u32,
    /// Time between two gratuitous ARPs on one interface; zero for none.
    pub garp_interval: Duration,
    /// Time between two neighbour advertisements on one interface; zero for none.
    pub gna_interval: Duration,
}

impl Default for Announcing {
    fn default() -> Self {
        Self {
            repeat: 5,
            delay: Duration::from_secs(5),
            refresh: Duration::ZERO,
            refresh_repeat: 1,
            lower_prio_delay: Duration::from_secs(5),
            lower_prio_repeat: 5,
            garp_interval: Duration::ZERO,
            gna_interval: Duration::ZERO,
        }
    }
}

/// One `vrrp_instance`: a virtual router, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a keyword of its own and they do not depend on each other"
)]
pub struct VrrpInstance {
    /// Its name.
    pub name: String,
    /// The interface it runs on; an instance without one does not run.
    pub interface: Option<String>,
    /// The number of the virtual router, 1 to 255.
    pub virtual_router_id: u8,
    /// The version it speaks.
    pub version: Version,
    /// The family its adverts are sent in: that of its first address unless said otherwise.
    pub family: Family,
    /// `vrrp_strict` or `strict_mode`; what it changes is changed in the other fields.
    pub strict: bool,
    /// The standing it begins with.
    pub state: InitialState,
    /// 1 to 254, or 255 for the owner of the addresses; trackers move it.
    pub priority: u8,
    /// Time between two adverts: whole seconds in version 2, hundredths up to 40.95 s in version 3.
    pub advert_interval: Duration,
    /// How many intervals without an advert make a master down.
    pub down_timer_adverts: u8,
    /// Of version 2.
    pub authentication: Option<Authentication>,
    /// Whether it takes over from a master of a lower priority.
    pub preempt: bool,
    /// How long it waits before it does.
    pub preempt_delay: Duration,
    /// Who gets its adverts.
    pub transport: Transport,
    /// The address adverts come from; the interface's first without one.
    pub source: Option<IpAddr>,
    /// `track_src_ip`: without [`Self::source`] on the host it is in fault.
    pub track_source: bool,
    /// What the checksum of version 3 covers before anything was heard of the peer.
    pub checksum: Checksum,
    /// `skip_check_adv_addr`: the addresses of an advert are not compared while the master stays the same.
    pub skip_check_addresses: bool,
    /// A virtual MAC address, if asked for.
    pub vmac: Option<Vmac>,
    /// Without it, the host refuses packets to the addresses it does not own (`no_accept`, strict mode).
    pub accept: bool,
    /// The addresses of `virtual_ipaddress`, announced in the adverts.
    pub virtual_addresses: Vec<VirtualAddress>,
    /// The addresses of `virtual_ipaddress_excluded`: owned like the others, but not announced in the adverts.
    pub excluded_addresses: Vec<VirtualAddress>,
    /// Routes that exist while it is master.
    pub routes: Vec<VirtualRoute>,
    /// Rules that exist while it is master.
    pub rules: Vec<VirtualRule>,
    /// How it announces its addresses.
    pub announcing: Announcing,
    /// `lower_prio_no_advert`: a master does not answer a lower priority at once.
    pub lower_prio_no_advert: bool,
    /// `higher_prio_send_advert`: a master that gives way sends one more advert.
    pub higher_prio_send_advert: bool,
    /// What it tracks.
    pub tracks: Tracks,
    /// `dont_track_primary`: its own interface may go down without a fault.
    pub dont_track_primary: bool,
    /// What is run on its transitions.
    pub notify: Notify,
    /// Mail on transitions, when it says so itself.
    pub smtp_alert: Option<bool>,
    /// Where it stands in the file.
    pub span: Span,
}

impl VrrpInstance {
    /// An instance of which nothing is said but its name.
    pub fn new(name: String, span: Span) -> Self {
        Self {
            name,
            interface: None,
            virtual_router_id: 0,
            version: Version::default(),
            family: Family::default(),
            strict: false,
            state: InitialState::default(),
            priority: 100,
            advert_interval: Duration::from_secs(1),
            down_timer_adverts: 3,
            authentication: None,
            preempt: true,
            preempt_delay: Duration::ZERO,
            transport: Transport::Multicast { group: MULTICAST_V4.into() },
            source: None,
            track_source: false,
            checksum: Checksum::default(),
            skip_check_addresses: false,
            vmac: None,
            accept: true,
            virtual_addresses: Vec::new(),
            excluded_addresses: Vec::new(),
            routes: Vec::new(),
            rules: Vec::new(),
            announcing: Announcing::default(),
            lower_prio_no_advert: false,
            higher_prio_send_advert: false,
            tracks: Tracks::default(),
            dont_track_primary: false,
            notify: Notify::default(),
            smtp_alert: None,
            span,
        }
    }

    /// Whether it owns `address`.
    pub fn owns(&self, address: IpAddr) -> bool {
        self.owned().any(|owned| owned.address == address)
    }

    /// Every address it holds while it is master.
    pub fn owned(&self) -> impl Iterator<Item = &VirtualAddress> {
        self.virtual_addresses.iter().chain(&self.excluded_addresses)
    }
}

/// The group of all VRRP routers, RFC 5798 section 5.1.1.2.
pub const MULTICAST_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// The same for IPv6, RFC 5798 section 5.1.2.2.
pub const MULTICAST_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// A `vrrp_sync_group`: its instances change state together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncGroup {
    /// Its name.
    pub name: String,
    /// The names of its instances, all of which exist; no instance is in two groups.
    pub members: Vec<String>,
    /// `sync_group_tracking_weight`: without it the trackers of the instances have no weights.
    pub tracking_weight: bool,
    /// What it tracks for all of them.
    pub tracks: Tracks,
    /// What is run on its transitions.
    pub notify: Notify,
    /// Mail on transitions, when it says so itself.
    pub smtp_alert: Option<bool>,
    /// Where it stands in the file.
    pub span: Span,
}
