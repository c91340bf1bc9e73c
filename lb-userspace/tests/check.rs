//! `xlvs check` as a person runs it: what it says, and how it exits.

use std::path::Path;
use std::process::Command;
use std::{env, fs, process};

/// The exit code and what was said of a file with these bytes.
fn check(name: &str, bytes: &[u8]) -> (Option<i32>, String) {
    let path = env::temp_dir().join(format!("xlvs-check-{}-{name}.conf", process::id()));
    fs::write(&path, bytes).expect("a temporary file can be written");
    let result = check_file(&path);
    fs::remove_file(&path).expect("it is still there");
    result
}

fn check_file(path: &Path) -> (Option<i32>, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_xlvs")).arg("check").arg(path).output().expect("xlvs can be run");
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stderr).expect("it speaks UTF-8"))
}

#[test]
fn a_file_that_can_be_run_is_0_and_warnings_do_not_matter() {
    assert_eq!(check("empty", b"! nothing\n"), (Some(0), String::new()));
    let (code, said) = check("warning", b"frobnicate\n");
    assert_eq!(code, Some(0));
    assert!(said.starts_with("warning: unknown keyword `frobnicate`"), "{said}");
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
fn what_is_no_text_is_6_with_its_line() {
    let (code, said) = check("bytes", b"! one\n! \xff\n");
    assert_eq!(code, Some(6));
    assert!(said.contains("bytes.conf:2: this is not text in UTF-8"), "{said}");
    let (code, said) = check_file(Path::new("/nonexistent/x.conf"));
    assert_eq!(code, Some(6));
    assert!(said.starts_with("xlvs: /nonexistent/x.conf: cannot be read"), "{said}");
}
