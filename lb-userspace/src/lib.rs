//! The controller of xlvs: reads the configuration, checks real servers, resolves their MAC addresses, and keeps the
//! maps of the XDP program as they are to be.

pub mod adm;
pub mod alert;
pub mod arp;
pub mod carrier;
pub mod cli;
pub mod config;
pub mod control;
pub mod doctor;
pub mod event;
pub mod explain;
pub mod health;
pub mod io;
pub mod metrics;
pub mod parking;
pub mod plan;
pub mod status;
pub mod vip_probe;
pub mod vrrp;
