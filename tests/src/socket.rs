//! Sockets that know when the kernel received something: whole frames, echo replies, datagrams.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, connect,
    recvmsg, send, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;

/// What may wait to be read.
const BUFFER: usize = 16 << 20;

/// A socket that never blocks.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

impl Socket {
    /// Receives every frame that comes in by `interface` of the calling thread's namespace, and none that goes out.
    pub(crate) fn receiver(interface: &str) -> Result<Self> {
        let socket = Self::packet()?;
        setsockopt(&socket.0, sockopt::RcvBufForce, &BUFFER)?;
        setsockopt(&socket.0, sockopt::ReceiveTimestampns, &true)?;
        socket.set_packet_option(libc::PACKET_IGNORE_OUTGOING, 1)?;
        socket.bind(interface, libc::ETH_P_ALL as u16)?;
        Ok(socket)
    }

    /// Sends frames by `interface` and receives none.
    pub(crate) fn sender(interface: &str) -> Result<Self> {
        let socket = Self::packet()?;
        socket.bind(interface, 0)?;
        Ok(socket)
    }

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

    /// Sends one frame or message.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        Ok(send(self.0.as_raw_fd(), bytes, MsgFlags::empty()).map(drop)?)
    }

    /// Waits until something can be read, at most for `bound`.
    pub(crate) fn wait(&self, bound: Duration) -> Result<()> {
        let mut polled = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut polled, Some(TimeSpec::from_duration(bound)), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error).context("poll"),
        }
    }

    /// How many frames found no room since the last call.
    pub(crate) fn dropped(&self) -> Result<u32> {
        let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut length = size_of::<libc::tpacket_stats>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes, the size of a live struct of integers.
        let outcome = unsafe {
            libc::getsockopt(
                self.0.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut length,
            )
        };
        Errno::result(outcome).context("statistics of a packet socket")?;
        Ok(statistics.tp_drops)
    }

    fn packet() -> Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = unsafe {
            libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0)
        };
        Errno::result(fd).context("packet socket")?;
        // SAFETY: the descriptor is new, and nobody else's.
        Ok(Self(unsafe { std::os::fd::FromRawFd::from_raw_fd(fd) }))
    }

    fn set_packet_option(&self, option: libc::c_int, value: libc::c_int) -> Result<()> {
        // SAFETY: the kernel reads the size of a live integer.
        let outcome = unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                libc::SOL_PACKET,
                option,
                (&raw const value).cast(),
                size_of_val(&value) as libc::socklen_t,
            )
        };
        Errno::result(outcome).map(drop).context("option of a packet socket")
    }

    fn bind(&self, interface: &str, protocol: u16) -> Result<()> {
        let index = if_nametoindex(interface).with_context(|| interface.to_owned())?;
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: protocol.to_be(),
            sll_ifindex: index.cast_signed(),
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        // SAFETY: the kernel reads the size of a live struct of integers.
        let outcome = unsafe {
            libc::bind(
                self.0.as_raw_fd(),
                (&raw const address).cast(),
                size_of_val(&address) as libc::socklen_t,
            )
        };
        Errno::result(outcome).map(drop).with_context(|| format!("packet socket on {interface}"))
    }
}

fn time(stamp: TimeSpec) -> SystemTime {
    UNIX_EPOCH + Duration::from(stamp)
}
