//! The language of a configuration, read from real files by `xlvs check`.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Files in a directory of their own, of which `t.conf` is the configuration.
fn files(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("it is in the directory")).expect("a directory can be made");
        fs::write(path, text).expect("a file can be written");
    }
    directory
}

/// How `xlvs check` with these arguments exits in `directory`, and what it says.
fn check(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xlvs"));
    let output = command
        .arg("check")
        .args(arguments)
        .arg("t.conf")
        .current_dir(directory)
        .env("VIP", "192.0.2.7")
        .output();
    let output = output.expect("xlvs can be run");
    (output.status.code(), String::from_utf8(output.stderr).expect("it speaks UTF-8"))
}

#[test]
fn a_configuration_in_several_files_is_one() {
    let service = "$RS= \\\nreal_server 10.0.${NET}.${N} 80 { \\\n weight 1 \\\n}\n\
        virtual_server ${VIP} 80 {\n lb_algo wlc\n lb_kind DR\n protocol TCP\n ~LST(NET, 1, 2) ~SEQ(N, 1, 3) $RS\n}\n";
    let directory = files(&[
        ("t.conf", "$VIP=${_ENV VIP}\ninclude conf.d/*.conf\ninclude conf.d/nothing*\n"),
        (
            "conf.d/10-vip.conf",
            "vrrp_instance A {\n interface eth0\n virtual_router_id 1\n include parts/ips\n}\n",
        ),
        ("conf.d/20-service.conf", service),
        ("conf.d/.hidden.conf", "nonsense\n"),
        ("conf.d/parts/ips", "virtual_ipaddress {\n ${VIP}/24\n}\n"),
    ]);
    assert_eq!(check(directory.path(), &[]), (Some(0), String::new()));
}

#[test]
fn the_configuration_id_is_given_or_the_host_s_name() {
    let directory = files(&[(
        "t.conf",
        "$S=none\n@one $S=yes\n@^one $S=no\nglobal_defs {\n lvs_timeouts tcp ${S}\n}\n@${_INSTANCE} never\n",
    )]);
    let (code, said) = check(directory.path(), &["-i", "one"]);
    assert!(code == Some(6) && said.contains("`yes` is not a time"), "{said}");
    let (_, said) = check(directory.path(), &["--config-id", "two"]);
    assert!(said.contains("`no` is not a time"), "{said}");
    let host = Command::new("uname").arg("-n").output().expect("uname can be run");
    let host = String::from_utf8(host.stdout).expect("a name");
    let name = host.trim().split('.').next().expect("a first part");
    let directory = files(&[("t.conf", &format!("@{name} here\n@^{name} there\n"))]);
    let (code, said) = check(directory.path(), &[]);
    assert!(code == Some(4) && said.contains("`here`") && !said.contains("`there`"), "{said}");
}

#[test]
fn a_place_is_in_the_file_where_it_is_written() {
    let directory =
        files(&[("t.conf", "$N=300\ninclude sub/a\n"), ("sub/a", "global_defs {\n vrrp_version ${N}\n}\n")]);
    let (code, said) = check(directory.path(), &[]);
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("sub/a:2:15") && said.contains("vrrp_version ${N}"), "{said}");
    assert!(said.contains("note: `${N}` is `300` here, set in t.conf:1:1"), "{said}");
}

#[test]
fn what_cannot_be_included_is_said() {
    let directory = files(&[
        ("t.conf", "include x\ninclude y\ninclude no\ninclude dir\ninclude bytes\n"),
        ("x", "x1\n"),
        ("y", "include t.conf\n"),
        ("dir/z", ""),
    ]);
    fs::write(directory.path().join("bytes"), b"! \xff\na\n\xff\n").expect("a file can be written");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(directory.path().join("x"), executable).expect("its mode can be changed");
    let (code, said) = check(directory.path(), &[]);
    assert_eq!(code, Some(6));
    let chain = format!(
        "a file includes itself: {0}/t.conf includes {0}/y includes {0}/t.conf",
        directory.path().canonicalize().expect("it is there").display()
    );
    assert!(said.contains("/x is not included: it is executable") && said.contains(&chain), "{said}");
    fs::write(directory.path().join("y"), "").expect("a file can be written");
    let (code, said) = check(directory.path(), &[]);
    assert!(
        said.contains("there is no file `no` to include")
            && said.contains("dir is not included: it is a directory"),
        "{said}"
    );
    assert!(
        code == Some(6)
            && said.contains("bytes:3:1")
            && said.contains("bytes in this word are not text in UTF-8"),
        "{said}"
    );
    assert_eq!(said.matches("warning: ").count(), 3, "{said}");
}

#[test]
fn a_loop_by_another_name_is_a_loop() {
    let directory = files(&[("t.conf", "include a\n"), ("a", "include b\n")]);
    symlink("a", directory.path().join("b")).expect("a link can be made");
    let (code, said) = check(directory.path(), &[]);
    assert!(code == Some(6) && said.contains("a file includes itself"), "{said}");
}

#[test]
fn a_block_on_one_line_is_repeated_whole() {
    let servers = "~SEQ(N, 1, 3) real_server 10.0.0.${N} 80 { weight ${N} }";
    let text =
        format!("virtual_server 10.0.0.9 80 {{\n lb_algo wlc\n lb_kind DR\n protocol TCP\n {servers}\n}}\n");
    let directory = files(&[("t.conf", &text)]);
    assert_eq!(check(directory.path(), &[]), (Some(0), String::new()));
}
