//! `xlvs run` with keepalived's options, and the binary under its name, as far as no director is started. Needs root.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xlvs")).arg("run").args(arguments).output().expect("xlvs can be run")
}

#[test]
fn the_numbers_of_signals_are_told() {
    for (what, number) in [("STOP", "15\n"), ("RELOAD", "1\n"), ("DATA", "10\n"), ("JSON", "36\n")] {
        let output = run(&[&format!("--signum={what}")]);
        assert_eq!((output.status.code(), &*output.stdout), (Some(0), number.as_bytes()), "{output:?}");
    }
    let output = run(&["--signum=NOTHING"]);
    assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{output:?}");
}

#[test]
fn a_test_of_the_configuration_ends_as_check_does() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("t.conf");
    for (text, code) in [("! nothing\n", 0), ("frobnicate\n", 4), ("virtual_server {\n", 6)] {
        std::fs::write(&file, text).expect("it can be written");
        let path = file.to_str().expect("a name");
        for options in [&["-t", "-f", path][..], &["-f", path, "--config-test", "-n", "-l", "-D", "-i", "x"]]
        {
            let output = run(options);
            assert_eq!(output.status.code(), Some(code), "{options:?}: {output:?}");
        }
    }
}

#[test]
fn the_options_of_an_init_script_are_known() {
    let help = String::from_utf8(run(&["--help"]).stdout).expect("text");
    for option in [
        "-n, --dont-fork",
        "-l, --log-console",
        "-D, --log-detail",
        "-d, --dump-conf",
        "-P, --vrrp",
        "-C, --check",
    ] {
        assert!(help.contains(option), "{option}: {help}");
    }
    for option in ["-p, --pid", "-r, --vrrp_pid", "-c, --checkers_pid", "-t, --config-test", "--signum"] {
        assert!(help.contains(option), "{option}: {help}");
    }
}

/// The binary under keepalived's name, which is in `directory`.
fn keepalived(directory: &Path, arguments: &[&str]) -> Output {
    let binary = directory.join("keepalived");
    if !binary.exists() {
        symlink(env!("CARGO_BIN_EXE_xlvs"), &binary).expect("a link can be made");
    }
    Command::new(binary).args(arguments).output().expect("it can be run")
}

#[test]
fn under_keepalived_s_name_its_command_line_is_taken() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name).to_str().expect("a name").to_owned();
    std::fs::write(at("t.conf"), "include nosuch*\nfrobnicate\n").expect("it can be written");
    let call = |arguments: &[&str]| keepalived(directory.path(), arguments);
    assert_eq!(call(&["--signum=STOP"]).stdout, b"15\n");
    assert!(call(&["-v"]).stdout.starts_with(b"xlvs "));
    assert_eq!(call(&["-t", "-f", &at("t.conf")]).status.code(), Some(4));
    assert_eq!(call(&["-e", "-t", "-f", &at("t.conf")]).status.code(), Some(6));
    let output = call(&["-f", &at("t.conf"), &format!("--config-test={}", at("log"))]);
    assert_eq!((output.status.code(), output.stderr), (Some(4), Vec::new()));
    assert!(std::fs::read_to_string(at("log")).expect("it was written").contains("unknown keyword"));
    let output = call(&["-T"]);
    assert_eq!((output.status.code(), output.stdout), (Some(1), Vec::new()));
    let output = call(&["-n", "-V", "-f", &at("none"), "-l"]);
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(
        said.contains("--dont-release-vrrp has no effect: a stop always releases the addresses"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_start_in_the_background_that_fails_is_told_with_its_exit_code() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name).to_str().expect("a name").to_owned();
    std::fs::write(at("t.conf"), "! nothing\n").expect("it can be written");
    let output = keepalived(
        directory.path(),
        &["-G", "-f", &at("t.conf"), "-p", &at("pid"), "-s", "no-such-namespace"],
    );
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("no-such-namespace: the network namespace cannot be entered"), "{said}");
    // This fails behind the fork, because there is no interface to forward through.
    let mut command = Command::new(directory.path().join("keepalived"));
    command.args(["-G", "-f", &at("t.conf"), "-p", &at("pid")]).env("XLVS_STATE_DIR", at("state"));
    let output = command.output().expect("it can be run");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("name one with --iface"), "{said}");
    assert!(!directory.path().join("pid").exists(), "{said}");
}
