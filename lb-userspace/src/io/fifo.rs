//! Owns the FIFOs that get a line for every transition, and the programs that read them. Refuses to wait for a
//! reader: what a full FIFO does not take is lost.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{error, warn};

use super::command::{Dropped, End, Programs};
use crate::config::model::vrrp::{Command, Fifo, FifoLines};

#[cfg(test)]
mod tests;

/// From a reader's end to its next start.
const RESTART: Duration = Duration::from_secs(5);

/// How long a reader may take for the last lines, and again for its end.
const FINISH: Duration = Duration::from_secs(2);

/// How often it is looked whether the last lines were read: a reader's progress is no event.
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// FIFOs that are open. Readers end when this is dropped.
///
/// The files stay: another process may read them, and a daemon that comes next uses them again.
#[derive(Debug)]
pub struct Fifos(Vec<Writer>);

impl Fifos {
    /// Makes the FIFOs that are not there, opens all of them and starts their readers. One that cannot be used is
    /// logged and left out. Needs a Tokio runtime with time and I/O.
    pub fn open(fifos: &[Fifo], programs: &Programs) -> Self {
        Self(fifos.iter().filter_map(|fifo| Writer::open(fifo, programs)).collect())
    }

    /// Takes other FIFOs in place of these. Those that stay are not touched; what is left in the others is read first.
    pub fn change(&mut self, fifos: &[Fifo], programs: &Programs) {
        let mut before = std::mem::take(&mut self.0);
        for fifo in fifos {
            match before.iter().position(|writer| writer.fifo == *fifo) {
                Some(place) => self.0.push(before.swap_remove(place)),
                None => self.0.extend(Writer::open(fifo, programs)),
            }
        }
        for writer in before {
            tokio::spawn(writer.finish());
        }
    }

    /// Writes a line, which ends in a newline, to each that is for all lines or for those of this kind. Never blocks.
    pub fn write(&self, kind: FifoLines, line: &str) {
        let for_it = |writer: &&Writer| [FifoLines::All, kind].contains(&writer.fifo.lines);
        self.0.iter().filter(for_it).for_each(|fifo| fifo.write(line));
    }

    /// Lets the readers read what is left and ends them, in bounded time.
    pub async fn finish(self) {
        let finishing: Vec<_> = self.0.into_iter().map(|fifo| tokio::spawn(fifo.finish())).collect();
        for fifo in finishing {
            let _panicked = fifo.await;
        }
    }
}

#[derive(Debug)]
struct Writer {
    fifo: Fifo,
    /// Opened for both directions, so that it opens and takes lines while nobody reads.
    pipe: File,
    /// Whether the last line was lost.
    losing: AtomicBool,
    reader: Option<Reader>,
}

impl Writer {
    fn open(fifo: &Fifo, programs: &Programs) -> Option<Self> {
        let pipe = match open(fifo, programs) {
            Ok(pipe) => pipe,
            Err(error) => {
                error!("FIFO {} gets no notifications: {error}", fifo.path.display());
                return None;
            }
        };
        let reader = fifo.script.clone().map(|command| Reader::start(programs.clone(), command, &fifo.path));
        Some(Self { fifo: fifo.clone(), pipe, losing: AtomicBool::new(false), reader })
    }

    /// A line is far shorter than `PIPE_BUF`, so the kernel takes all of it or nothing.
    fn write(&self, line: &str) {
        let result = (&self.pipe).write(line.as_bytes());
        let was_losing = self.losing.swap(result.is_err(), Ordering::Relaxed);
        if let (Err(error), false) = (result, was_losing) {
            let path = self.fifo.path.display();
            if error.kind() == io::ErrorKind::WouldBlock {
                warn!("FIFO {path} is full because nobody reads it: notifications are lost");
            } else {
                warn!("FIFO {path} loses notifications: {error}");
            }
        }
    }

    async fn finish(self) {
        let Some(reader) = self.reader else { return };
        let drained = timeout(FINISH, async {
            while unread(&self.pipe) > 0 && !reader.task.is_finished() {
                sleep(DRAIN_POLL).await;
            }
        });
        if drained.await.is_err() {
            warn!("not all notifications in FIFO {} were read", self.fifo.path.display());
        }
        // Its reader sees the end of the file now.
        drop(self.pipe);
        reader.finish().await;
    }
}

/// The program that reads a FIFO.
#[derive(Debug)]
struct Reader {
    task: JoinHandle<()>,
    /// Dropped to end it.
    ending: oneshot::Sender<()>,
}

impl Reader {
    fn start(programs: Programs, command: Command, path: &Path) -> Self {
        let (ending, ended) = oneshot::channel();
        let path = path.display().to_string();
        Self { task: tokio::spawn(supervise(programs, command, path, ended)), ending }
    }

    async fn finish(self) {
        drop(self.ending);
        let _panicked = self.task.await;
    }
}

/// Keeps the reader running until `ended`; then waits a little for its end.
async fn supervise(programs: Programs, command: Command, path: String, mut ended: oneshot::Receiver<()>) {
    let role = format!("the reader of FIFO {path}");
    loop {
        let arguments = std::slice::from_ref(&path);
        if let Some(mut running) = programs.start(&role, &command, arguments, Dropped::Killed) {
            tokio::select! {
                status = running.wait() => match status {
                    Ok(status) => warn!("{role} ended ({status}); it is started again"),
                    Err(error) => warn!("{role} ended: {error}; it is started again"),
                },
                _ = &mut ended => {
                    if !matches!(running.wait_for(FINISH).await, Ok(End::Exited(_))) {
                        running.end().await;
                    }
                    return;
                }
            }
        }
        tokio::select! {
            () = sleep(RESTART) => {}
            _ = &mut ended => return,
        }
    }
}

/// A new FIFO belongs to its owner, and nobody else may open it.
fn open(fifo: &Fifo, programs: &Programs) -> io::Result<File> {
    let path = &fifo.path;
    let reader = fifo.script.as_ref().and_then(|command| command.user.as_ref());
    let owner = programs.identity(fifo.owner.as_ref().or(reader)).map_err(io::Error::other)?;
    let made = match mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR) {
        Ok(()) => true,
        Err(Errno::EEXIST) => false,
        Err(errno) => return Err(errno.into()),
    };
    let pipe = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(path)?;
    if !pipe.metadata()?.file_type().is_fifo() {
        return Err(io::Error::other("it exists and is no FIFO"));
    }
    if made {
        let (uid, gid) = owner.ids();
        fchown(&pipe, Some(uid.as_raw()), Some(gid.as_raw()))?;
    }
    Ok(pipe)
}

/// Bytes that were written and not read.
fn unread(pipe: &File) -> libc::c_int {
    let mut bytes = 0;
    // SAFETY: the descriptor is open, and FIONREAD writes one int to a place that lives as long as the call.
    let result = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    if result == 0 { bytes } else { 0 }
}
