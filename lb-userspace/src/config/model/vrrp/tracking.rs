//! What moves a priority or makes a fault: scripts, files, processes and interfaces, and who tracks them.

use std::path::PathBuf;
use std::time::Duration;

use super::Command;
use crate::config::source::Span;

/// What an instance or group tracks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracks {
    /// `track_interface`: interfaces by name.
    pub interfaces: Vec<Track>,
    /// `track_script`: names of scripts.
    pub scripts: Vec<Track>,
    /// `track_file`: names of files.
    pub files: Vec<Track>,
    /// `track_process`: names of processes.
    pub processes: Vec<Track>,
}

/// One thing that is tracked, and what it does to the priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its name.
    pub name: String,
    /// -254 to 254. Positive: added while it is up. Negative: taken off while it is down. 0: down means fault.
    /// A file's weight multiplies the number in it instead.
    pub weight: i32,
    /// `reverse`: with weight 0, up counts as down; with another, what would be added is taken off and what would be
    /// taken off is added.
    pub reverse: bool,
}

/// A `vrrp_script`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VrrpScript {
    /// Its name.
    pub name: String,
    /// What it does to a priority where who tracks it does not say: the weight of a [`Track`].
    pub weight: i32,
    /// The same for [`Track::reverse`].
    pub reverse: bool,
    /// What is run; exit code 0 is a success.
    pub command: Command,
    /// From one start to the next.
    pub interval: Duration,
    /// A run that takes longer is ended and counts as failed; the interval without one.
    pub timeout: Duration,
    /// Successes in a row that bring it up.
    pub rise: u32,
    /// Failures in a row that take it down.
    pub fall: u32,
    /// `init_fail`: it is down until its first result. Else no instance starts before that unless a weight is all that
    /// hangs on it.
    pub init_fail: bool,
    /// Where it stands in the file.
    pub span: Span,
}

/// A `track_file`: the number in it, times the weight, is added to the priority; -254 and below means fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackFile {
    /// Its name.
    pub name: String,
    /// What it does to a priority where who tracks it does not say: the weight of a [`Track`].
    pub weight: i32,
    /// The same for [`Track::reverse`].
    pub reverse: bool,
    /// The file.
    pub path: PathBuf,
    /// `init_file`: what is written to the file at the start, and whether one that exists is written over.
    pub init: Option<(i32, Overwrite)>,
    /// Where it stands in the file.
    pub span: Span,
}

/// Whether a file that exists may be written over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// It is left as it is.
    No,
    /// It is.
    Yes,
}

/// A `vrrp_track_process`: up while enough processes with this command line run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackProcess {
    /// Its name.
    pub name: String,
    /// What it does to a priority where who tracks it does not say: the weight of a [`Track`].
    pub weight: i32,
    /// The same for [`Track::reverse`].
    pub reverse: bool,
    /// The program and, if given, its arguments.
    pub words: Vec<String>,
    /// How [`Self::words`] beyond the first are compared.
    pub params: ParamMatch,
    /// `full_command`: the whole path is compared, not the name alone.
    pub full_command: bool,
    /// As few as this are enough.
    pub quorum: u32,
    /// More than this are too many.
    pub quorum_max: Option<u32>,
    /// How long enough of them must have run before it counts as up.
    pub fork_delay: Duration,
    /// How long too few may run before it counts as down.
    pub terminate_delay: Duration,
    /// Where it stands in the file.
    pub span: Span,
}

/// How the arguments of a process are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ParamMatch {
    /// Not at all.
    #[default]
    None,
    /// They are these.
    Exact,
    /// The first ones are these.
    Partial,
    /// They begin with these, the last perhaps in part.
    Initial,
}
