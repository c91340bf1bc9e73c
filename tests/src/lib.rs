//! The namespace lab and packet fixtures.

pub mod demo;
