//! A UDP server that answers every datagram with its own name.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::netns::Netns;

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
        let address = address.into();
        let socket =
            netns.enter(|| UdpSocket::bind(address).with_context(|| format!("bind {address}/udp")))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (flag, name) = (Arc::clone(&stop), name.to_owned());
        let thread = std::thread::spawn(move || serve(&socket, &name, &flag));
        Ok(Self { stop, thread: Some(thread) })
    }
}

fn serve(socket: &UdpSocket, name: &str, stop: &AtomicBool) {
    let mut request = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        match socket.recv_from(&mut request) {
            Ok((_, client)) => {
                if let Err(error) = socket.send_to(name.as_bytes(), client) {
                    eprintln!("udp {name}: answer to {client}: {error}");
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return eprintln!("udp {name}: {error}"),
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
