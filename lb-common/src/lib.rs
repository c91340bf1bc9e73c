//! What the XDP program and the controller share: the rows of the BPF maps and the pure algorithms.
//!
//! Everything here is `no_std`, compiled into the BPF object and tested on the host. There is no clock, no map
//! and no packet in this crate: callers pass them in.
#![no_std]

pub mod checksum;
pub mod counters;
pub mod flow;
pub mod fragment;
pub mod hash;
pub mod icmp;
pub mod layout;
pub mod limiter;
pub mod opening;
pub mod sched;
pub mod sctp;
pub mod tcp;

#[cfg(test)]
extern crate std;
