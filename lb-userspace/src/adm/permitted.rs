//! Which options go with which command, and with which tunnel.

use super::{options::Opt, state::TunnelType};

macro_rules! kinds {
    ($($kind:ident $name:literal)*) => {
        /// Options as messages name them, in the order in which they are looked at.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Kind { $($kind),* }

        impl Kind {
            const ALL: &[Self] = &[$(Self::$kind),*];

            const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),* }
            }
        }
    };
}

kinds! {
    Numeric "numeric"
    Connection "connection"
    Service "service-address"
    Scheduler "scheduler"
    Persistent "persistent"
    Netmask "netmask"
    Server "real-server"
    Forward "forwarding-method"
    Weight "weight"
    UThreshold "u-threshold"
    LThreshold "l-threshold"
    McastInterface "mcast-interface"
    Timeout "timeout"
    Daemon "daemon"
    Stats "stats"
    Rate "rate"
    Thresholds "thresholds"
    PersistentConn "persistent-conn"
    NoSort "nosort"
    SyncId "syncid"
    Exact "exact"
    Ops "ops"
    Pe "pe"
    SchedFlags "sched-flags"
    McastGroup "mcast-group"
    McastPort "mcast-port"
    McastTtl "mcast-ttl"
    SyncMaxlen "sync-maxlen"
    TunInfo "tun-info"
    TunType "tun-type"
    TunPort "tun-port"
    TunNocsum "tun-nocsum"
    TunCsum "tun-csum"
    TunRemcsum "tun-remcsum"
}

impl Kind {
    /// What an option counts as; `None` for those that may stand anywhere and for commands.
    pub(super) const fn of(option: Opt) -> Option<Self> {
        Some(match option {
            Opt::TcpService | Opt::UdpService | Opt::SctpService | Opt::FwmarkService => Self::Service,
            Opt::Scheduler => Self::Scheduler,
            Opt::Persistent => Self::Persistent,
            Opt::Netmask => Self::Netmask,
            Opt::RealServer => Self::Server,
            Opt::Masquerading | Opt::Ipip | Opt::Gatewaying => Self::Forward,
            Opt::Weight => Self::Weight,
            Opt::UThreshold => Self::UThreshold,
            Opt::LThreshold => Self::LThreshold,
            Opt::Numeric => Self::Numeric,
            Opt::Connection => Self::Connection,
            Opt::McastInterface => Self::McastInterface,
            Opt::SyncId => Self::SyncId,
            Opt::SyncMaxlen => Self::SyncMaxlen,
            Opt::McastGroup => Self::McastGroup,
            Opt::McastPort => Self::McastPort,
            Opt::McastTtl => Self::McastTtl,
            Opt::Timeout => Self::Timeout,
            Opt::Daemon => Self::Daemon,
            Opt::Stats => Self::Stats,
            Opt::Rate => Self::Rate,
            Opt::Thresholds => Self::Thresholds,
            Opt::PersistentConn => Self::PersistentConn,
            Opt::TunInfo => Self::TunInfo,
            Opt::NoSort => Self::NoSort,
            Opt::Exact => Self::Exact,
            Opt::Ops => Self::Ops,
            Opt::Pe => Self::Pe,
            Opt::SchedFlags => Self::SchedFlags,
            Opt::TunType => Self::TunType,
            Opt::TunPort => Self::TunPort,
            Opt::TunNocsum => Self::TunNocsum,
            Opt::TunCsum => Self::TunCsum,
            Opt::TunRemcsum => Self::TunRemcsum,
            _ => return None,
        })
    }
}

/// What was on the command line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen(u64);

impl Seen {
    /// Takes one in.
    ///
    /// # Errors
    /// What is said of one that was there before.
    pub(super) fn insert(&mut self, kind: Kind) -> Result<(), String> {
        if self.has(kind) {
            return Err(format!("multiple '{}' options specified", kind.name()));
        }
        self.0 |= 1 << kind as u32;
        Ok(())
    }

    pub(super) const fn has(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u32) != 0
    }

    pub(super) fn any(self, kinds: &[Kind]) -> bool {
        kinds.iter().any(|kind| self.has(*kind))
    }
}

/// What an owner of options - a command or a type of tunnel - has to say to them.
struct Rules {
    needed: &'static [Kind],
    allowed: &'static [Kind],
    /// Allowed, and at most one of them.
    exclusive: &'static [Kind],
}

