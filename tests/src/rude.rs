//! Servers that hang, refuse to end, or talk nonsense: each does with every client what it is told, on real sockets.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrIn, bind, socket as open_socket,
};

use crate::netns::Netns;
use crate::{socket, wait};

/// How often it is looked whether it is to end.
const TURN: Duration = Duration::from_millis(20);
/// Clients at one time; more are sent away.
const MOST: usize = 64;

/// What a TCP server says to each client.
#[derive(Debug, Clone, Default)]
pub struct Speech {
    /// It waits until the client has said something.
    pub listens: bool,
    /// What it says once.
    pub first: Vec<u8>,
    /// What it does after that.
    pub then: Then,
}

/// What a TCP server does when it has said its first words.
#[derive(Debug, Clone, Default)]
pub enum Then {
    /// It says no more, whatever it hears, until the client goes.
    #[default]
    Hangs,
    /// It closes the connection.
    Closes,
    /// It says this again and again, as fast as it is heard.
    Repeats(Vec<u8>),
    /// It says this byte again and again, after a pause.
    Trickles(u8, Duration),
}

/// A running server; it ends when the value goes out of scope.
#[derive(Debug)]
pub struct Rude {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Rude {
    /// Takes connections to `address` inside `netns`, holds them open, and says what is in `speech`.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn tcp(netns: &Netns, address: impl Into<SocketAddr>, speech: Speech) -> Result<Self> {
        let address = address.into();
        let bind = || wait::bound(address, || TcpListener::bind(address));
        let listener = netns.enter(bind)?;
        listener.set_nonblocking(true)?;
        Ok(Self::spawn(move |stop| take(&listener, &speech, stop)))
    }

    /// Answers each datagram to `address` inside `netns` with those that `answers` makes of it.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn udp(
        netns: &Netns,
        address: impl Into<SocketAddr>,
        answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Result<Self> {
        let address = address.into();
        let bind = || wait::bound(address, || UdpSocket::bind(address));
        let socket = netns.enter(bind)?;
        socket.set_read_timeout(Some(TURN))?;
        Ok(Self::spawn(move |stop| answer(&socket, &answers, stop)))
    }

    /// Answers each packet of ICMP to `address` inside `netns`, which begins with its IPv4 header, with those messages that
    /// `answers` makes of it.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn icmp(
        netns: &Netns,
        address: Ipv4Addr,
        answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Result<Self> {
        let open = || {
            let socket =
                open_socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Icmp)?;
            bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(address, 0)))?;
            Ok(UdpSocket::from(socket))
        };
        // What sends and receives whole datagrams does not care which kind they are of.
        let socket = netns.enter(open).with_context(|| format!("bind {address}/icmp"))?;
        socket.set_read_timeout(Some(TURN))?;
        Ok(Self::spawn(move |stop| answer(&socket, &answers, stop)))
    }

    fn spawn(serve: impl FnOnce(&Arc<AtomicBool>) + Send + 'static) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let flag = Arc::clone(&stop);
        Self { stop, thread: Some(std::thread::spawn(move || serve(&flag))) }
    }
}

impl Drop for Rude {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn take(listener: &TcpListener, speech: &Speech, stop: &Arc<AtomicBool>) {
    let mut clients: Vec<JoinHandle<()>> = Vec::new();
    while !stop.load(Relaxed) {
        if let Err(error) = socket::wait(&[listener.as_fd()], TURN) {
            return eprintln!("rude server: {error:#}");
        }
        if let Ok((stream, _)) = listener.accept()
            && clients.len() < MOST
        {
            let (speech, stop) = (speech.clone(), Arc::clone(stop));
            clients.push(std::thread::spawn(move || drop(speak(stream, &speech, &stop))));
        }
        clients.retain(|client| !client.is_finished());
    }
    for client in clients {
        let _ = client.join();
    }
}

/// Until the client goes, or all is to end.
fn speak(mut stream: TcpStream, speech: &Speech, stop: &AtomicBool) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(TURN))?;
    stream.set_write_timeout(Some(TURN))?;
    if speech.listens {
        hear(&mut stream, stop)?;
    }
    say(&mut stream, &speech.first, stop)?;
    match &speech.then {
        Then::Closes => return Ok(()),
        Then::Hangs => {}
        Then::Repeats(words) => {
            while !stop.load(Relaxed) {
                say(&mut stream, words, stop)?;
            }
        }
        Then::Trickles(byte, pause) => {
            while !stop.load(Relaxed) {
                std::thread::sleep(*pause);
                say(&mut stream, &[*byte], stop)?;
            }
        }
    }
    loop {
        hear(&mut stream, stop)?;
    }
}

/// Waits for words, whatever they are; an error where there will be none.
fn hear(stream: &mut TcpStream, stop: &AtomicBool) -> std::io::Result<()> {
    let mut words = [0; 4096];
    while !stop.load(Relaxed) {
        match stream.read(&mut words) {
            Ok(0) => break,
            Ok(_) => return Ok(()),
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::UnexpectedEof.into())
}

/// Says all of it, however slowly it is heard.
fn say(stream: &mut TcpStream, mut words: &[u8], stop: &AtomicBool) -> std::io::Result<()> {
    while !words.is_empty() && !stop.load(Relaxed) {
        match stream.write(words) {
            Ok(length) => words = &words[length..],
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn answer(socket: &UdpSocket, answers: &impl Fn(&[u8]) -> Vec<Vec<u8>>, stop: &AtomicBool) {
    let mut request = vec![0; usize::from(u16::MAX)];
    while !stop.load(Relaxed) {
        let Ok((length, client)) = socket.recv_from(&mut request) else { continue };
        for datagram in answers(&request[..length]) {
            // The client may be gone already.
            let _ = socket.send_to(&datagram, client);
        }
    }
}

fn is_pause(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
