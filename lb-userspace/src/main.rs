//! The command line of xlvs.
fn main() {}
