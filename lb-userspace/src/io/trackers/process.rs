//! Owns the counting of processes that `vrrp_track_process` names, in a thread of its own: it reads `/proc` again and
//! again.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::libc::{EACCES, ENOENT, ESRCH};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tracing::{info, warn};

use self::pattern::Pattern;
use self::quorum::Quorum;
use crate::config::Span;
use crate::config::model::vrrp::TrackProcess;
use crate::vrrp::Input;

mod pattern;
mod quorum;

/// From one count to the next.
const POLL: Duration = Duration::from_millis(200);

/// The thread, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    // Unbounded, because the daemon must not wait; the thread looks into it with every count.
    processes: Sender<Vec<TrackProcess>>,
}

impl Watch {
    /// Counts nothing yet.
    pub(super) fn start(inputs: mpsc::Sender<Input>) -> anyhow::Result<Self> {
        let (processes, changes) = channel();
        std::thread::Builder::new()
            .name("xlvs-processes".to_owned())
            .spawn(move || run(&changes, &inputs))
            .context("starting the thread that counts processes")?;
        Ok(Self { processes })
    }

    /// Counts these from now on.
    pub(super) fn change(&self, processes: &[TrackProcess]) {
        // A thread that has ended has nobody to tell.
        let _ended = self.processes.send(processes.to_vec());
    }
}

struct Tracked {
    process: TrackProcess,
    pattern: Pattern,
    quorum: Quorum,
    /// What was told of it.
    told: Option<bool>,
}

impl Tracked {
    fn new(process: TrackProcess) -> Self {
        let (pattern, quorum) = (Pattern::new(&process), Quorum::new(&process));
        Self { process, pattern, quorum, told: None }
    }

    /// Those of the same name go on if they are the same, and else begin anew with what was told of them.
    fn all_in_place_of(mut before: Vec<Self>, processes: Vec<TrackProcess>) -> Vec<Self> {
        let mut follow = |process: TrackProcess| {
            let process = TrackProcess { span: Span::default(), ..process };
            let place = before.iter().position(|old| old.process.name == process.name);
            match place.map(|place| before.swap_remove(place)) {
                Some(old) if old.process == process => old,
                old => Self { told: old.and_then(|old| old.told), ..Self::new(process) },
            }
        };
        processes.into_iter().map(&mut follow).collect()
    }

    /// What is to be told of it.
    fn news(&self) -> Option<bool> {
        self.quorum.up().filter(|&up| self.told != Some(up))
    }
}

fn run(changes: &Receiver<Vec<TrackProcess>>, inputs: &mpsc::Sender<Input>) {
    let (mut tracked, mut failing) = (Vec::new(), false);
    loop {
        match changes.recv_timeout(if tracked.is_empty() { Duration::MAX } else { POLL }) {
            Ok(processes) => tracked = Tracked::all_in_place_of(tracked, processes),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let counts = count(Path::new("/proc"), &tracked);
        let was_failing = std::mem::replace(&mut failing, counts.is_err());
        match counts {
            Ok(counts) => {
                if tell(&mut tracked, &counts, inputs).is_err() {
                    return;
                }
            }
            // That says nothing about the processes.
            Err(error) if !was_failing => warn!("processes cannot be counted: {error}"),
            Err(_) => {}
        }
    }
}

/// Nobody wants inputs any more.
struct Closed;

fn tell(tracked: &mut [Tracked], counts: &[u32], inputs: &mpsc::Sender<Input>) -> Result<(), Closed> {
    let now = Instant::now();
    for (process, &count) in tracked.iter_mut().zip(counts) {
        process.quorum.handle(now, count);
        let Some(up) = process.news() else { continue };
        let name = process.process.name.clone();
        match inputs.try_send(Input::Process { name, up }) {
            Ok(()) => process.told = Some(up),
            // It is told after the next count.
            Err(TrySendError::Full(_)) => continue,
            Err(TrySendError::Closed(_)) => return Err(Closed),
        }
        info!(
            "vrrp_track_process {} is {}: {count} run",
            process.process.name,
            if up { "up" } else { "down" }
        );
    }
    Ok(())
}

/// How many processes each pattern matches. A process that goes away meanwhile does not count.
fn count(proc: &Path, tracked: &[Tracked]) -> io::Result<Vec<u32>> {
    let mut counts = vec![0; tracked.len()];
    let command_lines = tracked.iter().any(|process| process.pattern.needs_command_line());
    let names = !tracked.iter().all(|process| process.pattern.needs_command_line());
    for entry in fs::read_dir(proc)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let directory = entry.path();
        let name = if names { read(&directory.join("comm"))? } else { Vec::new() };
        let name = name.strip_suffix(b"\n").unwrap_or(&name);
        let command_line = if command_lines { read(&directory.join("cmdline"))? } else { Vec::new() };
        let matches = tracked.iter().map(|process| process.pattern.matches(name, &command_line));
        let matches: Vec<_> = matches.collect();
        if matches.contains(&true) && is_running(&read(&directory.join("stat"))?) {
            for (count, matches) in counts.iter_mut().zip(matches) {
                *count += u32::from(matches);
            }
        }
    }
    Ok(counts)
}

/// Nothing, if the process is gone or none of ours. Other errors are not about it: too many files are open.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if matches!(error.raw_os_error(), Some(ENOENT | ESRCH | EACCES)) => Ok(Vec::new()),
        result => result,
    }
}

/// Whether the text of a `stat` file is not that of a process that has ended and waits for its parent. Its state stands
/// behind its name, which stands in parentheses and may have some itself. Asked last: this file costs
/// the most.
fn is_running(stat: &[u8]) -> bool {
    let state = stat.iter().rposition(|&byte| byte == b')').and_then(|close| stat.get(close + 2));
    state.is_some_and(|state| !matches!(state, b'Z' | b'X'))
}
