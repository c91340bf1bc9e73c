//! The namespace lab: a client, a director and real servers in network namespaces, with the parts that run in them.
//!
//! Owns everything a test needs to put real packets through the `xlvs` binary and to explain a failure. Refuses to
//! touch any interface of the namespace it was started in.

pub mod bad_cable;
mod cable;
pub mod capture;
pub mod cards;
pub mod client;
pub mod config;
pub mod daemon;
pub mod demo;
mod diagnosis;
pub mod director;
pub mod doctor;
pub mod echo;
pub mod events;
pub mod family;
pub mod forge;
pub mod fragments;
pub mod frame;
pub mod host;
pub mod http;
pub mod hung;
pub mod lab;
pub mod load;
pub mod names;
pub mod netns;
pub mod nginx;
pub mod node;
mod packet_socket;
pub mod plan;
mod polling;
pub mod post;
pub mod probe;
pub mod process;
pub mod record;
pub mod requests;
pub mod rude;
pub mod sender;
pub mod server;
pub mod site;
mod socket;
pub mod status;
pub mod switch;
pub mod tcp_echo;
pub mod timed;
pub mod timeline;
pub mod trunk;
pub mod wait;
mod wiring;

pub use family::Family;
pub use lab::{Lab, with_lab};
pub use plan::Plan;
pub use site::{Site, with_site};
