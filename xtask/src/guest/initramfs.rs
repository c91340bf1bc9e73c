//! What the guest's kernel starts with: a busybox, modules to reach the host's files, two scripts and the command.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};

use crate::setup::guest::Parts;
use crate::{command, workspace};

const INIT: &str = include_str!("init.sh");
const INSIDE: &str = include_str!("inside.sh");

/// What the host's files and the way out need.
const MODULES: [&str; 5] = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console"];

/// Makes the archive in `work`.
pub(super) fn make(parts: &Parts, command: &[OsString], work: &Path) -> Result<PathBuf> {
    let root = work.join("initramfs");
    for directory in ["bin", "modules"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::copy(&parts.busybox, root.join("bin/busybox"))
        .with_context(|| format!("cannot copy {}", parts.busybox.display()))?;
    let mut order = String::new();
    for module in needed(parts)? {
        let name = module.file_name().context("a module without a name")?;
        fs::copy(&module, root.join("modules").join(name))?;
        writeln!(order, "{}", name.display())?;
    }
    fs::write(root.join("modules/order"), order)?;
    fs::write(root.join("init"), INIT)?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    fs::write(root.join("inside.sh"), INSIDE)?;
    let directory = parts.kernel.join("lib/modules");
    fs::write(root.join("modules/directory"), [directory.as_os_str().as_bytes(), b"\n"].concat())?;
    fs::write(root.join("command.sh"), script(&workspace::root(), command))?;
    pack(&root, &work.join("initramfs.cpio"))
}

/// The modules' files, each behind those that it needs.
fn needed(parts: &Parts) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for module in MODULES {
        let mut modprobe = command::clean(command::find("modprobe").context("there is no modprobe")?);
        modprobe.arg("-d").arg(&parts.kernel).args(["-S", &parts.version, "--show-depends", module]);
        for file in command::output(&mut modprobe)?.lines().filter_map(|line| line.strip_prefix("insmod ")) {
            let file = PathBuf::from(file.trim());
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

fn pack(root: &Path, archive: &Path) -> Result<PathBuf> {
    let mut cpio = command::clean("cpio");
    cpio.args(["--create", "--format=newc", "--quiet"]).current_dir(root);
    cpio.stdin(Stdio::piped()).stdout(File::create(archive)?);
    let mut child = cpio.spawn().context("cannot start cpio")?;
    let names = command::output(command::clean("find").arg(".").current_dir(root))?;
    child.stdin.take().context("cpio's input")?.write_all(names.as_bytes())?;
    anyhow::ensure!(child.wait()?.success(), "`{}` failed", command::line(&cpio));
    Ok(archive.to_owned())
}

/// What the guest's shell runs.
fn script(directory: &Path, command: &[OsString]) -> Vec<u8> {
    let words: Vec<_> = command.iter().map(|word| quoted(word)).collect();
    [b"cd ", &*quoted(directory.as_os_str()), b" && exec ", &words.join(&b' '), b"\n"].concat()
}

/// A word that the shell takes as it stands.
fn quoted(word: &OsStr) -> Vec<u8> {
    let parts: Vec<_> = word.as_bytes().split(|&byte| byte == b'\'').collect();
    [b"'", &*parts.join(&br"'\''"[..]), b"'"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_the_command_as_they_are() {
        let words = ["printf", "%s|", "", "two words", "it's", "$HOME", "a\nline", "\"quoted\" \\"];
        let script = script(Path::new("/"), &words.map(OsString::from));
        let mut shell = command::clean("sh");
        shell.arg("-c").arg(OsStr::from_bytes(&script));
        assert_eq!(command::output(&mut shell).unwrap(), "|two words|it's|$HOME|a\nline|\"quoted\" \\|");
    }

    #[test]
    fn the_command_runs_in_the_directory() {
        let script = script(Path::new("/usr/it's"), &["uname".into(), "-r".into()]);
        assert_eq!(String::from_utf8(script).unwrap(), "cd '/usr/it'\\''s' && exec 'uname' '-r'\n");
    }
}
