//! Programs that say how a server is, and one that never says anything.

use std::time::Duration;

use crate::config::model::check::MiscProbe;
use crate::config::model::vrrp::{Command, VrrpGlobals};
use crate::health::{Input, Share};
use crate::io::check::misc::probe;
use crate::io::check::probe::Failure;
use crate::io::command::Programs;

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
    probe(&shell(script, Duration::from_secs(10), is_dynamic), &programs).await
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
    assert_eq!(probe(&misc, &programs).await, Err("/no/such/program does not exist".into()));
}

#[tokio::test]
async fn a_program_that_never_ends_is_ended_with_its_children() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("child");
    let script = format!("sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait", file.display());
    let programs = Programs::new(&VrrpGlobals::default());
    let said = probe(&shell(&script, Duration::from_millis(300), false), &programs).await;
    assert_eq!(said, Err("its program ran longer than 0.3 s".into()));
    if let Ok(child) = std::fs::read_to_string(&file) {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "its child runs on: {state}");
    }
}
