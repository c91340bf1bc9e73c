//! Who may speak to the control socket, and what it stands.

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lb_tests::director::Director;
use lb_tests::{Plan, with_lab};

const NOBODY: u32 = 65534;
const MEGABYTE: usize = 1 << 20;

#[test]
fn nobody_but_its_owner_is_let_in() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        lab.balance(&lab.http_on_all("rr"), 1)?;
        let socket = lab.director.socket();
        let mode = |path| fs::metadata(path).map(|meta| meta.permissions().mode() & 0o777);
        assert_eq!(mode(&socket)?, 0o600);
        // Nothing is in the way but the socket's own mode.
        fs::set_permissions(lab.dir(), Permissions::from_mode(0o755))?;
        let asked_by = |user: u32| {
            let mut curl = Command::new("curl");
            curl.args(["-sS", "--unix-socket"]).arg(&socket).arg("http://xlvs/status");
            curl.uid(user).gid(user).current_dir("/").output()
        };
        let root = asked_by(0)?;
        assert!(root.status.success() && root.stdout.starts_with(b"{"), "{root:?}");
        let nobody = asked_by(NOBODY)?;
        assert!(nobody.stdout.is_empty(), "{nobody:?}");
        assert_eq!(nobody.status.code(), Some(7), "it could not connect: {nobody:?}");
        Ok(())
    })
}

#[test]
fn a_gigabyte_is_refused_and_not_kept() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        lab.balance(&lab.http_on_all("rr"), 1)?;
        for (length, grows_by) in
            [(format!("content-length: {}", 1 << 30), 8), ("transfer-encoding: chunked".into(), 200)]
        {
            let before = peak(&lab.director, true)?;
            let answer = post_gigabyte(&lab.director, &length)?;
            assert!(answer.starts_with("HTTP/1.1 413 "), "{length}: {answer:?}");
            let grown = peak(&lab.director, false)?.saturating_sub(before);
            assert!(grown < grows_by * MEGABYTE, "{length}: {grown} bytes more");
        }
        assert_eq!(lab.director.status()?.services.len(), 1, "it goes on");
        Ok(())
    })
}

/// Sends as much of a list of changes as is taken, and returns the answer.
fn post_gigabyte(director: &Director, length: &str) -> Result<String> {
    let mut stream = UnixStream::connect(director.socket())?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    write!(
        stream,
        "POST /changes HTTP/1.1\r\nhost: xlvs\r\ncontent-type: application/json\r\n{length}\r\n\r\n"
    )?;
    let blanks = vec![b' '; MEGABYTE];
    let chunk = if length.contains("chunked") {
        [format!("{MEGABYTE:x}\r\n").as_bytes(), &blanks, b"\r\n"].concat()
    } else {
        blanks
    };
    for _ in 0..1024 {
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    // The answer may be cut off by what was not read.
    let _reset = stream.read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The most memory that the daemon had resident, in bytes; `anew` counts from now on.
fn peak(director: &Director, anew: bool) -> Result<usize> {
    let pid = director.pid().context("no daemon")?;
    if anew {
        fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kilobytes: usize = line.split_whitespace().next().context("no number")?.parse()?;
    Ok(kilobytes << 10)
}
