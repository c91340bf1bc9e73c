//! Network namespaces with an owner in their name: made, entered, and removed with everything in them.
//!
//! Refuses to remove a namespace, pin directory or work directory whose owning process still lives.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

use crate::frame::Mac;
use crate::process;

const PREFIX: &str = "xlvslab";
const NETNS_DIR: &str = "/run/netns";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A name no other lab on this machine has; it carries the owner's process id.
pub fn unique_name() -> String {
    format!("{PREFIX}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Removes namespaces, and entries of `pin_root` and `work_root`, whose owner has died without cleaning up.
///
/// # Errors
/// When a leftover cannot be removed.
pub fn remove_leftovers(pin_root: &Path, work_root: &Path) -> Result<()> {
    for name in abandoned(Path::new(NETNS_DIR)) {
        // Another lab that starts at the same moment may have been faster.
        if let Err(error) = delete(&name)
            && Path::new(NETNS_DIR).join(&name).exists()
        {
            return Err(error);
        }
    }
    for root in [pin_root, work_root] {
        for name in abandoned(root) {
            let path = root.join(name);
            if let Err(error) = fs::remove_dir_all(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error).with_context(|| format!("leftover {}", path.display()));
            }
        }
    }
    Ok(())
}

fn abandoned(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| owner(name).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()))
        .collect()
}

fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.strip_prefix('-')?.split('-').next()?.parse().ok()
}

fn delete(name: &str) -> Result<()> {
    process::output(Command::new("ip").args(["netns", "del", name])).map(drop)
}

/// One network namespace, deleted when the value goes out of scope.
#[derive(Debug)]
pub struct Netns {
    name: String,
    path: PathBuf,
}

