//! The adapters: everything that owns a socket, a clock, a map or a task lives below here.

mod bpf_log;
pub mod check;
pub mod daemon;
pub mod datapath;
mod effective;
pub mod links;
mod netlink;
pub mod nexthop;
mod report;
pub mod socket;

pub use netlink::Error as NetlinkError;
