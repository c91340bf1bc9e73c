//! Installing Debian packages without starting or enabling the services that they bring.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use lb_tests::wait;

use super::announce;
use crate::command;

const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_MARK: &str = "# written by `cargo xtask setup` while it installs packages";

/// Packages that bring a service of the same name.
const SERVICES: [&str; 6] = ["nginx", "nsd", "keepalived", "opensmtpd", "ipvsadm", "prometheus"];

/// The package manager; refreshes its lists once, and only when something must be installed.
#[derive(Default)]
pub(super) struct Apt {
    refreshed: bool,
}

impl Apt {
    /// Installs the packages of those programs that are missing; each comes with the package that brings it.
    pub(super) fn provide(&mut self, programs: &[(&str, &str)], purpose: &str) -> Result<()> {
        let missing: BTreeSet<&str> = programs
            .iter()
            .filter(|(program, _)| command::find(program).is_none())
            .map(|(_, package)| *package)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.install(&missing.into_iter().collect::<Vec<_>>(), purpose)
    }

    /// What `apt-cache depends` says of a package.
    pub(super) fn depends(&mut self, package: &str) -> Result<String> {
        self.listed(command::clean("apt-cache").env("LC_ALL", "C").args(["depends", package]))
    }

    /// Puts the files of a package into `directory`, which is not there yet, and does not install it.
    pub(super) fn unpack(&mut self, package: &str, directory: &Path, purpose: &str) -> Result<()> {
        announce(&format!("fetching {package} for {purpose}, unpacked in {} only", directory.display()));
        let beside = directory.parent().unwrap_or(directory);
        let work = tempfile::tempdir_in(beside).with_context(|| format!("in {}", beside.display()))?;
        self.listed(apt_get().current_dir(work.path()).args(["download", package]))?;
        let mut files = fs::read_dir(work.path())?.filter_map(|entry| Some(entry.ok()?.path()));
        let file = files.next().with_context(|| format!("apt-get download {package} left no file"))?;
        let files = work.path().join("files");
        command::output(command::clean("dpkg-deb").arg("-x").arg(file).arg(&files))?;
        fs::rename(&files, directory).with_context(|| format!("cannot make {}", directory.display()))
    }

    /// Runs what needs the lists of packages, and if it fails once more with new ones.
    fn listed(&mut self, command: &mut Command) -> Result<String> {
        if let Some(text) = command::quiet_output(command) {
            return Ok(text);
        }
        // An interrupt has ended the command, and is none of its failures.
        wait::check_interrupt()?;
        if command::is_root() {
            self.refresh();
        }
        command::output(command).context("if the package is not known: `sudo apt-get update`")
    }

    fn refresh(&mut self) {
        if self.refreshed {
            return;
        }
        // One unreachable third-party source must not stop the installation from another.
        if let Err(error) = command::output(apt_get().arg("update")) {
            announce(&format!("going on with the package lists that are there: {error:#}"));
        }
        self.refreshed = true;
    }

    /// Installs the packages, or fails with the command that would.
    pub(super) fn install(&mut self, packages: &[&str], purpose: &str) -> Result<()> {
        let by_hand = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
        if command::find("apt-get").is_none() {
            bail!(
                "{purpose} needs {}, and there is no apt-get here: install the like of `{by_hand}`",
                packages.join(", ")
            );
        }
        if !command::is_root() {
            bail!("{purpose} needs {}, and only root may install: run `sudo {by_hand}`", packages.join(", "));
        }
        announce(&format!("installing for {purpose} with apt-get: {}", packages.join(" ")));
        self.refresh();
        let policy = ServicePolicy::forbid_starting()?;
        // Two mail servers exclude each other: the one that the machine has is not to go for ours.
        let install = ["install", "-y", "--no-remove", "--no-install-recommends"];
        command::output(apt_get().args(install).args(packages))
            .with_context(|| format!("{purpose} is not installed; by hand: `sudo {by_hand}`"))?;
        drop(policy);
        disable_services(packages)
    }
}

fn apt_get() -> Command {
    let mut apt = command::clean("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").env("NEEDRESTART_SUSPEND", "1");
    apt.args(["-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"]);
    apt
}

/// The lab starts its own instances: at the next boot these must not come up by themselves either.
fn disable_services(packages: &[&str]) -> Result<()> {
    if !Path::new("/run/systemd/system").exists() {
        return Ok(());
    }
    for service in SERVICES.iter().filter(|service| packages.contains(service)) {
        command::output(command::clean("systemctl").args(["disable", "--quiet", service]))?;
        announce(&format!(
            "left the service {service} disabled; `systemctl enable --now {service}` starts it"
        ));
    }
    Ok(())
}

/// While it lives, installed packages may not start their services; a policy of the machine's own stays as it is.
struct ServicePolicy {
    ours: bool,
}

impl ServicePolicy {
    fn forbid_starting() -> Result<Self> {
        if fs::read_to_string(POLICY).is_ok_and(|text| text.contains(POLICY_MARK)) {
            fs::remove_file(POLICY)
                .with_context(|| format!("cannot remove {POLICY}, left by an interrupted set-up"))?;
        }
        // Somebody who kills us may not leave a machine on which no service starts: the script asks for our process.
        let script =
            format!("#!/bin/sh\n{POLICY_MARK}\n[ -d /proc/{} ] || exit 0\nexit 101\n", std::process::id());
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(POLICY);
        match file {
            Ok(mut file) => {
                let policy = Self { ours: true };
                file.set_permissions(fs::Permissions::from_mode(0o755))
                    .and_then(|()| file.write_all(script.as_bytes()))
                    .with_context(|| format!("cannot write {POLICY}"))?;
                Ok(policy)
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(Self { ours: false }),
            Err(error) => Err(error).with_context(|| format!("cannot write {POLICY}")),
        }
    }
}

impl Drop for ServicePolicy {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            announce(&format!("remove {POLICY} by hand: {error}"));
        }
    }
}
