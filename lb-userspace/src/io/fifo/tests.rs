use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use super::Fifos;
use crate::config::model::vrrp::{Command, Fifo, FifoLines, User, VrrpGlobals};
use crate::io::command::Programs;
use crate::io::command::testing::{Place, command, is_gone, until};

#[tokio::test]
async fn a_fifo_is_made_and_takes_lines_before_anybody_reads() {
    let place = Place::new();
    let fifos = open(place.path("fifo"), None);
    let made = fs::metadata(place.path("fifo")).unwrap();
    assert!(made.file_type().is_fifo());
    assert_eq!(made.permissions().mode() & 0o777, 0o600);
    fifos.write(FifoLines::Vrrp, "INSTANCE \"VI_1\" MASTER 100\n");
    fifos.write(FifoLines::Vrrp, "GROUP \"VG_1\" MASTER 0\n");
    let mut reader = fs::File::open(place.path("fifo")).unwrap();
    fifos.finish().await;
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "INSTANCE \"VI_1\" MASTER 100\nGROUP \"VG_1\" MASTER 0\n");
    assert!(place.path("fifo").exists());
}

#[tokio::test]
async fn a_full_fifo_loses_whole_lines_and_blocks_nobody() {
    let place = Place::new();
    let fifos = open(place.path("fifo"), None);
    let line = "INSTANCE \"VI_1\" BACKUP 100\n";
    for _ in 0..10_000 {
        fifos.write(FifoLines::Vrrp, line);
    }
    let mut reader = fs::File::open(place.path("fifo")).unwrap();
    fifos.finish().await;
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(text.len() < 10_000 * line.len());
    assert!(text.split_inclusive('\n').all(|read| read == line));
}

#[tokio::test]
async fn its_script_gets_the_path_last_and_every_line_before_it_ends() {
    let place = Place::new();
    let mut script =
        place.script("reader", "echo $1 $2 >args; while read line; do echo $line; done <$2 >out");
    script.words.push("own".to_owned());
    let fifos = open(place.path("fifo"), Some(script));
    place.lines("args", 1).await;
    fifos.write(FifoLines::Vrrp, "INSTANCE \"VI_1\" BACKUP 100\n");
    fifos.write(FifoLines::Vrrp, "INSTANCE \"VI_1\" STOP 100\n");
    fifos.finish().await;
    assert_eq!(place.read("args"), format!("own {}\n", place.path("fifo").display()));
    assert_eq!(place.read("out"), "INSTANCE \"VI_1\" BACKUP 100\nINSTANCE \"VI_1\" STOP 100\n");
}

#[tokio::test]
async fn a_script_that_does_not_end_is_ended() {
    let place = Place::new();
    let fifos = open(place.path("fifo"), Some(place.script("reader", "echo $$ >pid; exec sleep 1000")));
    let pid = place.lines("pid", 1).await.trim().parse().unwrap();
    fifos.finish().await;
    until(|| is_gone(pid).then_some(())).await;
}

#[tokio::test]
async fn a_new_fifo_belongs_to_its_owner_or_to_who_runs_scripts() {
    let place = Place::new();
    let user = |name: &str| Some(User { name: name.to_owned(), group: None });
    let of_root = Some(User { name: "nobody".to_owned(), group: Some("root".to_owned()) });
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let script = Some(Command { user: user("nobody"), ..command(&["cat"]) });
    for (name, owner, script, script_user, uid, gid) in [
        ("reader", None, script.clone(), None, nobody.uid.as_raw(), nobody.gid.as_raw()),
        ("owner", user("root"), script, user("nobody"), 0, 0),
        ("default", None, None, user("nobody"), nobody.uid.as_raw(), nobody.gid.as_raw()),
        ("group", of_root, None, None, nobody.uid.as_raw(), 0),
    ] {
        let programs = Programs::new(&VrrpGlobals { script_user, ..VrrpGlobals::default() });
        let path = place.path(name);
        let fifos =
            Fifos::open(&[Fifo { lines: FifoLines::All, path: path.clone(), owner, script }], &programs);
        let made = fs::metadata(path).unwrap();
        assert_eq!((made.uid(), made.gid()), (uid, gid), "{name}");
        fifos.finish().await;
    }
}

#[tokio::test]
async fn a_fifo_whose_owner_is_unknown_is_not_made() {
    let place = Place::new();
    let owner = Some(User { name: "no-such-user".to_owned(), group: None });
    let programs = Programs::new(&VrrpGlobals::default());
    let fifos = Fifos::open(
        &[Fifo { lines: FifoLines::All, path: place.path("fifo"), owner, script: None }],
        &programs,
    );
    assert!(!place.path("fifo").exists());
    fifos.finish().await;
}

#[tokio::test]
async fn what_is_no_fifo_is_left_alone() {
    let place = Place::new();
    fs::write(place.path("file"), "precious").unwrap();
    let fifos = open(place.path("file"), None);
    fifos.write(FifoLines::Vrrp, "INSTANCE \"VI_1\" MASTER 100\n");
    fifos.finish().await;
    assert_eq!(place.read("file"), "precious");
}

fn open(path: PathBuf, script: Option<Command>) -> Fifos {
    Fifos::open(
        &[Fifo { lines: FifoLines::All, path, owner: None, script }],
        &Programs::new(&VrrpGlobals::default()),
    )
}
