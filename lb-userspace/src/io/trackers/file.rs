//! Owns the numbers in track files: writes the first ones, and reads a file again when it changes.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use inotify::{Event, EventMask, EventStream, Inotify, WatchDescriptor, WatchMask};
use nix::libc;
use tokio::sync::{mpsc, watch as latest};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::config::model::vrrp::{Overwrite, TrackFile};
use crate::vrrp::Input;

/// How often a file is looked at of whose changes the kernel may not tell: it or its directory is not there, or it is
/// a symbolic link.
const LOOK: Duration = Duration::from_secs(1);

/// More than any number needs.
const MOST: u64 = 64;

/// Room for an event with the longest name, and for more with usual ones.
const EVENTS: usize = 4096;

/// The task that watches track files, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    files: latest::Sender<Vec<TrackFile>>,
    _task: JoinSet<()>,
}

impl Watch {
    /// Watches nothing yet.
    pub(super) fn start(inputs: mpsc::Sender<Input>) -> anyhow::Result<Self> {
        let (files, changes) = latest::channel(Vec::new());
        let mut task = JoinSet::new();
        task.spawn(Files::new(changes, inputs)?.run());
        Ok(Self { files, _task: task })
    }

    /// Watches these from now on; writes the number of each `init_file` that is new.
    pub(super) fn change(&mut self, files: &[TrackFile]) {
        let known: Vec<_> = self.files.borrow().iter().map(|file| file.path.clone()).collect();
        files.iter().filter(|file| !known.contains(&file.path)).for_each(initialize);
        self.files.send_replace(files.to_vec());
    }
}

/// Writes the number of an `init_file`. What fails is logged.
fn initialize(file: &TrackFile) {
    if let Some((value, overwrite)) = file.init {
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        match overwrite {
            Overwrite::Yes => options.create(true).truncate(true),
            Overwrite::No => options.create_new(true),
        };
        match options.open(&file.path).and_then(|mut open| writeln!(open, "{value}")) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                warn!("track_file {} cannot be written to {}: {error}", file.name, file.path.display());
            }
            _ => {}
        }
    }
}

/// Every track file.
struct Files {
    watched: Vec<Watched>,
    changes: latest::Receiver<Vec<TrackFile>>,
    events: EventStream<Vec<u8>>,
    inputs: mpsc::Sender<Input>,
}

/// A file that is watched by way of its directory, so that it may come and go.
struct Watched {
    name: String,
    path: PathBuf,
    watch: Option<WatchDescriptor>,
    value: Option<i32>,
    complaint: Option<String>,
}

/// Nobody wants inputs any more.
struct Closed;

impl Files {
    /// Begins with nothing known.
    fn new(changes: latest::Receiver<Vec<TrackFile>>, inputs: mpsc::Sender<Input>) -> anyhow::Result<Self> {
        let inotify = Inotify::init().context("watching track files")?;
        let events = inotify.into_event_stream(vec![0; EVENTS]).context("watching track files")?;
        Ok(Self { watched: Vec::new(), changes, events, inputs })
    }

