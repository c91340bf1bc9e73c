//! `xlvs check` as a person runs it: what it says, and how it exits.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::{env, fs, process};

use serde_json::{Value, json};

const INSTANCE: &str =
    "vrrp_instance A {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress {\n 10.0.0.1\n }\n";

/// The exit code and what was said of a file with these bytes.
fn check(name: &str, bytes: &[u8]) -> (Option<i32>, String) {
    let path = env::temp_dir().join(format!("xlvs-check-{}-{name}.conf", process::id()));
    fs::write(&path, bytes).expect("a temporary file can be written");
    let result = check_file(&path);
    fs::remove_file(&path).expect("it is still there");
    result
}

fn check_file(path: &Path) -> (Option<i32>, String) {
    let output = xlvs(&[], path);
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stderr).expect("it speaks UTF-8"))
}

fn xlvs(arguments: &[&str], path: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xlvs"));
    command.arg("check").args(arguments).arg(path).output().expect("xlvs can be run")
}

/// A directory that only root may write, with a file in it.
fn place(name: &str, text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let place = tempfile::tempdir().expect("a directory can be made");
    let path = place.path().join(name);
    fs::write(&path, text).expect("a file can be written");
    (place, path)
}

#[test]
fn a_file_that_can_be_run_is_0() {
    assert_eq!(check("empty", b"! nothing\n"), (Some(0), String::new()));
}

#[test]
fn what_keepalived_would_correct_too_is_4() {
    let (code, said) = check("warning", b"frobnicate\n");
    assert_eq!(code, Some(4));
    assert!(said.starts_with("warning: unknown keyword `frobnicate`"), "{said}");
    let ports = "virtual_server 10.0.0.1 80 {\n lb_algo rr\n lb_kind DR\n protocol TCP\n real_server 10.0.0.2 81 {\n }\n}\n";
    assert_eq!(check("port", ports.as_bytes()).0, Some(4));
}

#[test]
fn what_only_xlvs_says_is_0() {
    for text in [
        format!("{INSTANCE} priority 90\n priority 91\n}}\n"),
        format!("{INSTANCE} state MASTER\n}}\n"),
        "virtual_server 10.0.0.1 80 {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n real_server 10.0.0.2 80 {\n }\n}\n"
            .to_owned(),
    ] {
        let (code, said) = check("ours", text.as_bytes());
        assert_eq!(code, Some(0), "{text}{said}");
        assert!(said.starts_with("warning:"), "{text}{said}");
    }
}

#[test]
fn scripts_without_security_or_against_it_are_5() {
    let (_place, script) = place("script", "#!/bin/sh\n");
    let text = |globals: &str, program: &str| {
        format!("global_defs {{\n script_user root\n {globals}\n}}\n{INSTANCE} notify {program}\n}}\n")
    };
    let check = |globals: &str, program: &str| check("scripts", text(globals, program).as_bytes());
    let (code, said) = check("", "/bin/true");
    assert_eq!(code, Some(5));
    assert!(said.contains("`enable_script_security` is not written"), "{said}");
    assert_eq!(check("enable_script_security", "/bin/true"), (Some(0), String::new()));
    let program = script.to_str().expect("it is text");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let (code, said) = check("enable_script_security", program);
    assert_eq!(code, Some(5));
    assert!(said.contains("everybody may write"), "{said}");
    for globals in ["", "enable_script_security"] {
        let (code, said) = check(globals, "/nonexistent/program");
        assert_eq!(code, Some(0), "{said}");
        assert!(said.starts_with("warning: /nonexistent/program does not exist"), "{said}");
    }
}

#[test]
fn a_note_counts_where_keepalived_speaks_too() {
    let text = "virtual_server 10.0.0.1 80 {\n lb_algo rr\n lb_kind DR\n protocol TCP\n real_server 10.0.0.2 80 {\n \
                TCP_CHECK {\n nb_get_retry 3\n }\n }\n}\n";
    let (code, said) = check("note", text.as_bytes());
    assert_eq!(code, Some(4));
    assert!(said.starts_with("note: `nb_get_retry`"), "{said}");
}

