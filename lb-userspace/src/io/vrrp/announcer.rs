//! Owns the packet socket through which neighbours are told where an address is.

use std::io;
use std::net::IpAddr;

use crate::arp;
use crate::io::frames::FrameSocket;
use crate::io::sysctl;

/// A socket for announcements.
#[derive(Debug)]
pub(super) struct Announcer {
    socket: FrameSocket,
}

impl Announcer {
    /// Opens the socket in the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self { socket: FrameSocket::open()? })
    }

    /// Tells everybody on a link that `address` is at `mac`: gratuitous ARP, or an unsolicited neighbour advertisement,
    /// which calls this host a router if the kernel does in its own.
    pub(super) fn announce(&self, name: &str, link: u32, mac: [u8; 6], address: IpAddr) -> io::Result<()> {
        match address {
            IpAddr::V4(address) => self.socket.send(link, &arp::gratuitous(address, mac)),
            IpAddr::V6(address) => {
                let router = sysctl::get("ipv6", name, "forwarding").is_ok_and(|forwarding| forwarding != 0);
                self.socket.send(link, &arp::unsolicited(address, mac, router))
            }
        }
    }
}
