//! What is run and who is told when an instance, a group or a tracker changes. Reads no text.

use std::path::PathBuf;

/// What is run on transitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// `notify_master`.
    pub master: Option<Command>,
    /// `notify_backup`.
    pub backup: Option<Command>,
    /// `notify_fault`.
    pub fault: Option<Command>,
    /// `notify_stop`.
    pub stop: Option<Command>,
    /// `notify`: run on every transition with kind, name, state and priority.
    pub any: Option<Command>,
    /// `notify_master_rx_lower_pri`: run when a master hears a lower priority.
    pub lower_priority: Option<Command>,
    /// `notify_priority_changes`: a change of priority alone is notified too.
    pub priority_changes: bool,
}

/// A FIFO that gets a line for every transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fifo {
    /// Which transitions it is for.
    pub lines: FifoLines,
    /// Made if it is not there.
    pub path: PathBuf,
    /// Whose it is when it is made; that of the user of [`Self::script`], or of scripts, without one.
    pub owner: Option<User>,
    /// Started with the FIFO's path as its last argument.
    pub script: Option<Command>,
}

/// Which transitions a FIFO is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FifoLines {
    /// All there are: `notify_fifo`.
    All,
    /// Those of instances and groups: `vrrp_notify_fifo`.
    Vrrp,
    /// Those of virtual and real servers: `lvs_notify_fifo`.
    Lvs,
}

impl FifoLines {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::All, Self::Vrrp, Self::Lvs];

    /// What stands for such a FIFO in the file; behind `_script` stands its reader.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::All => "notify_fifo",
            Self::Vrrp => "vrrp_notify_fifo",
            Self::Lvs => "lvs_notify_fifo",
        }
    }
}

/// A program to run, without a shell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Command {
    /// The program and its arguments; never empty.
    pub words: Vec<String>,
    /// Who runs it, if not the default.
    pub user: Option<User>,
}

/// A user and perhaps a group, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct User {
    /// The user's name.
    pub name: String,
    /// The group's name; the user's own without one.
    pub group: Option<String>,
}
