//! The controller of xlvs.

pub mod health;
pub mod io;
