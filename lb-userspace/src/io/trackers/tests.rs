use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::Trackers;
use crate::config::Span;
use crate::config::model::vrrp::{
    self as model, Overwrite, ParamMatch, TrackFile, TrackProcess, Vrrp, VrrpScript,
};
use crate::io::command::testing::{PATIENCE, Place, command, is_gone, until};
use crate::vrrp::Input;

#[tokio::test]
async fn a_script_is_told_of_after_rise_and_fall() {
    let place = Place::new();
    let body = "[ -e fine ]; result=$?; echo $result >>runs; exit $result";
    let script = VrrpScript { rise: 2, fall: 3, ..script(place.script("chk", body)) };
    let (_trackers, mut inputs) = start(&Vrrp { scripts: vec![script], ..Vrrp::default() });
    assert_eq!(next(&mut inputs).await, script_is(false));
    fs::write(place.path("fine"), "").unwrap();
    assert_eq!(next(&mut inputs).await, script_is(true));
    let runs = place.read("runs");
    assert!(runs.contains("1\n0\n0\n"), "{runs}");
    fs::remove_file(place.path("fine")).unwrap();
    assert_eq!(next(&mut inputs).await, script_is(false));
    let runs = place.read("runs");
    assert!(runs.contains("0\n1\n1\n1\n"), "{runs}");
}

#[tokio::test]
async fn a_script_that_takes_too_long_has_failed_and_its_group_is_ended() {
    let place = Place::new();
    let command = place.script("chk", "sleep 1000 & echo $$ $! >>pids; wait");
    let script = VrrpScript { timeout: Duration::from_millis(500), ..script(command) };
    let (_trackers, mut inputs) = start(&Vrrp { scripts: vec![script], ..Vrrp::default() });
    assert_eq!(next(&mut inputs).await, script_is(false));
    // It is run again after that, and those of the first run are gone.
    let pids = place.lines("pids", 2).await;
    let first = pids.lines().next().unwrap();
    for pid in first.split(' ').map(|pid| pid.parse().unwrap()) {
        until(|| is_gone(pid).then_some(())).await;
    }
}

#[tokio::test]
async fn a_script_that_cannot_be_run_has_failed() {
    let script = script(command(&["/no/such/program"]));
    let (_trackers, mut inputs) = start(&Vrrp { scripts: vec![script], ..Vrrp::default() });
    assert_eq!(next(&mut inputs).await, script_is(false));
}

#[tokio::test]
async fn dropping_kills_scripts_that_run() {
    let place = Place::new();
    let command = place.script("chk", "sleep 1000 & echo $$ $! >pids; wait");
    let script = VrrpScript { timeout: Duration::from_secs(1000), ..script(command) };
    let (trackers, mut inputs) = start(&Vrrp { scripts: vec![script], ..Vrrp::default() });
    let pids = place.lines("pids", 1).await;
    drop(trackers);
    for pid in pids.trim().split(' ').map(|pid| pid.parse().unwrap()) {
        until(|| is_gone(pid).then_some(())).await;
    }
    assert_eq!(timeout(PATIENCE, inputs.recv()).await.unwrap(), None);
}

#[tokio::test]
async fn a_file_is_read_at_the_start_and_when_it_changes() {
    let place = Place::new();
    let (_trackers, mut inputs) = start(&Vrrp { files: vec![file(place.path("file"))], ..Vrrp::default() });
    assert_eq!(next(&mut inputs).await, file_says(0));
    fs::write(place.path("file"), "17\n").unwrap();
    assert_eq!(next(&mut inputs).await, file_says(17));
    fs::write(place.path("other"), "-3 and more").unwrap();
    fs::rename(place.path("other"), place.path("file")).unwrap();
    assert_eq!(next(&mut inputs).await, file_says(-3));
    fs::write(place.path("file"), "99999999999").unwrap();
    assert_eq!(next(&mut inputs).await, file_says(i32::MAX));
    fs::write(place.path("file"), "no number").unwrap();
    assert_eq!(next(&mut inputs).await, file_says(0));
    fs::write(place.path("file"), "5").unwrap();
    assert_eq!(next(&mut inputs).await, file_says(5));
    fs::remove_file(place.path("file")).unwrap();
    assert_eq!(next(&mut inputs).await, file_says(0));
}

