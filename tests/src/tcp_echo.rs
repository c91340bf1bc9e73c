//! A TCP server that sends every byte back, on thousands of connections from one thread.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::Result;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::netns::Netns;
use crate::wait;

/// Milliseconds after which the thread looks whether it is to end.
const LOOK: u16 = 100;

/// A running server; it ends when the value goes out of scope, and its connections with it.
#[derive(Debug)]
pub struct TcpEcho {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TcpEcho {
    /// Listens on `address` inside `netns`.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start(netns: &Netns, address: impl Into<SocketAddr>) -> Result<Self> {
        let address = address.into();
        let listener = netns.enter(|| wait::bound(address, || TcpListener::bind(address)))?;
        listener.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::spawn(move || serve(&listener, &flag));
        Ok(Self { stop, thread: Some(thread) })
    }
}

fn serve(listener: &TcpListener, stop: &AtomicBool) {
    let mut streams: Vec<TcpStream> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let ready = match ready(listener, &streams) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => continue,
            Err(error) => return eprintln!("tcp echo: {error}"),
        };
        let mut place = 0;
        streams.retain_mut(|stream| {
            place += 1;
            !ready[place] || goes_on(stream)
        });
        while ready[0]
            && let Ok((stream, _)) = listener.accept()
        {
            if stream.set_nonblocking(true).is_ok() {
                streams.push(stream);
            }
        }
    }
}

/// What has something to read: the listener, then each stream.
fn ready(listener: &TcpListener, streams: &[TcpStream]) -> nix::Result<Vec<bool>> {
    let sockets = std::iter::once(listener.as_fd()).chain(streams.iter().map(|stream| stream.as_fd()));
    let mut polled: Vec<_> = sockets.map(|socket| PollFd::new(socket, PollFlags::POLLIN)).collect();
    poll(&mut polled, PollTimeout::from(LOOK))?;
    Ok(polled.iter().map(|polled| polled.any().unwrap_or(true)).collect())
}

/// Sends back what is there; `false` when the connection is over.
fn goes_on(stream: &mut TcpStream) -> bool {
    let mut bytes = [0; 4096];
    match stream.read(&mut bytes) {
        Ok(0) => false,
        // So little finds room in the socket, as its client waits for it.
        Ok(length) => stream.write_all(&bytes[..length]).is_ok(),
        Err(error) => is_pause(&error),
    }
}

fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

impl Drop for TcpEcho {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
