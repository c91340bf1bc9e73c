//! Finds the object of the XDP program, which the binary embeds.

use std::env;
use std::path::Path;

/// Names the object for this build, and is what the crate reads it by.
const VARIABLE: &str = "XLVS_BPF_OBJECT";

/// Where `cargo xtask build` leaves it in the workspace.
const DEFAULT: &str = "target/bpf/bpfel-unknown-none/release/xlvs-bpf";

fn main() {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let workspace = package.parent().unwrap_or(package);
    let object = env::var_os(VARIABLE).map_or_else(|| workspace.join(DEFAULT), |given| workspace.join(given));
    println!("cargo::rerun-if-changed={}", object.display());
    if object.is_file() {
        println!("cargo::rustc-env={VARIABLE}={}", object.display());
    } else {
        println!(
            "cargo::error=the XDP program is not built: run `cargo xtask build` (no file {})",
            object.display()
        );
    }
}
