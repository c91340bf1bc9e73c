//! The controller of xlvs.
