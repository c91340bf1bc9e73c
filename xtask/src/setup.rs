//! `cargo xtask setup`: finds or installs what building and testing need, and says what it installs.
//!
//! When all is there it changes nothing. Where it may not install, it fails with the command to run.

mod apt;
mod bpffs;
pub(crate) mod compiler;
pub(crate) mod fuzzer;
pub(crate) mod guest;
mod lab;
mod linker;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use apt::Apt;
pub(crate) use bpffs::mount as mount_bpffs;
use compiler::Compiler;

/// Arguments of `cargo xtask setup`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// How much to set up
    #[arg(long, value_enum, default_value_t = Level::Lab)]
    level: Level,
}

/// How much is set up.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// The compiler and the linker of the XDP program
    Build,
    /// Also the programs of the test lab and the BPF file system
    Lab,
}

/// What builds the XDP program.
pub(crate) struct Tools {
    /// A compiler that has its own core sources.
    pub(crate) compiler: Compiler,
    /// bpf-linker for the compiler's LLVM.
    pub(crate) linker: PathBuf,
}

/// Sets up and lists what is there.
pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    let tools = ensure(arguments.level)?;
    println!("compiler    {}", tools.compiler);
    println!("bpf-linker  {} (LLVM {})", tools.linker.display(), tools.compiler.version.llvm);
    if arguments.level == Level::Lab {
        for (program, path) in lab::found() {
            println!("{program:<11} {}", path.display());
        }
        println!("bpffs       {}", bpffs::DIRECTORY);
    }
    println!("setup: everything is present");
    Ok(())
}

/// Sets up to the given level, in silence where nothing is missing.
pub(crate) fn ensure(level: Level) -> Result<Tools> {
    let mut apt = Apt::default();
    let compiler = compiler::ensure(&mut apt)?;
    let linker = linker::ensure(&mut apt, compiler.version.llvm)?;
    if level == Level::Lab {
        lab::ensure(&mut apt)?;
        bpffs::mount()?;
    }
    Ok(Tools { compiler, linker })
}

/// What the bench needs beside the lab's programs to measure nftables.
pub(crate) fn provide_nft() -> Result<()> {
    Apt::default().provide(&[("nft", "nftables")], "bench --peer nft")
}

/// Tells the user about something that takes a while or changes the machine.
fn announce(what: &str) {
    eprintln!("setup: {what}");
}
