//! `cargo xtask test --guest`: the tests of `nics`, in an emulated machine with the cards that they want.

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, ensure};
use lb_tests::{cards, wait};
use serde_json::Value;

use crate::guest::{Guest, Machine, Nic};
use crate::{command, workspace};

const SUITE: &str = "nics";
const MEMORY: u32 = 2048;
const TIMEOUT: Duration = Duration::from_mins(30);

/// Builds and runs them, one after the other: each card is there once.
pub(super) fn run(arguments: &[String]) -> Result<()> {
    wait::interrupt_on_signals()?;
    let executable = executable()?;
    let listed = command::output(Command::new(&executable).args(["--list", "--ignored"]).args(arguments))?;
    ensure!(is_any(&listed), "no test of {SUITE} is meant by `{}`", arguments.join(" "));
    let mut words: Vec<OsString> = vec![executable.into()];
    words.extend(["--ignored", "--test-threads=1", "--nocapture"].map(OsString::from));
    words.extend(arguments.iter().map(OsString::from));
    let machine = Machine { memory: MEMORY, cpus: cards::CPUS, count_instructions: false, nics: nics()? };
    let status = Guest { machine, timeout: TIMEOUT, out: None }.run(&words)?;
    ensure!(status == 0, "the tests in the guest ended with {status}");
    Ok(())
}

fn nics() -> Result<Vec<Nic>> {
    let nics = cards::ALL.iter().map(|card| format!("{},mac={}", card.model, card.mac).parse());
    nics.collect::<Result<_, String>>().map_err(Error::msg)
}

/// Builds the suite, and asks cargo for its path.
fn executable() -> Result<String> {
    let mut cargo = workspace::cargo("test");
    cargo.args(["--release", "--package", "lb-tests", "--test", SUITE, "--no-run"]);
    let told = command::output(cargo.args(["--message-format", "json-render-diagnostics"]))?;
    named(&told).with_context(|| format!("cargo built no test {SUITE}"))
}

/// Whether a test is among what a test program lists.
fn is_any(listed: &str) -> bool {
    listed.lines().any(|line| line.ends_with(": test"))
}

/// The path among cargo's messages.
fn named(messages: &str) -> Option<String> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut ours = messages.filter(|message| message["target"]["name"] == SUITE);
    ours.find_map(|message| message["executable"].as_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_is_found_among_the_messages_of_cargo() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"lb_tests"},"executable":"/other"}
{"reason":"compiler-artifact","target":{"name":"nics"},"executable":"/target/nics-1"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(named(messages).as_deref(), Some("/target/nics-1"));
        assert_eq!(named("{}"), None);
    }

    #[test]
    fn a_name_that_no_test_has_is_told() {
        assert!(is_any("a_dummy_has_no_native_xdp: test\n\n1 test, 0 benchmarks\n"));
        assert!(!is_any("0 tests, 0 benchmarks\n"));
    }

    #[test]
    fn what_the_tests_want_are_cards() {
        assert_eq!(nics().unwrap().len(), cards::ALL.len());
    }
}
