//! The namespace lab: a client, a director and real servers in network namespaces, with the parts that run in them.
//!
//! Owns everything a test needs to put real packets through the `xlvs` binary and to explain a failure. Refuses to
//! touch any interface of the namespace it was started in.

pub mod client;
pub mod config;
pub mod demo;
mod diagnosis;
pub mod director;
pub mod echo;
pub mod http;
pub mod lab;
pub mod netns;
pub mod nginx;
mod polling;
pub mod process;
pub mod status;
pub mod wait;

pub use lab::{Lab, Plan, with_lab};
