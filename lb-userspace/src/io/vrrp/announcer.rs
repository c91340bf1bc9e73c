//! Owns the packet socket through which neighbours are told where an address is.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use socket2::{Domain, Socket, Type};

use crate::arp;
use crate::io::sysctl;

/// A socket that sends whole Ethernet frames and receives none.
#[derive(Debug)]
pub(super) struct Announcer {
    socket: Socket,
}

impl Announcer {
    /// Opens the socket in the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None)?;
        Ok(Self { socket })
    }

    /// Tells everybody on a link that `address` is at `mac`: gratuitous ARP, or an unsolicited neighbour advertisement,
    /// which calls this host a router if the kernel does in its own.
    pub(super) fn announce(&self, name: &str, link: u32, mac: [u8; 6], address: IpAddr) -> io::Result<()> {
        match address {
            IpAddr::V4(address) => self.send(link, &arp::gratuitous(address, mac)),
            IpAddr::V6(address) => {
                let router = sysctl::get("ipv6", name, "forwarding").is_ok_and(|forwarding| forwarding != 0);
                self.send(link, &arp::unsolicited(address, mac, router))
            }
        }
    }

    fn send(&self, link: u32, frame: &[u8]) -> io::Result<()> {
        let mut to = [0; 8];
        to[..6].copy_from_slice(&frame[..6]);
        let to = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: u16::from_be_bytes([frame[12], frame[13]]).to_be(),
            sll_ifindex: link as i32,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: to,
        };
        // SAFETY: both pointers are to live values of the lengths given, which the kernel only reads.
        let sent = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                (&raw const to).cast(),
                size_of_val(&to) as u32,
            )
        };
        Errno::result(sent)?;
        Ok(())
    }
}
