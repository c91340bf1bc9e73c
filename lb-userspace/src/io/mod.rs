//! The adapters: everything that owns a socket, a clock, a map or a task lives below here.

mod adm;
pub mod background;
mod bpf_log;
pub mod check;
mod clock;
pub mod collector;
pub mod command;
pub mod connections;
pub mod daemon;
pub mod datapath;
mod descriptors;
mod effective;
pub mod events;
pub mod fifo;
mod files;
mod frames;
pub mod holdings;
pub mod interfaces;
pub mod links;
pub mod mail;
mod metrics;
pub mod names;
mod netlink;
pub mod nexthop;
pub mod notify;
pub mod parking;
mod report;
mod roles;
pub mod socket;
pub mod source;
mod sysctl;
mod tell;
pub mod trackers;
pub mod vmac;
mod vrrp;

pub use netlink::Error as NetlinkError;
