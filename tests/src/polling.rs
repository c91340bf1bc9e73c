//! Makes the other end of a director's veth take frames at once.
//!
//! A frame that leaves a veth by `XDP_TX` wakes its peer only if the peer runs an XDP program too; generic receive
//! offload alone makes the peer accept the frame and leaves it in the ring (drivers/net/veth.c). A real network card
//! needs nothing of the kind. The program is two instructions that pass everything, so that the lab does not stand on
//! the program it tests.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use nix::net::if_::if_nametoindex;

use crate::netns::Netns;

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
/// Without it the peer's MTU would be limited to what fits a page.
const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// `r0 = XDP_PASS; exit` as struct `bpf_insn`.
const PASS: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 2, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
const LICENSE: &std::ffi::CStr = c"MIT";

#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// A program that passes everything, on an interface for as long as this lives.
#[derive(Debug)]
pub(crate) struct Polling {
    _link: OwnedFd,
}

impl Polling {
    /// Attaches to `port` in `netns`.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub(crate) fn start(netns: &Netns, port: &str) -> Result<Self> {
        let link = netns.enter(|| attach(port));
        Ok(Self { _link: link.with_context(|| format!("a passing XDP program on {port}"))? })
    }
}

fn attach(interface: &str) -> Result<OwnedFd> {
    let load = ProgLoad {
        prog_type: BPF_PROG_TYPE_XDP,
        insn_cnt: u32::try_from(PASS.len())?,
        insns: PASS.as_ptr().addr() as u64,
        license: LICENSE.as_ptr().addr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: BPF_F_XDP_HAS_FRAGS,
    };
    let program = bpf(BPF_PROG_LOAD, &load).context("load")?;
    let create = LinkCreate {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        target_ifindex: if_nametoindex(interface)?,
        attach_type: BPF_XDP,
        flags: XDP_FLAGS_DRV_MODE,
    };
    bpf(BPF_LINK_CREATE, &create).context("attach")
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads size_of::<T>() bytes of a live, initialised repr(C) struct without padding, and what its
    // addresses point to is static.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    match i32::try_from(fd) {
        // SAFETY: both commands return a new descriptor, which nobody else owns.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}
