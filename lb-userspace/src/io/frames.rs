//! A socket through which whole Ethernet frames are sent.

use std::{io, os::fd::AsRawFd as _};

use nix::errno::Errno;
use socket2::{Domain, Socket, Type};

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
        let Some(header) = frame.first_chunk::<14>() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut mac = [0; 8];
        mac[..6].copy_from_slice(&header[..6]);
        let to = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: u16::from_be_bytes([header[12], header[13]]).to_be(),
            sll_ifindex: link as i32,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: mac,
        };
        // SAFETY: both pointers are to live values of the lengths given, which the kernel only reads.
        let sent = unsafe {
            libc::sendto(
                self.0.as_raw_fd(),
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
