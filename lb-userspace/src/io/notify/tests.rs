use std::fs;
use std::time::{Duration, Instant};

use super::{LIMITS, Limits, Notification, Notifier, Subject};
use crate::config::model::vrrp::{Command, Fifo, FifoLines, Notify, VrrpGlobals};
use crate::io::command::testing::{PATIENCE, Place, is_gone};

#[tokio::test]
async fn each_state_runs_its_script_as_written_and_then_notify_with_four_more_arguments() {
    let place = Place::new();
    let scripts = scripts(&place);
    let notifier = Notifier::start(&VrrpGlobals::default()).unwrap();
    for state in ["BACKUP", "MASTER", "MASTER_RX_LOWER_PRI", "MASTER_PRIORITY", "FAULT", "STOP"] {
        notifier.notify(instance("VI_1", state, 100), &scripts);
    }
    notifier.notify(
        Notification { subject: Subject::Group, name: "VG 1".to_owned(), state: "MASTER", priority: 0 },
        &Notify { any: scripts.any.clone(), ..Notify::default() },
    );
    notifier.finish().await;
    let ran = place.read("ran");
    let (group, instance): (Vec<_>, Vec<_>) = ran.lines().partition(|line| line.contains("GROUP"));
    assert_eq!(
        instance,
        [
            "<backup><own>",
            "<any><own><INSTANCE><VI_1><BACKUP><100>",
            "<master><own>",
            "<any><own><INSTANCE><VI_1><MASTER><100>",
            "<lower><own>",
            "<fault><own>",
            "<any><own><INSTANCE><VI_1><FAULT><100>",
            "<stop><own>",
            "<any><own><INSTANCE><VI_1><STOP><100>",
        ]
    );
    assert_eq!(group, ["<any><own><GROUP><VG 1><MASTER><0>"]);
}

#[tokio::test]
async fn a_slow_instance_keeps_its_order_and_delays_no_other() {
    let place = Place::new();
    let wait = place.script("wait", "while [ ! -e go ]; do sleep 0.01; done; echo slow >>ran");
    let quick = place.script("quick", "echo $2 $3 >>ran");
    let notifier = Notifier::start(&VrrpGlobals::default()).unwrap();
    let both = Notify { master: Some(wait), any: Some(quick.clone()), ..Notify::default() };
    notifier.notify(instance("VI_1", "MASTER", 100), &both);
    notifier.notify(instance("VI_1", "BACKUP", 100), &both);
    notifier.notify(instance("VI_2", "MASTER", 100), &Notify { any: Some(quick), ..Notify::default() });
    assert_eq!(place.lines("ran", 1).await, "VI_2 MASTER\n");
    fs::write(place.path("go"), "").unwrap();
    notifier.finish().await;
    assert_eq!(place.read("ran"), "VI_2 MASTER\nslow\nVI_1 MASTER\nVI_1 BACKUP\n");
}