    /// Runs until nobody reads the inputs.
    async fn run(mut self) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                // The first tick comes at once.
                _ = look.tick() => self.look().await,
                Ok(()) = self.changes.changed() => self.change().await,
                event = self.events.next() => match event {
                    Some(Ok(event)) => self.handle(&event).await,
                    Some(Err(error)) => {
                        warn!("watching track files: {error}");
                        look.tick().await;
                        self.read(|_| true).await
                    }
                    None => Err(Closed),
                },
                () = self.inputs.closed() => Err(Closed),
            };
            if done.is_err() {
                return;
            }
        }
    }

    /// A file that is elsewhere now begins anew, and is not told of while it says the same.
    async fn change(&mut self) -> Result<(), Closed> {
        let files = self.changes.borrow_and_update().clone();
        let mut before = std::mem::take(&mut self.watched);
        for file in &files {
            let place = before.iter().position(|old| old.name == file.name && old.path == file.path);
            let now = if let Some(place) = place {
                before.swap_remove(place)
            } else {
                let value = before.iter().find(|old| old.name == file.name).and_then(|old| old.value);
                Watched { value, ..Watched::new(file) }
            };
            self.watched.push(now);
        }
        for unused in before.into_iter().filter_map(|old| old.watch) {
            if !self.watched.iter().any(|file| file.watch.as_ref() == Some(&unused)) {
                // The kernel may have removed it by itself.
                let _removed = self.events.watches().remove(unused);
            }
        }
        self.look().await
    }

    /// Watches what is not watched, before it is read so that no change is missed.
    async fn look(&mut self) -> Result<(), Closed> {
        let mut watches = self.events.watches();
        for file in &mut self.watched {
            if file.watch.is_none() {
                file.watch = watches.add(file.directory(), interest()).ok();
                file.read(&self.inputs).await?;
            } else if file.complaint.is_some() || file.path.is_symlink() {
                file.read(&self.inputs).await?;
            }
        }
        Ok(())
    }

    async fn handle(&mut self, event: &Event<OsString>) -> Result<(), Closed> {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            return self.read(|_| true).await;
        }
        if event.mask.intersects(EventMask::IGNORED | EventMask::MOVE_SELF) {
            return self.forget(&event.wd).await;
        }
        self.read(|file| file.watch.as_ref() == Some(&event.wd) && file.file_name() == event.name.as_deref())
            .await
    }

    /// The directory is gone from its place.
    async fn forget(&mut self, watch: &WatchDescriptor) -> Result<(), Closed> {
        // The kernel has removed the watch of a directory that was deleted.
        let _removed = self.events.watches().remove(watch.clone());
        for file in self.watched.iter_mut().filter(|file| file.watch.as_ref() == Some(watch)) {
            file.watch = None;
            file.read(&self.inputs).await?;
        }
        Ok(())
    }

    async fn read(&mut self, which: impl Fn(&Watched) -> bool) -> Result<(), Closed> {
        for file in self.watched.iter_mut().filter(|file| which(file)) {
            file.read(&self.inputs).await?;
        }
        Ok(())
    }
}

impl Watched {
    fn new(file: &TrackFile) -> Self {
        Self { name: file.name.clone(), path: file.path.clone(), watch: None, value: None, complaint: None }
    }

    fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(directory) if directory != Path::new("") => directory,
            _ => Path::new("."),
        }
    }

    fn file_name(&self) -> Option<&OsStr> {
        self.path.file_name()
    }

    /// Tells the number in it if that is another. A file that is not there or has no number in it counts as 0.
    async fn read(&mut self, inputs: &mpsc::Sender<Input>) -> Result<(), Closed> {
        let (value, complaint) = match number(&self.path) {
            Ok(value) => (value, None),
            Err(complaint) => (0, Some(complaint)),
        };
        if let Some(complaint) =
            complaint.as_ref().filter(|&complaint| self.complaint.as_ref() != Some(complaint))
        {
            warn!("track_file {} counts as 0: {complaint}", self.name);
        }
        self.complaint = complaint;
        if self.value.replace(value) == Some(value) {
            return Ok(());
        }
        info!("track_file {} says {value}", self.name);
        inputs.send(Input::File { name: self.name.clone(), value }).await.map_err(|_| Closed)
    }
}

/// A change is told of when the file is closed after writing, so that half of one is not read.
fn interest() -> WatchMask {
    WatchMask::CLOSE_WRITE | WatchMask::DELETE | WatchMask::MOVE | WatchMask::MOVE_SELF | WatchMask::ONLYDIR
}

/// The first word of a file. The error is for people.
pub(in crate::io) fn number(path: &Path) -> Result<i32, String> {
    let text = text(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let word = text.split_whitespace().next().unwrap_or_default();
    match word.parse::<i64>() {
        Ok(value) => Ok(value.clamp(i32::MIN.into(), i32::MAX.into()) as i32),
        Err(_) => Err(format!("{} does not begin with a number", path.display())),
    }
}

/// Does not wait, whatever kind of file it is.
fn text(path: &Path) -> io::Result<String> {
    let file: File = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
