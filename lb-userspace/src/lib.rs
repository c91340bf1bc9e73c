//! The controller of xlvs.

pub mod control;
pub mod plan;
