//! A UDP server that answers every datagram with its own name, or with the datagram.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;

use crate::netns::Netns;
use crate::wait;

/// A running server; it ends when the value goes out of scope.
#[derive(Debug)]
pub struct UdpEcho {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl UdpEcho {
    /// Binds `address` inside `netns`, so that answers leave from exactly that address.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start(netns: &Netns, address: impl Into<SocketAddr>, name: &str) -> Result<Self> {
        Self::spawn(netns, address.into(), Some(name.to_owned()))
    }

    /// The same, where every datagram is sent back as it came.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn mirror(netns: &Netns, address: impl Into<SocketAddr>) -> Result<Self> {
        Self::spawn(netns, address.into(), None)
    }

    fn spawn(netns: &Netns, address: SocketAddr, name: Option<String>) -> Result<Self> {
        let socket = netns.enter(|| wait::bound(address, || UdpSocket::bind(address)))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::spawn(move || serve(&socket, name.as_deref(), &flag));
        Ok(Self { stop, thread: Some(thread) })
    }
}

fn serve(socket: &UdpSocket, name: Option<&str>, stop: &AtomicBool) {
    let mut request = vec![0; usize::from(u16::MAX)];
    while !stop.load(Ordering::Relaxed) {
        match socket.recv_from(&mut request) {
            Ok((length, client)) => {
                let answer = name.map_or(&request[..length], str::as_bytes);
                if let Err(error) = socket.send_to(answer, client) {
                    eprintln!("udp answer to {client}: {error}");
                }
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(error) => return eprintln!("udp: {error}"),
        }
    }
}

impl Drop for UdpEcho {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
