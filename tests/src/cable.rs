//! Cables pulled and put back without another program's start in between: outages are measured from that moment.

use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;

use crate::switch::Link;

/// Switches `interface` of the calling thread's namespace on or off; its peer loses its carrier with it.
pub(crate) fn set_link(interface: &str, link: Link) -> Result<()> {
    // Any socket reaches the interfaces of the namespace it was made in.
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    // SAFETY: all zeroes is a valid value of this plain struct.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    ensure!(interface.len() < request.ifr_name.len(), "{interface} is no name of an interface");
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    // SAFETY: the kernel reads the name from a live struct of its own layout and writes the flags into it.
    let outcome = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) };
    Errno::result(outcome).with_context(|| interface.to_owned())?;
    // SAFETY: the kernel has just written the flags.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    let up = libc::IFF_UP as libc::c_short;
    request.ifr_ifru.ifru_flags = match link {
        Link::Up => flags | up,
        Link::Down => flags & !up,
    };
    // SAFETY: the kernel only reads a live struct of its own layout.
    let outcome = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    Errno::result(outcome).map(drop).with_context(|| format!("switching {interface}"))
}
