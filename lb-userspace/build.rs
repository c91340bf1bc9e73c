//! Finds the object of the XDP program, which the binary embeds.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

/// Names the object for this build, and is what the crate reads it by.
const VARIABLE: &str = "XLVS_BPF_OBJECT";

/// Where `cargo xtask build` leaves it in the workspace.
const DEFAULT: &str = "target/bpf/bpfel-unknown-none/release/xlvs-bpf";

fn main() -> ExitCode {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let object = env::var_os(VARIABLE).map_or_else(|| workspace.join(DEFAULT), |given| workspace.join(given));
    println!("cargo::rerun-if-changed={}", object.display());
    match object.canonicalize() {
        Ok(object) => println!("cargo::rustc-env={VARIABLE}={}", object.display()),
        Err(error) => {
            println!(
                "cargo::error=the XDP program is not built: run `cargo xtask build` ({}: {error})",
                object.display()
            );
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
