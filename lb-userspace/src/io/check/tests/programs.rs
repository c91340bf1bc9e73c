//! Programs that say how a server is, and one that never says anything.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::config::model::check::MiscProbe;
use crate::config::model::vrrp::{Command, VrrpGlobals};
use crate::health::{Input, Share};
use crate::io::check::misc::{Turn, probe};
use crate::io::check::probe::Failure;
use crate::io::command::{GRACE, Programs};

fn shell(script: &str, timeout: Duration, is_dynamic: bool) -> MiscProbe {
    let words = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    MiscProbe { command: Command { words, user: Some(myself()) }, timeout, is_dynamic }
}

fn myself() -> crate::config::model::vrrp::User {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap();
    crate::config::model::vrrp::User { name: user.name, group: None }
}

async fn ended(script: &str, is_dynamic: bool) -> Result<Input, Failure> {
    let programs = Programs::new(&VrrpGlobals::default());
    probe(&shell(script, Duration::from_secs(10), is_dynamic), &programs, &Turn::default()).await
}

#[tokio::test]
async fn the_exit_code_decides() {
    let failed = |code| Err(format!("its program ended with exit status: {code}").into());
    for is_dynamic in [false, true] {
        assert_eq!(ended("exit 0", is_dynamic).await, Ok(Input::Passed));
        assert_eq!(ended("exit 1", is_dynamic).await, failed(1));
    }
    assert_eq!(ended("exit 2", false).await, failed(2));
    assert_eq!(ended("exit 2", true).await, Ok(Input::PassedWith(Share::To(0))));
    assert_eq!(ended("exit 255", true).await, Ok(Input::PassedWith(Share::To(253))));
    let Err(Failure::Server(reason)) = ended("kill -9 $$", true).await else { panic!("it passed") };
    assert!(reason.starts_with("its program ended with signal: 9"), "{reason}");
}

#[tokio::test]
async fn what_is_not_there_is_a_failure() {
    let programs = Programs::new(&VrrpGlobals::default());
    let command = Command { words: vec!["/no/such/program".to_owned()], user: Some(myself()) };
    let misc = MiscProbe { command, timeout: Duration::from_secs(1), is_dynamic: false };
    assert_eq!(
        probe(&misc, &programs, &Turn::default()).await,
        Err("/no/such/program does not exist".into())
    );
}

/// Whether the process whose number a script wrote into `file` has ended, soon.
async fn ends(file: &Path) -> bool {
    for _ in 0..500 {
        let child = std::fs::read_to_string(file).unwrap_or_default();
        let state = std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
        if !child.is_empty() && (state.is_empty() || state.contains(") Z ")) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test]
async fn a_program_that_never_ends_is_ended_with_its_children() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("child");
    let script = format!("sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait", file.display());
    let programs = Programs::new(&VrrpGlobals::default());
    let said = probe(&shell(&script, Duration::from_secs(2), false), &programs, &Turn::default()).await;
    assert_eq!(said, Err("its program ran longer than 2 s".into()));
    assert!(ends(&file).await, "its child runs on");
}

#[tokio::test]
async fn a_program_that_does_not_want_to_end_delays_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("itself");
    let script = format!(
        "trap '' TERM; echo $$ > {0}.new; mv {0}.new {0}; while :; do sleep 1000; done",
        file.display()
    );
    let programs = Programs::new(&VrrpGlobals::default());
    let begun = Instant::now();
    let said = probe(&shell(&script, Duration::from_secs(2), false), &programs, &Turn::default()).await;
    assert_eq!(said, Err("its program ran longer than 2 s".into()));
    assert!(begun.elapsed() < Duration::from_secs(2) + GRACE, "{:?}", begun.elapsed());
    assert!(ends(&file).await, "it runs on");
}

#[tokio::test]
async fn a_program_waits_for_the_one_before_within_its_own_time() {
    let directory = tempfile::tempdir().unwrap();
    let count = directory.path().join("count");
    let script = format!("trap '' TERM; echo once >> {}; while :; do sleep 1000; done", count.display());
    let programs = Programs::new(&VrrpGlobals::default());
    let (turn, misc) = (Turn::default(), shell(&script, Duration::from_millis(500), false));
    for _ in 0..2 {
        let begun = Instant::now();
        let said = probe(&misc, &programs, &turn).await;
        assert_eq!(said, Err("its program ran longer than 0.5 s".into()));
        assert!(begun.elapsed() < Duration::from_millis(500) + GRACE, "{:?}", begun.elapsed());
    }
    let begun = std::fs::read_to_string(&count).unwrap();
    assert_eq!(begun, "once\n", "a second one ran beside the first");
}
