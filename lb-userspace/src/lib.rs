//! The controller of xlvs.

pub mod config;
