//! The binary under keepalived's name: it goes to the background when it is ready, and tells who waits. Needs root.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests may panic; clippy only knows the test functions themselves"
)]

#[expect(dead_code, reason = "each test needs a part of it")]
mod netns;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid, getsid};
use tempfile::TempDir;

const CONFIGURATION: &str =
    "vrrp_instance V {\n interface eth0\n virtual_router_id 7\n virtual_ipaddress {\n 10.0.0.3/24\n }\n}\n";

/// A link with keepalived's name, a configuration, and what a director needs of its own.
struct Place {
    directory: TempDir,
    pins: PathBuf,
    host: netns::Pair,
}

impl Place {
    fn new(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        symlink(env!("CARGO_BIN_EXE_xlvs"), directory.path().join("keepalived")).unwrap();
        fs::write(directory.path().join("t.conf"), CONFIGURATION).unwrap();
        let pins = PathBuf::from(format!("/sys/fs/bpf/xlvs-{name}-{}", std::process::id()));
        Self { directory, pins, host: netns::Pair::new() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Called in its directory, and with paths from there.
    fn keepalived(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.at("keepalived"));
        command.args(["-f", "t.conf", "-p", "pid", "-s", &self.host.director]).args(arguments);
        command.current_dir(self.directory.path());
        command.env("XLVS_STATE_DIR", self.at("state")).env("XLVS_PIN_DIR", &self.pins);
        command
    }

    fn pid(&self) -> Pid {
        let number = fs::read_to_string(self.at("pid")).unwrap();
        Pid::from_raw(number.trim().parse().unwrap())
    }

    /// Ends the director, and waits until it has taken its file away.
    fn stop(&self) {
        kill(self.pid(), Signal::SIGTERM).unwrap();
        let started = Instant::now();
        while self.at("pid").exists() {
            assert!(started.elapsed() < Duration::from_secs(20), "it does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Ok(number) = fs::read_to_string(self.at("pid")) {
            let _gone = kill(Pid::from_raw(number.trim().parse().unwrap()), Signal::SIGKILL);
        }
        let _none = fs::remove_dir_all(&self.pins);
    }
}

#[test]
fn who_called_returns_when_the_director_is_ready() {
    let place = Place::new("fork");
    // It ends only when nobody holds its output any more.
    let output = place.keepalived(&["-D", "-G", "-g", "log"]).output().expect("it can be run");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let pid = place.pid();
    assert_eq!((getsid(Some(pid)), getpgid(Some(pid))), (Ok(pid), Ok(pid)));
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str(), Some("/"));
    let log = fs::read_to_string(place.at("log")).unwrap();
    assert!(log.contains("ready") && log.contains("DEBUG"), "{log}");
    let second = place.keepalived(&["-G"]).output().expect("it can be run");
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("another xlvs runs with this state directory"), "{said}");
    place.stop();
}

#[test]
fn a_service_manager_is_told() {
    let place = Place::new("notify");
    let socket = UnixDatagram::bind(place.at("manager")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut command = place.keepalived(&["--dont-fork"]);
    let mut director = command.env("NOTIFY_SOCKET", place.at("manager")).spawn().expect("it can be run");
    let mut said = [0; 64];
    let length = socket.recv(&mut said).expect("it becomes ready");
    assert_eq!(&said[..length], b"READY=1\n");
    assert_eq!(place.pid().as_raw(), director.id() as i32);
    place.stop();
    assert_eq!(director.wait().unwrap().code(), Some(0));
}
