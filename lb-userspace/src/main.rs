//! The command line of xlvs.

use std::process::ExitCode;

fn main() -> ExitCode {
    xlvs::cli::main()
}
