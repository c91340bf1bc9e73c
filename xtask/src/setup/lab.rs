//! The programs that the test lab runs.

use std::path::PathBuf;

use anyhow::Result;

use super::apt::Apt;
use crate::command;

/// Each program and the Debian package that brings it.
const PROGRAMS: [(&str, &str); 14] = [
    ("bpftool", "bpftool"),
    ("curl", "curl"),
    ("ethtool", "ethtool"),
    ("ip", "iproute2"),
    ("ipvsadm", "ipvsadm"),
    ("keepalived", "keepalived"),
    ("nginx", "nginx"),
    ("nsd", "nsd"),
    ("openssl", "openssl"),
    ("ping", "iputils-ping"),
    ("promtool", "prometheus"),
    ("smtpd", "opensmtpd"),
    ("tcpdump", "tcpdump"),
    ("wrk", "wrk"),
];

/// Installs the packages of the programs that are missing.
pub(super) fn ensure(apt: &mut Apt) -> Result<()> {
    apt.provide(&PROGRAMS, "the test lab")
}

/// The programs that are there, with their paths.
pub(super) fn found() -> impl Iterator<Item = (&'static str, PathBuf)> {
    PROGRAMS.iter().filter_map(|(program, _)| Some((*program, command::find(program)?)))
}