impl Rules {
    const fn new(needed: &'static [Kind], allowed: &'static [Kind]) -> Self {
        Self { needed, allowed, exclusive: &[] }
    }

    fn check(&self, among: &[Kind], seen: Seen, owner: &str) -> Result<(), String> {
        let mut exclusive = None;
        for kind in among {
            let name = kind.name();
            match (seen.has(*kind), self.exclusive.contains(kind)) {
                (false, _) if self.needed.contains(kind) => {
                    return Err(format!("You need to supply the '{name}' option for the {owner}"));
                }
                (false, _) => {}
                (true, true) => {
                    if let Some(other) = exclusive.replace(name) {
                        return Err(format!(
                            "The option '{name}' conflicts with the '{other}' option in the {owner}"
                        ));
                    }
                }
                (true, false) if self.needed.contains(kind) || self.allowed.contains(kind) => {}
                (true, false) => return Err(format!("Illegal '{name}' option with the {owner}")),
            }
        }
        Ok(())
    }
}

/// Whether the options are those of the command.
///
/// # Errors
/// What is said of the first that is not.
pub(super) fn check_command(command: Opt, seen: Seen) -> Result<(), String> {
    const SERVICE: Rules = Rules::new(
        &[Kind::Service],
        &[Kind::Scheduler, Kind::Persistent, Kind::Netmask, Kind::Ops, Kind::Pe, Kind::SchedFlags],
    );
    const SERVER: Rules = Rules::new(
        &[Kind::Service, Kind::Server],
        &[
            Kind::Forward,
            Kind::Weight,
            Kind::UThreshold,
            Kind::LThreshold,
            Kind::TunType,
            Kind::TunPort,
            Kind::TunNocsum,
            Kind::TunCsum,
            Kind::TunRemcsum,
        ],
    );
    const LIST: Rules = Rules {
        needed: &[],
        allowed: &[
            Kind::Numeric,
            Kind::Stats,
            Kind::Rate,
            Kind::Thresholds,
            Kind::PersistentConn,
            Kind::NoSort,
            Kind::SyncId,
            Kind::Exact,
            Kind::TunInfo,
        ],
        exclusive: &[Kind::Connection, Kind::Service, Kind::Timeout, Kind::Daemon],
    };
    const START: Rules = Rules::new(
        &[],
        &[
            Kind::McastInterface,
            Kind::SyncId,
            Kind::McastGroup,
            Kind::McastPort,
            Kind::McastTtl,
            Kind::SyncMaxlen,
        ],
    );
    let (name, rules) = match command {
        Opt::AddService => ("add-service", SERVICE),
        Opt::EditService => ("edit-service", SERVICE),
        Opt::DeleteService => ("delete-service", Rules::new(&[Kind::Service], &[])),
        Opt::AddServer => ("add-server", SERVER),
        Opt::EditServer => ("edit-server", SERVER),
        Opt::DeleteServer => ("delete-server", Rules::new(&[Kind::Service, Kind::Server], &[])),
        Opt::Clear => ("flush", Rules::new(&[], &[])),
        Opt::Zero => ("zero", Rules::new(&[], &[Kind::Service])),
        Opt::Set => ("set", Rules::new(&[], &[])),
        Opt::StartDaemon => ("start-daemon", START),
        Opt::StopDaemon => ("stop-daemon", Rules::new(&[], &[Kind::SyncId])),
        Opt::Restore => ("restore", Rules::new(&[], &[])),
        Opt::Save => ("save", Rules::new(&[], &[Kind::Numeric])),
        _ => ("list", LIST),
    };
    rules.check(Kind::ALL, seen, &format!("'{name}' command"))
}

/// Whether the options are those of the type of tunnel.
///
/// # Errors
/// What is said of the first that is not.
pub(super) fn check_tunnel(tunnel: TunnelType, seen: Seen) -> Result<(), String> {
    use Kind::{TunCsum, TunNocsum, TunPort, TunRemcsum};
    let (needed, exclusive): (&[Kind], &[Kind]) = match tunnel {
        TunnelType::Ipip => (&[], &[]),
        TunnelType::Gue => (&[TunPort], &[TunNocsum, TunCsum, TunRemcsum]),
        TunnelType::Gre => (&[], &[TunNocsum, TunCsum]),
    };
    let rules = Rules { needed, allowed: &[], exclusive };
    rules.check(&[TunPort, TunNocsum, TunCsum, TunRemcsum], seen, &format!("'{}' tunnel type", tunnel.name()))
}