#[tokio::test]
async fn the_directory_of_a_file_may_come_and_go() {
    let place = Place::new();
    let path = place.path("late").join("file");
    let (_trackers, mut inputs) = start(&Vrrp { files: vec![file(path.clone())], ..Vrrp::default() });
    assert_eq!(next(&mut inputs).await, file_says(0));
    fs::create_dir(place.path("late")).unwrap();
    fs::write(&path, "1").unwrap();
    assert_eq!(next(&mut inputs).await, file_says(1));
    fs::rename(place.path("late"), place.path("away")).unwrap();
    assert_eq!(next(&mut inputs).await, file_says(0));
    fs::create_dir(place.path("late")).unwrap();
    fs::write(&path, "2").unwrap();
    assert_eq!(next(&mut inputs).await, file_says(2));
    fs::remove_dir_all(place.path("late")).unwrap();
    assert_eq!(next(&mut inputs).await, file_says(0));
}

#[tokio::test]
async fn an_init_file_is_written_at_the_start_and_not_later() {
    for (there, overwrite, expected) in [
        (None, Overwrite::No, 7),
        (Some("5"), Overwrite::No, 5),
        (Some("5"), Overwrite::Yes, 7),
        (None, Overwrite::Yes, 7),
    ] {
        let place = Place::new();
        if let Some(text) = there {
            fs::write(place.path("file"), text).unwrap();
        }
        let file = TrackFile { init: Some((7, overwrite)), ..file(place.path("file")) };
        let vrrp = Vrrp { files: vec![file], ..Vrrp::default() };
        let (mut trackers, mut inputs) = start(&vrrp);
        assert_eq!(next(&mut inputs).await, file_says(expected), "{there:?} {overwrite:?}");
        fs::write(place.path("file"), "9").unwrap();
        assert_eq!(next(&mut inputs).await, file_says(9), "{there:?} {overwrite:?}");
        change(&mut trackers, &vrrp);
        assert_eq!(place.read("file"), "9", "{there:?} {overwrite:?}");
    }
}

#[tokio::test]
async fn a_process_is_seen_to_come_and_go() {
    let place = Place::new();
    // The kernel names a process after the file that was executed, even if that is a link.
    let name = format!("xlvs-t{}", std::process::id());
    let program = place.path(&name);
    std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
    let by_name = process("name", &[&name], false);
    let by_path = process("path", &[&program.display().to_string()], true);
    let (_trackers, mut inputs) = start(&Vrrp { processes: vec![by_name, by_path], ..Vrrp::default() });
    assert_eq!(both(&mut inputs).await, [process_is("name", false), process_is("path", false)]);
    let mut child = Kept(Command::new(&program).arg("1000").spawn().unwrap());
    assert_eq!(both(&mut inputs).await, [process_is("name", true), process_is("path", true)]);
    // It is a zombie until this test reaps it.
    child.0.kill().unwrap();
    assert_eq!(both(&mut inputs).await, [process_is("name", false), process_is("path", false)]);
}

#[tokio::test]
async fn a_script_that_is_the_same_runs_on_and_one_that_is_removed_is_killed() {
    let place = Place::new();
    let command = place.script("chk", "echo $$ >>pids; exec sleep 1000");
    let script = VrrpScript { timeout: Duration::from_secs(1000), ..script(command) };
    let with = |scripts: &[VrrpScript]| Vrrp { scripts: scripts.to_vec(), ..Vrrp::default() };
    let (mut trackers, _inputs) = start(&with(std::slice::from_ref(&script)));
    let pid: i32 = place.lines("pids", 1).await.trim().parse().unwrap();
    let moved = VrrpScript { span: Span { start: 9, ..Span::default() }, ..script.clone() };
    let other = VrrpScript { name: "other".to_owned(), ..script };
    change(&mut trackers, &with(&[other, moved]));
    let pids = place.lines("pids", 2).await;
    assert!(pids.lines().count() == 2 && !is_gone(pid), "only the new one was started: {pids}");
    change(&mut trackers, &with(&[]));
    until(|| is_gone(pid).then_some(())).await;
}

#[tokio::test]
async fn the_first_result_of_a_script_that_is_another_decides_and_until_then_nothing_is_told() {
    let place = Place::new();
    let begin = VrrpScript { init_fail: true, rise: 2, ..script(place.script("up", "exit 0")) };
    let (mut trackers, mut inputs) = start(&Vrrp { scripts: vec![begin.clone()], ..Vrrp::default() });
    assert_eq!(next(&mut inputs).await, script_is(true));
    let body = "while [ ! -e go ]; do sleep 0.01; done; exit 1";
    let failing = VrrpScript { fall: 9, interval: PATIENCE, command: place.script("down", body), ..begin };
    change(&mut trackers, &Vrrp { scripts: vec![failing], ..Vrrp::default() });
    fs::write(place.path("go"), "").unwrap();
    assert_eq!(next(&mut inputs).await, script_is(false));
}

