//! Packet sockets: where they send and what they receive, and one through which whole Ethernet frames are sent.

use std::io;

use socket2::{Domain, SockAddr, SockAddrStorage, Socket, Type};

/// A place of packet sockets: an interface by its index, 0 for any, the protocol of packets, and an Ethernet address.
pub(super) fn place(link: u32, protocol: u16, mac: [u8; 6]) -> SockAddr {
    let mut octets = [0; 8];
    octets[..6].copy_from_slice(&mac);
    let place = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: protocol.to_be(),
        sll_ifindex: link as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: octets,
    };
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: it is an address of a socket of Linux, and the length is its own.
    unsafe {
        *storage.view_as::<libc::sockaddr_ll>() = place;
        SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as u32)
    }
}

/// It sends by any interface and receives nothing.
#[derive(Debug)]
pub(super) struct FrameSocket(Socket);

impl FrameSocket {
    /// Opens it in the network namespace of the calling thread.
    pub(super) fn open() -> io::Result<Self> {
        Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), None).map(Self)
    }

    /// Sends a frame by the interface with this index.
    pub(super) fn send(&self, link: u32, frame: &[u8]) -> io::Result<()> {
        let Some((mac, [_, _, _, _, _, _, high, low, ..])) = frame.split_first_chunk::<6>() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let to = place(link, u16::from_be_bytes([*high, *low]), *mac);
        self.0.send_to(frame, &to)?;
        Ok(())
    }
}
