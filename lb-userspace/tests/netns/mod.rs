//! Two network namespaces with a veth pair between them, gone when dropped, and code that runs inside one.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};

static PAIRS: AtomicU32 = AtomicU32::new(0);

/// A director at 10.0.0.1/24 and a server at 10.0.0.9/24, each with its end of the cable as `eth0`.
pub(crate) struct Pair {
    /// Name of the director's namespace.
    pub(crate) director: String,
    /// Name of the server's namespace.
    pub(crate) server: String,
}

impl Pair {
    pub(crate) fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "this test makes network namespaces: run it as root");
        let number = PAIRS.fetch_add(1, Ordering::Relaxed);
        let name = |role| format!("xnh{}-{number}{role}", std::process::id());
        let pair = Self { director: name("d"), server: name("s") };
        ip(&["netns", "add", &pair.director]);
        ip(&["netns", "add", &pair.server]);
        pair.director(&format!("link add eth0 type veth peer name eth0 netns {}", pair.server));
        for (namespace, address) in [(&pair.director, "10.0.0.1/24"), (&pair.server, "10.0.0.9/24")] {
            ip_in(namespace, "link set lo up");
            ip_in(namespace, &format!("addr add {address} dev eth0"));
            ip_in(namespace, "link set eth0 up");
        }
        pair
    }

    /// Runs `ip` in the director's namespace.
    pub(crate) fn director(&self, arguments: &str) {
        ip_in(&self.director, arguments);
    }

    /// Runs `ip` in the server's namespace.
    pub(crate) fn server(&self, arguments: &str) {
        ip_in(&self.server, arguments);
    }

    pub(crate) fn server_mac(&self) -> String {
        enter(&self.server, || output("ip", &["-br", "link", "show", "eth0"]))
            .split_whitespace()
            .nth(2)
            .expect("ip -br link prints the address third")
            .to_owned()
    }

    /// Makes the director's kernel find out within a second what takes it a minute by default.
    pub(crate) fn quick_neighbours(&self) {
        enter(&self.director, || {
            for (name, value) in
                [("retrans_time_ms", "100"), ("delay_first_probe_time", "1"), ("locktime", "0")]
            {
                let path = format!("/proc/sys/net/ipv4/neigh/eth0/{name}");
                std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
            }
        });
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for namespace in [&self.director, &self.server] {
            let _ = Command::new("ip").args(["netns", "del", namespace]).stderr(Stdio::null()).status();
        }
    }
}

/// Runs `ip` with arguments that are separated by spaces, inside a namespace.
pub(crate) fn ip_in(namespace: &str, arguments: &str) {
    let mut all = vec!["-n", namespace];
    all.extend(arguments.split_whitespace());
    ip(&all);
}

/// Runs many `ip` commands, one per line, inside a namespace.
pub(crate) fn ip_batch(namespace: &str, commands: &str) {
    let mut child = Command::new("ip")
        .args(["-n", namespace, "-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("ip (iproute2) must be installed");
    child.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "ip -batch failed");
}

/// Runs a future inside a namespace, on a thread and a runtime of its own: sockets belong to the namespace of the
/// thread that makes them. A panic inside is a panic here.
pub(crate) fn run<F>(namespace: &str, future: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    enter(namespace, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(future);
    });
}

/// Runs a function on a thread inside a namespace.
pub(crate) fn enter<F, T>(namespace: &str, function: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let file = File::open(format!("/run/netns/{namespace}")).unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            setns(file, CloneFlags::CLONE_NEWNET).unwrap();
            function()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn ip(arguments: &[&str]) {
    output("ip", arguments);
}

pub(crate) fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("ip (iproute2) must be installed");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {error}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}