#[tokio::test]
async fn files_come_and_go_and_are_told_of_when_they_say_something_else() {
    let place = Place::new();
    for (name, value) in [("file", "3"), ("same", "3"), ("other", "4")] {
        fs::write(place.path(name), value).unwrap();
    }
    let with = |names: &[&str]| {
        let file = |path: &&str| TrackFile { init: Some((8, Overwrite::Yes)), ..file(place.path(path)) };
        Vrrp { files: names.iter().map(file).collect(), ..Vrrp::default() }
    };
    let (mut trackers, mut inputs) = start(&with(&["file"]));
    assert_eq!(next(&mut inputs).await, file_says(8));
    fs::write(place.path("file"), "3").unwrap();
    assert_eq!(next(&mut inputs).await, file_says(3));
    let same = TrackFile { init: None, ..file(place.path("same")) };
    change(&mut trackers, &Vrrp { files: vec![same], ..Vrrp::default() });
    change(&mut trackers, &with(&["other"]));
    assert_eq!(next(&mut inputs).await, file_says(8), "it was written, and the one between said nothing new");
    change(&mut trackers, &with(&[]));
    fs::write(place.path("other"), "1").unwrap();
    change(&mut trackers, &with(&["file"]));
    assert_eq!(next(&mut inputs).await, file_says(8), "one that is new again is told of at once");
}

#[tokio::test]
async fn a_process_that_is_another_is_told_of_only_if_that_changes_it() {
    let none = "xlvs-no-such-process";
    let with = |processes: &[TrackProcess]| Vrrp { processes: processes.to_vec(), ..Vrrp::default() };
    let (mut trackers, mut inputs) = start(&with(&[process("name", &[none], false)]));
    assert_eq!(next(&mut inputs).await, process_is("name", false));
    let again = TrackProcess { terminate_delay: Duration::from_secs(1), ..process("name", &[none], false) };
    change(&mut trackers, &with(&[again.clone(), process("path", &[none], true)]));
    assert_eq!(next(&mut inputs).await, process_is("path", false));
    let fine = TrackProcess { quorum: 0, ..again };
    change(&mut trackers, &with(std::slice::from_ref(&fine)));
    assert_eq!(next(&mut inputs).await, process_is("name", true));
    change(&mut trackers, &with(&[]));
    change(&mut trackers, &with(&[fine]));
    assert_eq!(next(&mut inputs).await, process_is("name", true));
}

/// Killed and reaped at the end of its test.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn change(trackers: &mut Trackers, vrrp: &Vrrp) {
    let begun = trackers.begin(vrrp).unwrap();
    trackers.change(vrrp, begun);
}

fn start(vrrp: &Vrrp) -> (Trackers, Receiver<Input>) {
    Trackers::start(vrrp).unwrap()
}

async fn next(inputs: &mut Receiver<Input>) -> Input {
    timeout(PATIENCE, inputs.recv()).await.expect("it is told in time").expect("the trackers run")
}

/// The next two, those of `name` first.
async fn both(inputs: &mut Receiver<Input>) -> [Input; 2] {
    let mut both = [next(inputs).await, next(inputs).await];
    both.sort_by_key(|input| matches!(input, Input::Process { name, .. } if name == "path"));
    both
}

fn script_is(up: bool) -> Input {
    Input::Script { name: "chk".to_owned(), up }
}

fn file_says(value: i32) -> Input {
    Input::File { name: "file".to_owned(), value }
}

fn process_is(name: &str, up: bool) -> Input {
    Input::Process { name: name.to_owned(), up }
}

fn script(command: model::Command) -> VrrpScript {
    VrrpScript {
        weight: 0,
        reverse: false,
        name: "chk".to_owned(),
        command,
        interval: Duration::from_millis(50),
        timeout: PATIENCE,
        rise: 1,
        fall: 1,
        init_fail: false,
        span: Span::default(),
    }
}

fn file(path: PathBuf) -> TrackFile {
    TrackFile { name: "file".to_owned(), weight: 1, reverse: false, path, init: None, span: Span::default() }
}

fn process(name: &str, words: &[&str], full_command: bool) -> TrackProcess {
    TrackProcess {
        weight: 0,
        reverse: false,
        name: name.to_owned(),
        words: words.iter().map(|&word| word.to_owned()).collect(),
        params: ParamMatch::None,
        full_command,
        quorum: 1,
        quorum_max: None,
        fork_delay: Duration::ZERO,
        terminate_delay: Duration::ZERO,
        span: Span::default(),
    }
}
