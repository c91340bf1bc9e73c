//! Sockets for whole frames, which show each frame as it was on the cable.
//!
//! The kernel takes the outer VLAN tag out of a frame and hands it over beside it; here it is put back.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{MsgFlags, send, setsockopt, sockopt};

/// What may wait to be read.
const BUFFER: usize = 16 << 20;
/// Bytes of a VLAN tag.
const TAG: usize = 4;
/// Bytes of both MAC addresses, behind which the tags are.
const ADDRESSES: usize = 12;

/// A socket for the frames of one interface that never blocks.
#[derive(Debug)]
pub(crate) struct PacketSocket(OwnedFd);

/// A frame that came in.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    /// Its first bytes, as many as there was room for.
    pub(crate) bytes: &'a [u8],
    /// How many it had.
    pub(crate) length: usize,
    /// When the kernel had it.
    pub(crate) at: SystemTime,
}

/// What the kernel says beside a frame.
#[derive(Debug, Default)]
struct Beside {
    length: usize,
    tag: Option<[u8; TAG]>,
    at: Option<SystemTime>,
}

impl PacketSocket {
    /// Receives every frame that comes in by `interface` of the calling thread's namespace, and none that goes out.
    pub(crate) fn receiver(interface: &str) -> Result<Self> {
        let socket = Self::new()?;
        setsockopt(&socket.0, sockopt::RcvBufForce, &BUFFER)?;
        setsockopt(&socket.0, sockopt::ReceiveTimestampns, &true)?;
        socket.set_option(libc::PACKET_IGNORE_OUTGOING)?;
        socket.set_option(libc::PACKET_AUXDATA)?;
        socket.bind(interface, libc::ETH_P_ALL as u16)?;
        Ok(socket)
    }

    /// Sends frames by `interface` and receives none.
    pub(crate) fn sender(interface: &str) -> Result<Self> {
        let socket = Self::new()?;
        socket.bind(interface, 0)?;
        Ok(socket)
    }

    /// What came first; nothing when nothing is there.
    ///
    /// `buffer` has room for a tag more than what is kept of a frame.
    pub(crate) fn receive<'a>(&self, buffer: &'a mut [u8]) -> Result<Option<Received<'a>>> {
        let (kept, beside) = match self.receive_beside(&mut buffer[TAG..]) {
            Ok(received) => received,
            // A link that went down.
            Err(Errno::EAGAIN | Errno::ENETDOWN | Errno::EINTR) => return Ok(None),
            Err(error) => return Err(error).context("receive a frame"),
        };
        let at = beside.at.context("the kernel gave no time")?;
        let whole = TAG..TAG + kept;
        Ok(Some(match beside.tag {
            Some(tag) if kept >= ADDRESSES => {
                buffer.copy_within(TAG..TAG + ADDRESSES, 0);
                buffer[ADDRESSES..ADDRESSES + TAG].copy_from_slice(&tag);
                Received { bytes: &buffer[..whole.end], length: beside.length + TAG, at }
            }
            _ => Received { bytes: &buffer[whole], length: beside.length, at },
        }))
    }

    /// Sends one frame.
    pub(crate) fn send(&self, frame: &[u8]) -> io::Result<()> {
        Ok(send(self.0.as_raw_fd(), frame, MsgFlags::empty()).map(drop)?)
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

    fn new() -> Result<Self> {
        // SAFETY: no pointers are passed.
        let fd = unsafe {
            libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0)
        };
        Errno::result(fd).context("packet socket")?;
        // SAFETY: the descriptor is new, and nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    fn set_option(&self, option: libc::c_int) -> Result<()> {
        let on: libc::c_int = 1;
        // SAFETY: the kernel reads the size of a live integer.
        let outcome = unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                libc::SOL_PACKET,
                option,
                (&raw const on).cast(),
                size_of_val(&on) as libc::socklen_t,
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

    fn receive_beside(&self, buffer: &mut [u8]) -> nix::Result<(usize, Beside)> {
        // Words, for control messages are aligned.
        let mut control = [0_u64; 16];
        let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: all zeroes is a valid value of this plain struct.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        // SAFETY: both buffers live and are as long as the header says.
        let received = unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut message, 0) };
        let kept = Errno::result(received)?.cast_unsigned();
        Ok((kept, beside(&message)))
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The control messages of a message that was received, whose buffers still live.
fn beside(message: &libc::msghdr) -> Beside {
    let mut found = Beside::default();
    // SAFETY: the kernel has filled the control buffer and set its length.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !next.is_null() {
        // SAFETY: the macros only hand out headers that are whole.
        let (header, data) = unsafe { (next.read_unaligned(), libc::CMSG_DATA(next)) };
        match (header.cmsg_level, header.cmsg_type) {
            (libc::SOL_PACKET, libc::PACKET_AUXDATA) => {
                // SAFETY: this type of message carries this struct of integers.
                let auxiliary = unsafe { data.cast::<libc::tpacket_auxdata>().read_unaligned() };
                found.length = auxiliary.tp_len as usize;
                found.tag = tag(&auxiliary);
            }
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                // SAFETY: this type of message carries this struct of integers.
                let stamp = unsafe { data.cast::<libc::timespec>().read_unaligned() };
                let since = Duration::new(stamp.tv_sec.cast_unsigned(), stamp.tv_nsec.cast_unsigned() as u32);
                found.at = Some(UNIX_EPOCH + since);
            }
            _ => {}
        }
        // SAFETY: as above.
        next = unsafe { libc::CMSG_NXTHDR(message, next) };
    }
    found
}

fn tag(auxiliary: &libc::tpacket_auxdata) -> Option<[u8; TAG]> {
    let ([a, b], [c, d]) = (auxiliary.tp_vlan_tpid.to_be_bytes(), auxiliary.tp_vlan_tci.to_be_bytes());
    (auxiliary.tp_status & libc::TP_STATUS_VLAN_VALID != 0).then_some([a, b, c, d])
}
