//! Set-up, build, run, test, lint, bench and ci.
fn main() {}
