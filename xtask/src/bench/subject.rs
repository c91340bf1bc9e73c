//! What is measured, as data: the programs, each started in a namespace of its own, and the rows of a table.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use lb_common::sched::Scheduler;

use super::peer::{Peer, Sharing};
use crate::workspace;

/// Other builds that the command line has measured in the same run.
#[derive(Args)]
pub(super) struct Beside {
    /// Another xlvs measured in the same run, under its file's name; may be given several times
    #[arg(long, value_name = "FILE")]
    beside: Vec<PathBuf>,
}

/// Other programs that the command line has measured in the same run.
#[derive(Args)]
pub(super) struct Peers {
    /// Other ways to balance, measured in the same run
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_enum)]
    pub(super) peer: Vec<Peer>,
}

impl Peers {
    /// Whether this one is measured too.
    pub(super) fn has(&self, peer: Peer) -> bool {
        self.peer.contains(&peer)
    }
}

/// What answers the frames in one of the namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// Two MAC addresses change places: the floor, which all are compared with.
    Swap,
    /// One lookup in an `LRU_HASH`, an insertion where nothing is found, then the same.
    Lru,
    /// A binary, and what the tables call it.
    Xlvs { name: String, binary: PathBuf },
    /// Another way to balance.
    Peer(Peer),
}

impl Program {
    /// The bare programs, the binary of this workspace, and those that the command line names.
    pub(super) fn all(beside: &Beside, peers: &[Peer]) -> Result<Vec<Self>> {
        let mut programs = vec![Self::Swap, Self::Lru, Self::xlvs("xlvs")];
        for binary in &beside.beside {
            ensure!(binary.is_file(), "--beside {}: there is no such file", binary.display());
            let binary = binary.canonicalize().with_context(|| binary.display().to_string())?;
            programs.push(Self::Xlvs { name: unused_name(&binary, &programs), binary });
        }
        programs.extend(peers.iter().copied().map(Self::Peer));
        Ok(programs)
    }

    /// The binary of this workspace under a name.
    pub(super) fn xlvs(name: &str) -> Self {
        Self::Xlvs { name: name.to_owned(), binary: workspace::binary() }
    }

    /// What the file of figures calls it.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Swap => "swap",
            Self::Lru => "lru",
            Self::Xlvs { name, .. } => name,
            Self::Peer(peer) => peer.name(),
        }
    }
}

/// The file's name or, where another has that, its path.
fn unused_name(binary: &Path, programs: &[Program]) -> String {
    let file = binary.file_name().unwrap_or_default().to_string_lossy();
    if programs.iter().any(|program| program.name() == file) {
        binary.display().to_string()
    } else {
        file.into_owned()
    }
}

/// A row of a table: a program, and of a binary one of its services.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The program's place among all.
    pub(super) host: usize,
    pub(super) program: Program,
    /// The service's, if it is a binary.
    pub(super) scheduler: Option<Scheduler>,
}

impl Subject {
    /// A row for each program, and of binaries for each scheduler.
    pub(super) fn of(programs: &[Program], schedulers: &[Scheduler]) -> Vec<Self> {
        let rows = programs.iter().enumerate().flat_map(|(host, program)| {
            let row = move |scheduler| Self { host, program: program.clone(), scheduler };
            match program {
                Program::Xlvs { .. } => schedulers.iter().copied().map(Some).map(row).collect(),
                Program::Swap | Program::Lru | Program::Peer(_) => vec![row(None)],
            }
        });
        rows.collect()
    }

    /// How it must share new connections among the real servers.
    pub(super) fn sharing(&self) -> Sharing {
        match (&self.program, self.scheduler) {
            (Program::Peer(peer), _) => peer.sharing(),
            (_, Some(scheduler)) => Sharing::As(scheduler),
            (_, None) => Sharing::First,
        }
    }

    /// Whether it writes the real server's address into packets.
    pub(super) const fn is_translating(&self) -> bool {
        matches!(self.program, Program::Peer(peer) if peer.is_translating())
    }
}

/// What the tables call it.
impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.program, self.scheduler) {
            (Program::Swap, _) => out.pad("MAC swap, XDP_TX (the floor)"),
            (Program::Lru, _) => out.pad("one LRU_HASH, XDP_TX"),
            (Program::Xlvs { name, .. }, Some(scheduler)) => out.pad(&format!("{name} {}", scheduler.name())),
            (Program::Xlvs { name, .. }, None) => out.pad(name),
            (Program::Peer(peer), _) => out.pad(peer.title()),
        }
    }
}

/// Schedulers as the command line names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedulers(pub(super) Vec<Scheduler>);

impl FromStr for Schedulers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self(Scheduler::ALL.to_vec()));
        }
        let named = |name: &str| {
            let found = Scheduler::ALL.into_iter().find(|scheduler| scheduler.name() == name);
            found.ok_or_else(|| {
                let names = Scheduler::ALL.map(Scheduler::name).join(", ");
                format!("there is no scheduler {name:?}; there are {names}, and `all`")
            })
        };
        let schedulers: Vec<Scheduler> = text.split(',').map(named).collect::<Result<_, _>>()?;
        let is_repeated = |(place, scheduler)| schedulers[..place].contains(scheduler);
        match schedulers.iter().enumerate().find(|&row| is_repeated(row)) {
            Some((_, twice)) => Err(format!("{} is named twice", twice.name())),
            None => Ok(Self(schedulers)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedulers_are_named_once() {
        let read = |text: &str| text.parse().map(|Schedulers(schedulers)| schedulers);
        assert_eq!(read("mh,rr"), Ok(vec![Scheduler::Mh, Scheduler::Rr]));
        assert_eq!(read("all"), Ok(Scheduler::ALL.to_vec()));
        assert!(read("rr,rr").is_err());
        assert!(read("rr,").is_err());
        assert!(read("none").is_err_and(|error| error.contains("wrr")));
    }

    #[test]
    fn a_second_binary_of_a_name_is_told_apart() {
        let mut programs = vec![Program::Swap];
        for path in ["/a/xlvs", "/b/xlvs", "/b/old"] {
            let binary = PathBuf::from(path);
            programs.push(Program::Xlvs { name: unused_name(&binary, &programs), binary });
        }
        let names: Vec<&str> = programs.iter().map(Program::name).collect();
        assert_eq!(names, ["swap", "xlvs", "/b/xlvs", "old"]);
        let subjects = Subject::of(&programs, &[Scheduler::Rr, Scheduler::Mh]);
        let hosts: Vec<usize> = subjects.iter().map(|subject| subject.host).collect();
        assert_eq!(hosts, [0, 1, 1, 2, 2, 3, 3]);
    }
}
