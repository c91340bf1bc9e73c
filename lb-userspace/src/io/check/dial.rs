//! Sockets for probes: from the address, the interface and the port, and with the mark that the check names.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::net::if_::if_nametoindex;
use nix::poll::PollFlags;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpStream, UdpSocket};

use super::probe::{Failure, text};
use crate::config::model::check::Endpoint;

/// The least port that `net.ipv4.ip_local_port_range` gives out, unless those of root are given out too.
const EPHEMERAL: u16 = 1024;

/// A connection to the server that can be spoken on.
pub(super) async fn tcp(endpoint: &Endpoint) -> Result<TcpStream, Failure> {
    let Connection { socket: stream, to } = begin(endpoint)?.decided().await?;
    if let Some(error) = stream.take_error().unwrap_or_else(Some) {
        return Err(Failure::of(&error));
    }
    not_itself(to, || stream.local_addr().ok())?;
    Ok(stream)
}

/// Asks the server for a connection.
pub(super) fn begin(endpoint: &Endpoint) -> Result<Connection, Failure> {
    let to = address(endpoint)?;
    let socket = open(endpoint, Type::STREAM, Protocol::TCP)?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(Failure::of(&error)),
        _ => Ok(Connection { socket, to }),
    }
}

/// A connection that the server was asked for.
pub(super) struct Connection<S = Socket> {
    pub(super) socket: S,
    to: SocketAddr,
}

impl Connection {
    /// Waits until there is an outcome.
    pub(super) async fn decided(self) -> Result<Connection<TcpStream>, Failure> {
        let Self { socket, to } = self;
        let socket = TcpStream::from_std(socket.into()).map_err(|error| Failure::of(&error))?;
        socket.writable().await.map_err(|error| Failure::of(&error))?;
        Ok(Connection { socket, to })
    }
}

impl<S: AsFd> Connection<S> {
    /// Did the handshake come about? `events` are those that poll(2) tells of, or may tell of. A reset after it changes nothing:
    /// keepalived, which looks as soon as it is over, is mostly first, but fails the check where it is not; here the verdict
    /// does not depend on who is first.
    pub(super) fn outcome(&self, events: PollFlags) -> Result<(), Failure> {
        let socket = SockRef::from(&self.socket);
        if events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP)
            && let Some(error) = socket.take_error().unwrap_or_else(Some)
            // During the handshake a reset is a refusal.
            && !matches!(error.raw_os_error(), Some(libc::ECONNRESET | libc::EPIPE))
        {
            return Err(Failure::of(&error));
        }
        not_itself(self.to, || socket.local_addr().ok()?.as_socket())
    }
}

/// A local address whose port nobody listens on can be connected to itself when that port is ephemeral, which those below are
/// not.
fn not_itself(to: SocketAddr, local: impl FnOnce() -> Option<SocketAddr>) -> Result<(), Failure> {
    if to.port() >= EPHEMERAL && local() == Some(to) {
        return Err("connection refused".into());
    }
    Ok(())
}

/// A socket that only hears the server, and of ICMP errors about what is sent to it.
pub(super) fn udp(endpoint: &Endpoint) -> Result<UdpSocket, Failure> {
    let socket = open(endpoint, Type::DGRAM, Protocol::UDP)?;
    socket.connect(&address(endpoint)?.into()).map_err(|error| Failure::of(&error))?;
    UdpSocket::from_std(socket.into()).map_err(|error| Failure::of(&error))
}

/// Where to. An address of a link is one of the interface that the check names.
pub(super) fn address(endpoint: &Endpoint) -> Result<SocketAddr, Failure> {
    scoped(endpoint, endpoint.connect_ip, endpoint.connect_port)
}

/// A socket that does not block, bound as the check says.
pub(super) fn open(endpoint: &Endpoint, kind: Type, protocol: Protocol) -> Result<Socket, Failure> {
    let domain = if endpoint.connect_ip.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket =
        Socket::new(domain, kind.nonblocking(), Some(protocol)).map_err(|error| Failure::of(&error))?;
    prepare(&socket, endpoint)?;
    Ok(socket)
}

/// Binds a socket as the check says, and marks what it sends.
fn prepare(socket: &Socket, endpoint: &Endpoint) -> Result<(), Failure> {
    if endpoint.fwmark != 0 {
        let marked = socket.set_mark(endpoint.fwmark);
        marked.map_err(|error| Failure::Host(format!("cannot mark packets: {}", text(&error))))?;
    }
    if let Some(name) = &endpoint.bind_if {
        let bound = socket.bind_device(Some(name.as_bytes()));
        bound.map_err(|error| cannot_bind(name, &error))?;
    }
    if endpoint.bindto.is_some() || endpoint.bind_port.is_some() {
        let any = match endpoint.connect_ip {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let local = endpoint.bindto.unwrap_or(any);
        if endpoint.bind_port.is_some() {
            // Connections that have just been closed keep the port for a minute.
            socket.set_reuse_address(true).map_err(|error| Failure::of(&error))?;
            if socket.r#type().is_ok_and(|kind| kind == Type::STREAM) {
                // Closed with a reset: the same port to the same server would be refused for a minute.
                socket.set_linger(Some(Duration::ZERO)).map_err(|error| Failure::of(&error))?;
            }
        }
        let from = scoped(endpoint, local, endpoint.bind_port.unwrap_or(0))?;
        socket.bind(&from.into()).map_err(|error| cannot_bind(&local.to_string(), &error))?;
    }
    Ok(())
}

/// As under keepalived this says nothing of the server: the address may be with another node, or its ports are used up.
fn cannot_bind(what: &str, error: &io::Error) -> Failure {
    let reason = match error.raw_os_error() {
        Some(libc::ENODEV) => "there is no such interface".to_owned(),
        _ => text(error),
    };
    Failure::Host(format!("cannot bind to {what}: {reason}"))
}

fn scoped(endpoint: &Endpoint, address: IpAddr, port: u16) -> Result<SocketAddr, Failure> {
    match (address, &endpoint.bind_if) {
        (IpAddr::V6(address), Some(name)) if address.is_unicast_link_local() => {
            let index = if_nametoindex(name.as_str());
            let index = index.map_err(|error| cannot_bind(name, &error.into()))?;
            Ok(SocketAddrV6::new(address, port, 0, index).into())
        }
        _ => Ok(SocketAddr::new(address, port)),
    }
}