#[tokio::test]
async fn a_script_that_hangs_delays_the_next_for_a_bounded_time_and_runs_on() {
    let place = Place::new();
    let scripts = Notify {
        master: Some(place.script("hang", "echo $$ >pid; exec sleep 1000")),
        stop: Some(place.script("stop", "cat pid >stopped")),
        ..Notify::default()
    };
    let limits = Limits { patience: Duration::from_millis(300), ..LIMITS };
    let notifier = Notifier::limited(&VrrpGlobals::default(), limits).unwrap();
    notifier.notify(instance("VI_1", "MASTER", 100), &scripts);
    notifier.notify(instance("VI_1", "STOP", 100), &scripts);
    notifier.finish().await;
    let pid: i32 = place.read("stopped").trim().parse().unwrap();
    assert!(!is_gone(pid));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn finishing_takes_a_bounded_time() {
    let place = Place::new();
    let scripts =
        Notify { master: Some(place.script("hang", "echo $$ >pid; exec sleep 1000")), ..Notify::default() };
    let limits = Limits { finish: Duration::from_millis(300), ..LIMITS };
    let notifier = Notifier::limited(&VrrpGlobals::default(), limits).unwrap();
    notifier.notify(instance("VI_1", "MASTER", 100), &scripts);
    let pid: i32 = place.lines("pid", 1).await.trim().parse().unwrap();
    let begin = Instant::now();
    notifier.finish().await;
    assert!(begin.elapsed() < PATIENCE);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn when_too_many_wait_the_newest_are_run() {
    let place = Place::new();
    let scripts = Notify { any: Some(place.script("any", "echo $4 >>ran")), ..Notify::default() };
    let limits = Limits { waiting: 2, ..LIMITS };
    let notifier = Notifier::limited(&VrrpGlobals::default(), limits).unwrap();
    // Nothing is started before this test waits for something.
    for priority in 1..=5 {
        notifier.notify(instance("VI_1", "MASTER", priority), &scripts);
    }
    notifier.finish().await;
    assert_eq!(place.read("ran"), "4\n5\n");
}

#[tokio::test]
async fn what_happens_again_and_again_waits_once() {
    let place = Place::new();
    let lower = place.script("lower", "echo lower >>ran");
    let scripts = Notify {
        lower_priority: Some(lower),
        backup: Some(place.script("backup", "echo backup >>ran")),
        ..Notify::default()
    };
    let notifier = Notifier::start(&VrrpGlobals::default()).unwrap();
    for _ in 0..1000 {
        notifier.notify(instance("VI_1", "MASTER_RX_LOWER_PRI", 100), &scripts);
    }
    notifier.notify(instance("VI_1", "BACKUP", 100), &scripts);
    notifier.finish().await;
    assert_eq!(place.read("ran"), "lower\nbackup\n");
}

#[tokio::test]
async fn fifos_get_every_notification_and_changes_of_priority_only_if_asked_for() {
    let place = Place::new();
    let reader = place.script("reader", "cat $1 >out");
    let fifo = Fifo { lines: FifoLines::All, path: place.path("fifo"), owner: None, script: Some(reader) };
    let globals = VrrpGlobals { fifos: vec![fifo], ..VrrpGlobals::default() };
    let notifier = Notifier::start(&globals).unwrap();
    notifier.notify(instance("VI_1", "MASTER", 100), &Notify::default());
    notifier.notify(instance("VI_1", "MASTER_PRIORITY", 90), &Notify::default());
    let changes = Notify { priority_changes: true, ..Notify::default() };
    notifier.notify(instance("VI_1", "BACKUP_PRIORITY", 80), &changes);
    notifier.notify(instance("VI_1", "MASTER_RX_LOWER_PRI", 100), &Notify::default());
    place.lines("out", 3).await;
    notifier.finish().await;
    let expected = "INSTANCE \"VI_1\" MASTER 100\n\
        INSTANCE \"VI_1\" BACKUP_PRIORITY 80\n\
        INSTANCE \"VI_1\" MASTER_RX_LOWER_PRI 100\n";
    assert_eq!(place.read("out"), expected);
}

fn instance(name: &str, state: &'static str, priority: u8) -> Notification {
    Notification { subject: Subject::Instance, name: name.to_owned(), state, priority }
}

/// Each writes its name and arguments as one line to `ran`.
fn scripts(place: &Place) -> Notify {
    let script = |name: &str| -> Option<Command> {
        // In one piece: the scripts of others write into the same file at the same time.
        let mut command = place.script(name, &format!("echo \"$(printf '<%s>' {name} \"$@\")\" >>ran"));
        command.words.push("own".to_owned());
        Some(command)
    };
    Notify {
        master: script("master"),
        backup: script("backup"),
        fault: script("fault"),
        stop: script("stop"),
        any: script("any"),
        lower_priority: script("lower"),
        priority_changes: false,
    }
}
