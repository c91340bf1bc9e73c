//! An XDP program that passes everything, for the far ends of the director's veths.
//!
//! A veth hands frames of `XDP_TX` over to its peer, but wakes the peer only when that has a program of its own;
//! generic receive offload alone makes it accept them and leaves them in the ring.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};

use crate::netns::Netns;

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
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
}

#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// The program on an interface; it leaves with the value.
#[derive(Debug)]
pub struct Pass {
    _link: OwnedFd,
}

impl Pass {
    /// Attaches the program in native mode to `interface` of `netns`.
    ///
    /// # Errors
    /// When there is no such interface or the kernel refuses.
    pub fn attach(netns: &Netns, interface: &str) -> Result<Self> {
        netns
            .enter(|| {
                let target_ifindex = nix::net::if_::if_nametoindex(interface)?;
                let load = ProgLoad {
                    prog_type: BPF_PROG_TYPE_XDP,
                    insn_cnt: u32::try_from(PASS.len())?,
                    insns: PASS.as_ptr().addr() as u64,
                    license: LICENSE.as_ptr().addr() as u64,
                };
                let program = bpf(BPF_PROG_LOAD, &load).context("load")?;
                let prog_fd = program.as_raw_fd().cast_unsigned();
                let create =
                    LinkCreate { prog_fd, target_ifindex, attach_type: BPF_XDP, flags: XDP_FLAGS_DRV_MODE };
                Ok(Self { _link: bpf(BPF_LINK_CREATE, &create).context("attach")? })
            })
            .with_context(|| format!("passing XDP program on {interface} of {}", netns.name()))
    }
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