#[test]
fn errors_are_6_and_counted_and_a_secret_is_not_shown() {
    let text =
        b"vrrp_instance A {\n interface eth0\n virtual_router_id 0\n priority x\n authentication {\n auth_pass s3cret 1\n }\n}\n";
    let (code, said) = check("errors", text);
    assert_eq!(code, Some(6));
    assert!(said.ends_with("it cannot be run: 1 error\n"), "{said}");
    assert!(said.contains("errors.conf:6:19") && !said.contains("s3cret"), "{said}");
    let (code, said) = check("more", b"virtual_server x 80 {\n}\nvirtual_server y 80 {\n}\n");
    assert_eq!(code, Some(6));
    assert!(said.ends_with("it cannot be run: 2 errors\n"), "{said}");
}

#[test]
fn what_is_no_text_is_6_except_in_a_comment() {
    assert_eq!(check("comment", b"! \xff\nglobal_defs { # caf\xe9\n}\n"), (Some(0), String::new()));
    let (code, said) = check("bytes", b"! one\nglobal_defs {\n router_id caf\xe9\n}\n");
    assert_eq!(code, Some(6));
    assert!(said.contains("error: bytes in this word are not text in UTF-8"), "{said}");
    assert!(said.contains("bytes.conf:3:12"), "{said}");
    let (code, said) = check_file(Path::new("/nonexistent/x.conf"));
    assert_eq!(code, Some(6));
    assert!(said.starts_with("xlvs: /nonexistent/x.conf: cannot be read"), "{said}");
}

#[test]
fn programs_get_one_document() {
    let (_place, path) =
        place("x.conf", "global_defs {\n  router_di A\n  router_id A B\n  vrrp_version 4\n}\n");
    let output = xlvs(&["--format", "json"], &path);
    assert!(output.stderr.is_empty(), "{output:?}");
    assert_eq!(output.status.code(), Some(6));
    let document: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let file = path.to_str().expect("it is text");
    let expected = json!({
        "file": file,
        "exit_code": 6,
        "diagnostics": [
            {
                "file": file, "line": 2, "column": 3, "end": {"line": 2, "column": 12}, "severity": "warning",
                "message": "unknown keyword `router_di` in global_defs; it is ignored",
                "hint": "the nearest known one is `router_id`", "notes": [], "keepalived": true,
            },
            {
                "file": file, "line": 3, "column": 15, "end": {"line": 3, "column": 16}, "severity": "warning",
                "message": "`router_id` does not take `B`; it is ignored",
                "hint": "one statement stands on a line", "notes": [], "keepalived": false,
            },
            {
                "file": file, "line": 4, "column": 16, "end": {"line": 4, "column": 17}, "severity": "error",
                "message": "`4` is not a version of VRRP", "hint": "write 2 or 3", "notes": [],
                "keepalived": true,
            },
        ],
    });
    assert_eq!(document, expected);
    let output = xlvs(&["--format", "json"], Path::new("/nonexistent/x.conf"));
    let document: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!((output.status.code(), &document["diagnostics"][0]["line"]), (Some(6), &Value::Null));
}

#[test]
fn an_explanation_goes_to_stdout_and_is_a_configuration() {
    let (place, path) = place("x.conf", &format!("{INSTANCE} priority 90\n frobnicate\n}}\n"));
    let output = xlvs(&["--explain"], &path);
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("warning: unknown keyword"));
    let explained = String::from_utf8(output.stdout).expect("it speaks UTF-8");
    assert!(explained.contains("    priority 90                             # line 7\n"), "{explained}");
    let again = place.path().join("again.conf");
    fs::write(&again, explained).expect("a file can be written");
    assert_eq!(check_file(&again), (Some(0), String::new()));
    fs::write(&again, "{").expect("a file can be written");
    assert_eq!(xlvs(&["--explain"], &again).stdout, b"");
}
