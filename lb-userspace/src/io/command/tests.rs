use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::time::Duration;

use nix::sys::signal::kill;
use nix::unistd::{Pid, Uid};

use super::testing::{PATIENCE, Place, command, is_gone, until};
use super::{Dropped, End, Error, Programs};
use crate::config::model::vrrp::{Command, User, VrrpGlobals};

#[tokio::test]
async fn arguments_arrive_as_they_are_after_the_command_s_own() {
    let place = Place::new();
    let mut command = place.script("args", "printf '<%s>' \"$@\" >out");
    command.words.extend(["own".to_owned(), "two words".to_owned()]);
    run(&programs(), &command, &["", "$HOME", "a\"b"]).await;
    assert_eq!(place.read("out"), "<own><two words><><$HOME><a\"b>");
}

#[tokio::test]
async fn a_program_without_a_slash_is_looked_for_in_path() {
    let programs = programs();
    assert!(programs.find(&command(&["true"])).is_ok());
    let missing = programs.find(&command(&["no-such-program-anywhere"]));
    assert!(matches!(missing, Err(Error::Missing { .. })), "{missing:?}");
}

#[tokio::test]
async fn a_user_is_switched_to_with_all_its_groups() {
    assert!(Uid::effective().is_root(), "this test switches users and must be run by root");
    let place = Place::new();
    fs::write(place.path("out"), "").unwrap();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    chown(place.path("out"), Some(nobody.uid.as_raw()), None).unwrap();
    let script = place.script("who", "echo $(id -u) $(id -g) $(id -G) $USER >out");
    let user = User { name: "nobody".to_owned(), group: None };
    let command = Command { user: Some(user), ..script };
    run(&programs(), &command, &[]).await;
    let expected = format!("{} {} {} nobody\n", nobody.uid, nobody.gid, nobody.gid);
    assert_eq!(place.read("out"), expected);
}

#[test]
fn script_user_runs_what_names_nobody() {
    let user = |name: &str| Some(User { name: name.to_owned(), group: None });
    let programs = Programs::new(&VrrpGlobals { script_user: user("nobody"), ..VrrpGlobals::default() });
    assert_eq!(programs.identity(None).unwrap().name(), "nobody");
    assert!(programs.identity(user("root").as_ref()).unwrap().is_root());
}

#[tokio::test]
async fn unknown_users_and_groups_and_files_that_cannot_be_executed_are_told_apart() {
    let place = Place::new();
    let path = place.executable("fine", "exit 0");
    let find = |user: &str, group: Option<&str>| {
        let user = User { name: user.to_owned(), group: group.map(str::to_owned) };
        programs().find(&Command { user: Some(user), ..command(&[&path]) })
    };
    assert!(matches!(find("no-such-user", None), Err(Error::NoUser { .. })));
    assert!(matches!(find("nobody", Some("no-such-group")), Err(Error::NoGroup { .. })));
    assert!(find("nobody", None).is_ok());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(matches!(find("nobody", None), Err(Error::NotExecutable { .. })));
    assert!(find("root", None).is_ok());
}

#[tokio::test]
async fn what_runs_too_long_ends_with_its_whole_group() {
    let place = Place::new();
    // The child ignores SIGTERM, and its parent is gone after it.
    let script = place.script("slow", "(trap '' TERM; sleep 1000) & echo $$ $! >pids; wait");
    let mut running = programs().start("slow", &script, &[], Dropped::Killed).unwrap();
    let pids = place.lines("pids", 1).await;
    let pids: Vec<i32> = pids.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids[0], running.id());
    assert_eq!(running.wait_for(Duration::from_millis(50)).await.unwrap(), End::TimedOut);
    running.end().await;
    until(|| pids.iter().all(|&pid| is_gone(pid)).then_some(())).await;
}

#[tokio::test]
async fn dropping_kills_or_leaves() {
    let start = |dropped| programs().start("sleep", &command(&["sleep", "1000"]), &[], dropped).unwrap();
    let (killed, left) = (start(Dropped::Killed), start(Dropped::Left));
    let (killed_id, left_id) = (killed.id(), left.id());
    drop((killed, left));
    until(|| is_gone(killed_id).then_some(())).await;
    assert!(!is_gone(left_id));
    kill(Pid::from_raw(left_id), nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn script_security_refuses_what_others_could_change_for_root_alone() {
    let place = Place::new();
    let path = place.executable("open", "exit 0");
    let globals = VrrpGlobals { script_security: true, ..VrrpGlobals::default() };
    let find = |user: &str| {
        let user = User { name: user.to_owned(), group: None };
        Programs::new(&globals).find(&Command { user: Some(user), ..command(&[&path]) })
    };
    assert!(find("root").is_ok());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o757)).unwrap();
    let refused = find("root").unwrap_err().to_string();
    assert!(refused.contains("everybody may write"), "{refused}");
    assert!(find("nobody").is_ok());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    // The file is fine, but its directory is not.
    fs::set_permissions(place.dir(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(find("root"), Err(Error::Insecure { .. })));
    // Nor is a way to it by a link that somebody else owns.
    fs::set_permissions(place.dir(), fs::Permissions::from_mode(0o755)).unwrap();
    chown(place.dir(), Some(65534), None).unwrap();
    let refused = find("root").unwrap_err().to_string();
    assert!(refused.contains("belongs to user 65534"), "{refused}");
}

fn programs() -> Programs {
    Programs::new(&VrrpGlobals::default())
}

async fn run(programs: &Programs, command: &Command, arguments: &[&str]) {
    let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let mut running = programs.start("test", command, &arguments, Dropped::Killed).unwrap();
    let end = running.wait_for(PATIENCE).await.unwrap();
    assert!(matches!(end, End::Exited(status) if status.success()), "{end:?}");
}
