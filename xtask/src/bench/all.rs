//! `cargo xtask bench all`: everything in turn, with one file of figures.

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Parser};

use super::Measure;
use super::document::Document;

/// What is measured, as one would type it.
const LINES: [&str; 15] = [
    "flows",
    "flows --flows 8000000 --schedulers rr",
    "flows --flows 1000,100000 --schedulers rr --peer forward,nft",
    "flows --flows 900000 --schedulers mh --protocol ops",
    "cps",
    "cps --servers 64 --schedulers mh --ops",
    "path",
    "scale",
    "memory",
    "latency",
    "proxies",
    "config",
    "checks",
    "metrics",
    "failover",
];
/// The same in a few minutes, to see that it works: these figures say little.
const QUICK_LINES: [&str; 15] = [
    "flows --rounds 1 --frames 300000 --flows 1,10000",
    "flows --rounds 1 --frames 300000 --flows 2000000 --schedulers rr",
    "flows --rounds 1 --frames 300000 --flows 1000 --schedulers rr --peer forward,nft",
    "flows --rounds 1 --frames 300000 --flows 10000 --schedulers mh --protocol ops",
    "cps --rounds 1 --frames 400000 --servers 3",
    "cps --rounds 1 --frames 400000 --servers 3 --schedulers mh --ops",
    "path --rounds 1 --frames 1000",
    "scale --rounds 1 --frames 300000",
    "memory --flows 100000",
    "latency --rounds 1 --requests 1000",
    "proxies --rounds 1 --seconds 1",
    "config --rounds 1 --servers 100",
    "checks --servers 1000 --seconds 5",
    "metrics --services 100 --seconds 5",
    "failover --rounds 1",
];

/// Arguments of `cargo xtask bench all`.
#[derive(Args)]
pub(super) struct Arguments {
    /// In minutes, to see that it works: the figures say little
    #[arg(long)]
    quick: bool,
}

/// A line of those.
#[derive(Parser)]
#[command(no_binary_name = true)]
struct Line {
    #[command(subcommand)]
    what: Measure,
}

impl Line {
    fn read(line: &str) -> Result<Self> {
        Self::try_parse_from(line.split_whitespace()).with_context(|| line.to_owned())
    }
}

/// Measures all, and then says what failed.
pub(super) fn main(arguments: &Arguments, document: &mut Document) -> Result<()> {
    let lines = if arguments.quick { QUICK_LINES } else { LINES };
    let mut failed = Vec::new();
    for line in lines {
        println!("\n== cargo xtask bench {line}");
        if let Err(error) = Line::read(line)?.what.measure(document) {
            eprintln!("error: {error:#}");
            failed.push(line);
        }
        document.mark("quick", arguments.quick);
        lb_tests::wait::check_interrupt()?;
    }
    ensure!(failed.is_empty(), "what failed: {}", failed.join("; "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_command_lines() {
        for (line, quick) in LINES.into_iter().zip(QUICK_LINES) {
            let Line { what } = Line::read(line).expect("a command line");
            Line::read(quick).expect("a command line");
            assert!(!matches!(what, Measure::All(_)), "{line}");
            assert_eq!(line.split(' ').next(), quick.split(' ').next(), "both measure the same");
        }
    }
}