impl Netns {
    /// Makes the namespace `name` with its loopback up, without IPv6 and without reverse-path filters.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(name: &str) -> Result<Self> {
        process::output(Command::new("ip").args(["netns", "add", name]))?;
        let netns = Self { name: name.to_owned(), path: Path::new(NETNS_DIR).join(name) };
        for scope in ["all", "default"] {
            netns.sysctl(&format!("ipv4/conf/{scope}/rp_filter"), "0")?;
            if Path::new("/proc/sys/net/ipv6").exists() {
                netns.sysctl(&format!("ipv6/conf/{scope}/disable_ipv6"), "1")?;
            }
        }
        netns.ip("link set lo up")?;
        Ok(netns)
    }

    /// Lets interfaces that are plugged in from now on have IPv6: link-local addresses at once, none by themselves.
    ///
    /// # Errors
    /// When the kernel has no IPv6.
    pub fn allow_ipv6(&self) -> Result<()> {
        for (key, value) in [("disable_ipv6", "0"), ("accept_dad", "0"), ("accept_ra", "0")] {
            self.sysctl(&format!("ipv6/conf/all/{key}"), value)?;
            self.sysctl(&format!("ipv6/conf/default/{key}"), value)?;
        }
        Ok(())
    }

    /// The name `ip netns` shows.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run inside, and die with the thread that started it.
    ///
    /// It keeps the caller's mounts: `ip netns exec` would hide /sys/fs/bpf behind a new /sys.
    ///
    /// # Errors
    /// When the namespace is gone.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Result<Command> {
        self.command_with(program, &[])
    }

    /// The same with files or directories of its own in the place of some of the machine's.
    ///
    /// # Errors
    /// When the namespace is gone, or a path cannot be one of the kernel's.
    pub fn command_with(&self, program: impl AsRef<OsStr>, binds: &[Bind]) -> Result<Command> {
        let handle = self.open()?;
        let binds = binds.iter().map(Bind::paths).collect::<Result<Vec<_>>>()?;
        let mut command = Command::new(program);
        command.process_group(0);
        let enter = move || {
            set_pdeathsig(Signal::SIGKILL)?;
            setns(&handle, CloneFlags::CLONE_NEWNET)?;
            if binds.is_empty() {
                return Ok(());
            }
            unshare(CloneFlags::CLONE_NEWNS)?;
            let none = None::<&std::ffi::CStr>;
            mount(none, c"/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
            for (from, to) in &binds {
                mount(Some(from.as_c_str()), to.as_c_str(), none, MsFlags::MS_BIND, none)?;
            }
            Ok(())
        };
        // SAFETY: between fork and exec the closure only makes system calls on strings that are ready; it allocates
        // nothing and takes no lock.
        unsafe { command.pre_exec(enter) };
        Ok(command)
    }

    /// Runs a program inside to its end and returns what it printed.
    ///
    /// # Errors
    /// When it cannot be run or fails.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        process::output(self.command(program)?.args(args)).with_context(|| self.name.clone())
    }

    /// Runs `ip` on the namespace with arguments separated by blanks.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn ip(&self, arguments: &str) -> Result<String> {
        process::output(Command::new("ip").args(["-n", &self.name]).args(arguments.split_whitespace()))
    }

    /// Calls `body` on a thread that has entered the namespace; sockets it opens belong there.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or what `body` returned.
    pub fn enter<T: Send>(&self, body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let joined = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.join()?;
                    body()
                })
                .join()
        });
        match joined {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Moves the calling thread into the namespace for the rest of its life.
    ///
    /// # Errors
    /// When the kernel refuses, or when called on the main thread, which has to stay where it is.
    pub fn join(&self) -> Result<()> {
        if nix::unistd::gettid() == nix::unistd::getpid() {
            bail!("the main thread may not move to {}", self.name);
        }
        setns(self.open()?, CloneFlags::CLONE_NEWNET).with_context(|| format!("enter {}", self.name))
    }

    /// Writes a setting below /proc/sys/net, e.g. `ipv4/ip_forward`.
    ///
    /// # Errors
    /// When the kernel has no such setting or refuses the value.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys/net").join(key);
        self.enter(|| fs::write(&path, value).with_context(|| format!("{} = {value}", path.display())))
    }

    /// Interfaces with an XDP program on them, each with the mode `ip` reports (1 native, 2 generic).
    ///
    /// # Errors
    /// When `ip` fails or prints something else than a list of links.
    pub fn xdp_links(&self) -> Result<Vec<(String, u64)>> {
        let links: serde_json::Value = serde_json::from_str(&self.ip("-j -d link show")?)?;
        let links = links.as_array().ok_or_else(|| anyhow!("`ip -j link` printed no list"))?;
        Ok(links
            .iter()
            .filter_map(|link| {
                let mode = link.get("xdp")?.get("mode")?.as_u64()?;
                Some((link.get("ifname")?.as_str()?.to_owned(), mode))
            })
            .collect())
    }

    /// The MAC address of `interface`.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn mac(&self, interface: &str) -> Result<Mac> {
        let links: serde_json::Value =
            serde_json::from_str(&self.ip(&format!("-j link show dev {interface}"))?)?;
        let text = links[0]["address"].as_str().with_context(|| format!("no MAC address: {links}"))?;
        let bytes: Vec<u8> = text
            .split(':')
            .map(|byte| u8::from_str_radix(byte, 16).with_context(|| text.to_owned()))
            .collect::<Result<_>>()?;
        bytes.try_into().map_err(|_| anyhow!("{text} is no MAC address"))
    }

    fn open(&self) -> Result<File> {
        File::open(&self.path).with_context(|| format!("namespace {}", self.path.display()))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if let Err(error) = delete(&self.name) {
            eprintln!("lab: {error:#}");
        }
    }
}

/// Something of the machine's that a program shall see other contents of.
#[derive(Debug, Clone)]
pub struct Bind {
    /// What it sees instead.
    pub from: PathBuf,
    /// The path, which exists.
    pub to: PathBuf,
}

impl Bind {
    fn paths(&self) -> Result<(CString, CString)> {
        let string = |path: &Path| {
            CString::new(path.as_os_str().as_bytes()).with_context(|| path.display().to_string())
        };
        Ok((string(&self.from)?, string(&self.to)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_is_read_from_own_names_only() {
        assert_eq!(owner("xlvslab-123-4-client"), Some(123));
        assert_eq!(owner(&unique_name()), Some(std::process::id()));
        for foreign in ["xlvs", "xlvslab", "xlvslab-", "xlvslab-a-1", "other-123-4"] {
            assert_eq!(owner(foreign), None, "{foreign}");
        }
    }
}
