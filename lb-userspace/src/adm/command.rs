//! What a command line asks for.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::state::{Daemon, Role, Server, ServerId, Service, ServiceId, Timeouts};

/// How much of the table commands need to be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    Whole,
    /// These services, and what belongs to none.
    Only(HashSet<ServiceId>),
}

impl Scope {
    /// What these commands need.
    pub fn of(commands: &[Command]) -> Self {
        let mut services = HashSet::new();
        for command in commands {
            match command.scope() {
                Self::Whole => return Self::Whole,
                Self::Only(more) => services.extend(more),
            }
        }
        Self::Only(services)
    }
}

/// One command with everything it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// `-A`
    AddService(Service),
    /// `-E`
    EditService(Service),
    /// `-D`
    DeleteService(ServiceId),
    /// `-C`
    Flush,
    /// `-a`
    AddServer(ServiceId, Server),
    /// `-e`
    EditServer(ServiceId, Server),
    /// `-d`
    DeleteServer(ServiceId, ServerId),
    /// `-L`, `-l` and no argument at all
    List(Listing),
    /// `xlvs drain`, which ipvsadm does not have: no new connections, until it is undrained
    Drain(ServiceId, ServerId),
    /// `xlvs undrain`: the weight of before
    Undrain(ServiceId, ServerId),
    /// `-Z`, of one service or of all
    Zero(Option<ServiceId>),
    /// `--set`; 0 leaves one as it is
    SetTimeouts(Timeouts),
    /// `--start-daemon`
    StartDaemon(Daemon),
    /// `--stop-daemon`
    StopDaemon(Role),
    /// `-R`
    Restore,
    /// `-S`
    Save {
        /// Without names.
        numeric: bool,
    },
    /// `-h`
    Help,
    /// `--version`
    Version,
}

impl Command {
    /// What it needs.
    fn scope(&self) -> Scope {
        match self {
            Self::AddService(service) | Self::EditService(service) => Scope::Only([service.id].into()),
            Self::DeleteService(id)
            | Self::AddServer(id, _)
            | Self::EditServer(id, _)
            | Self::DeleteServer(id, _)
            | Self::Drain(id, _)
            | Self::Undrain(id, _)
            | Self::Zero(Some(id)) => Scope::Only([*id].into()),
            Self::SetTimeouts(_)
            | Self::StartDaemon(_)
            | Self::StopDaemon(_)
            | Self::Help
            | Self::Version => Scope::Only(HashSet::new()),
            Self::Flush | Self::List(_) | Self::Zero(None) | Self::Restore | Self::Save { .. } => {
                Scope::Whole
            }
        }
    }
}

/// What is to be listed, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// What.
    pub view: View,
    /// Without names.
    pub numeric: bool,
    /// Numbers in full.
    pub exact: bool,
}

/// One of the tables that can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum View {
    /// Services with their servers.
    Services {
        /// Only this one, and without the version.
        only: Option<ServiceId>,
        /// Which columns.
        columns: Columns,
        /// In order, or as the table has them.
        sorted: bool,
    },
    /// Connections.
    Connections {
        /// With what persistence engines keep.
        engines: bool,
    },
    /// Timeouts.
    Timeouts,
    /// Synchronisation daemons.
    Daemons,
}

impl Default for View {
    fn default() -> Self {
        Self::Services { only: None, columns: Columns::Plain, sorted: true }
    }
}

/// What stands behind the addresses in a listing of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Columns {
    /// Forwarding, weight, connections.
    Plain,
    /// `--stats`
    Stats,
    /// `--rate`
    Rate,
    /// `--thresholds`
    Thresholds,
    /// `--persistent-conn`
    PersistentConnections,
    /// `--tun-info`
    Tunnels,
}
