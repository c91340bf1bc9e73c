//! `xlvs run` with keepalived's options, as far as it needs no root.

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xlvs")).arg("run").args(arguments).output().expect("xlvs can be run")
}

#[test]
fn the_numbers_of_signals_are_told() {
    for (what, number) in [("STOP", "15\n"), ("RELOAD", "1\n")] {
        let output = run(&[&format!("--signum={what}")]);
        assert_eq!((output.status.code(), &*output.stdout), (Some(0), number.as_bytes()), "{output:?}");
    }
    let output = run(&["--signum=DATA"]);
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
