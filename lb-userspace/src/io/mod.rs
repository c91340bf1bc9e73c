//! The adapters: everything that owns a socket, a clock or a task lives below here.

pub mod check;
pub mod links;
mod netlink;
pub mod nexthop;

pub use netlink::Error as NetlinkError;
