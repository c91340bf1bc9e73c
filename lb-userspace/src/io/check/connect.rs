//! Owns one TCP connection attempt and what its errors say about the server.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tracing::warn;

use super::Target;
use crate::health::Input;

/// Connects once and closes again; the handshake is the whole probe.
pub(super) async fn probe(target: Target, timeout: Duration) -> Input {
    match tokio::time::timeout(timeout, connect(target)).await {
        Err(_) => failed(format!("timed out after {}", Seconds(timeout))),
        Ok(Ok(_)) => Input::Passed,
        Ok(Err(error)) => judge(target.address, error),
    }
}

/// What went wrong, and whose fault it is.
enum Error {
    Socket(io::Error),
    Bind(std::net::IpAddr, io::Error),
    Connect(io::Error),
    ToItself,
}

async fn connect(target: Target) -> Result<TcpStream, Error> {
    let socket = match target.address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
    .map_err(Error::Socket)?;
    if let Some(local) = target.bind {
        socket.bind(SocketAddr::new(local, 0)).map_err(|error| Error::Bind(local, error))?;
    }
    let stream = socket.connect(target.address).await.map_err(Error::Connect)?;
    // A local address whose port nobody listens on can be connected to itself when that port is ephemeral.
    if stream.local_addr().is_ok_and(|local| local == target.address) {
        return Err(Error::ToItself);
    }
    Ok(stream)
}

fn judge(address: SocketAddr, error: Error) -> Input {
    match error {
        Error::ToItself => failed("connection refused".into()),
        Error::Bind(local, error) => failed(format!("cannot bind to {local}: {}", text(&error))),
        Error::Socket(error) | Error::Connect(error) if is_ours(&error) => {
            warn!(%address, error = %text(&error), "this host cannot probe; the server keeps its state");
            Input::Inconclusive
        }
        Error::Socket(error) | Error::Connect(error) => failed(text(&error)),
    }
}

/// Out of descriptors, memory or local ports: all servers would go down for a fault of this host.
fn is_ours(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EADDRNOTAVAIL | libc::EAGAIN)
    )
}

fn failed(reason: String) -> Input {
    Input::Failed { reason }
}

fn text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::ConnectionReset => "connection reset".into(),
        io::ErrorKind::HostUnreachable => "no route to host".into(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".into(),
        io::ErrorKind::TimedOut => "timed out".into(),
        io::ErrorKind::AddrNotAvailable => "no interface has this address".into(),
        _ => error.to_string(),
    }
}

/// Seconds with as many decimals as there are: `3 s`, `0.25 s`.
struct Seconds(Duration);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} s", self.0.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_read_naturally() {
        assert_eq!(format!("{}", Seconds(Duration::from_secs(3))), "3 s");
        assert_eq!(format!("{}", Seconds(Duration::from_millis(250))), "0.25 s");
    }

    #[test]
    fn a_shortage_of_this_host_says_nothing_about_the_server() {
        let address = "192.0.2.1:80".parse().unwrap();
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EADDRNOTAVAIL] {
            let error = Error::Socket(io::Error::from_raw_os_error(errno));
            assert_eq!(judge(address, error), Input::Inconclusive);
        }
        let error = Error::Connect(io::Error::from_raw_os_error(libc::EHOSTUNREACH));
        assert_eq!(judge(address, error), failed("no route to host".into()));
        let error =
            Error::Bind("192.0.2.7".parse().unwrap(), io::Error::from_raw_os_error(libc::EADDRNOTAVAIL));
        let reason = "cannot bind to 192.0.2.7: no interface has this address";
        assert_eq!(judge(address, error), failed(reason.into()));
    }
}
