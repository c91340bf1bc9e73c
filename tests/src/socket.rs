//! Sockets that know when the kernel received something: echo replies, datagrams.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, connect,
    recvmsg, send, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;

/// A socket that never blocks.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

impl Socket {
    /// Exchanges ICMP messages with `peer` alone.
    pub(crate) fn icmp(peer: IpAddr) -> Result<Self> {
        let (family, protocol) = match peer {
            IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
            IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
        };
        let fd = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, protocol)?;
        setsockopt(&fd, sockopt::ReceiveTimestampns, &true)?;
        connect(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(peer, 0)))
            .with_context(|| format!("no way to {peer}"))?;
        Ok(Self(fd))
    }

    /// Exchanges datagrams with `peer` alone.
    pub(crate) fn udp(peer: SocketAddr) -> Result<Self> {
        let family = if peer.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(family, SockType::Datagram, flags, SockProtocol::Udp)?;
        setsockopt(&fd, sockopt::ReceiveTimestampns, &true)?;
        connect(fd.as_raw_fd(), &SockaddrStorage::from(peer)).with_context(|| format!("no way to {peer}"))?;
        Ok(Self(fd))
    }

    /// What came first and when the kernel had it; nothing when nothing is there.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> Result<Option<(usize, SystemTime)>> {
        let mut control = nix::cmsg_space!(libc::timespec);
        let mut parts = [IoSliceMut::new(buffer)];
        let received = recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty());
        let message = match received {
            Ok(message) => message,
            // A link that went down, or an ICMP error: nothing to read.
            Err(Errno::EAGAIN | Errno::ENETDOWN | Errno::EHOSTUNREACH | Errno::ECONNREFUSED) => {
                return Ok(None);
            }
            Err(error) => return Err(error).context("receive"),
        };
        let stamp = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(stamp) => Some(time(stamp)),
            _ => None,
        });
        Ok(Some((message.bytes, stamp.context("the kernel gave no time")?)))
    }

    /// Sends one message.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        Ok(send(self.0.as_raw_fd(), bytes, MsgFlags::empty()).map(drop)?)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until something can be read from one of `sockets`, at most for `bound`.
pub(crate) fn wait(sockets: &[BorrowedFd<'_>], bound: Duration) -> Result<()> {
    let mut polled: Vec<_> = sockets.iter().map(|&socket| PollFd::new(socket, PollFlags::POLLIN)).collect();
    match ppoll(&mut polled, Some(TimeSpec::from_duration(bound)), None) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error).context("poll"),
    }
}

fn time(stamp: TimeSpec) -> SystemTime {
    UNIX_EPOCH + Duration::from(stamp)
}
