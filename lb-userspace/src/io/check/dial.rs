//! Sockets for probes: from the address, the interface and the port, and with the mark that the check names.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use nix::net::if_::if_nametoindex;
use nix::poll::PollFlags;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpStream, UdpSocket};

use super::probe::{Failure, text};
use crate::config::model::check::Endpoint;

/// The least port that `net.ipv4.ip_local_port_range` gives out, unless those of root are given out too.
const EPHEMERAL: u16 = 1024;

/// A connection to the server.
pub(super) async fn tcp(endpoint: &Endpoint) -> Result<TcpStream, Failure> {
    begin(endpoint)?.established().await
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
pub(super) struct Connection {
    pub(super) socket: Socket,
    to: SocketAddr,
}

impl Connection {
    /// Waits until it is there.
    pub(super) async fn established(self) -> Result<TcpStream, Failure> {
        let Self { socket, to } = self;
        let stream = TcpStream::from_std(socket.into()).map_err(|error| Failure::of(&error))?;
        stream.writable().await.map_err(|error| Failure::of(&error))?;
        if let Some(error) = stream.take_error().unwrap_or_else(Some) {
            return Err(Failure::of(&error));
        }
        not_itself(to, || stream.local_addr().ok())?;
        Ok(stream)
    }

    /// What is known of it by now, when poll(2) tells of these events.
    pub(super) fn state(&self, events: PollFlags) -> Option<Result<(), Failure>> {
        if events.is_empty() {
            return None;
        }
        if events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP)
            && let Some(error) = self.socket.take_error().unwrap_or_else(Some)
            // Only a connection that was there can be reset.
            && !matches!(error.raw_os_error(), Some(libc::ECONNRESET | libc::EPIPE))
        {
            return Some(Err(Failure::of(&error)));
        }
        Some(not_itself(self.to, || self.socket.local_addr().ok()?.as_socket()))
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
