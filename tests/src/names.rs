//! The name server of a host: `nsd` with a configuration and zones of its own, on port 53 of some addresses.

use std::fs::{self, File};
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::family::Family;
use crate::netns::Netns;
use crate::process::Running;

const BOUND: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_millis(200);
const PORT: u16 = 53;
const ZONE: &str = "example.test.zone";
const SOA: &str = "$ORIGIN example.test.\n$TTL 60\n@ SOA ns host 1 60 60 60 60\n@ NS ns\nns A 192.0.2.1\n";

/// The name that it knows while it knows everything.
pub const KNOWN: &str = "www.example.test";

/// What it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knowledge {
    /// The zone of [`KNOWN`] and the name itself.
    All,
    /// The zone without the name: the answer is NXDOMAIN.
    NotTheName,
    /// That there is such a zone, but none of it: the answer is SERVFAIL.
    NotTheZone,
}

/// A name server.
#[derive(Debug)]
pub struct Names {
    dir: PathBuf,
    addresses: Vec<IpAddr>,
    running: Option<Running>,
}

impl Names {
    /// Prepares its directory below `dir`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn prepare(dir: &Path, addresses: &[IpAddr]) -> Result<Self> {
        let dir = dir.join("names");
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        fs::write(dir.join("nsd.conf"), configuration(&dir, addresses))?;
        Ok(Self { dir, addresses: addresses.to_vec(), running: None })
    }

    /// Starts it inside `netns` and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(&mut self, netns: &Netns, knowledge: Knowledge) -> Result<()> {
        let zone = self.dir.join(ZONE);
        match knowledge {
            Knowledge::All => fs::write(&zone, format!("{SOA}www A 192.0.2.2\n"))?,
            Knowledge::NotTheName => fs::write(&zone, SOA)?,
            Knowledge::NotTheZone if zone.exists() => fs::remove_file(&zone)?,
            Knowledge::NotTheZone => {}
        }
        let mut command = netns.command("nsd")?;
        let log = File::options().create(true).append(true).open(self.dir.join("log"))?;
        command.args(["-d", "-c"]).arg(self.dir.join("nsd.conf"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut running = Running::start("nsd", &mut command).context("install it by `cargo xtask setup`")?;
        for &address in &self.addresses {
            let ask = || netns.enter(|| ask(address));
            running.ready(BOUND, ask).with_context(|| self.log())?;
        }
        self.running = Some(running);
        Ok(())
    }

    /// Stops it.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut running) = self.running.take() {
            running.stop(Signal::SIGTERM, BOUND)?;
        }
        Ok(())
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

/// Asks for a name of no zone, which is answered too.
fn ask(address: IpAddr) -> Result<()> {
    let socket = UdpSocket::bind(Family::from(address).unspecified())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect((address, PORT))?;
    // One question, for the address of `x`: RFC 1035 section 4.1.
    let question = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\x01x\0\0\x01\0\x01";
    socket.send(question)?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    ensure!(answer[..length].starts_with(&question[..2]), "{address} answers something else");
    Ok(())
}

/// Without a user to become, a directory to be shut in, or a port for control.
fn configuration(dir: &Path, addresses: &[IpAddr]) -> String {
    let dir = dir.display();
    let addresses: Vec<_> =
        addresses.iter().map(|address| format!("    ip-address: {address}@{PORT}")).collect();
    let addresses = addresses.join("\n");
    format!(
        "server:
{addresses}
    username: \"\"
    chroot: \"\"
    server-count: 1
    database: \"\"
    zonesdir: \"{dir}\"
    zonelistfile: \"{dir}/zone.list\"
    xfrdfile: \"{dir}/xfrd.state\"
    xfrdir: \"{dir}\"
    pidfile: \"{dir}/nsd.pid\"
    logfile: \"{dir}/log\"
remote-control:
    control-enable: no
zone:
    name: \"example.test\"
    zonefile: \"{ZONE}\"
"
    )
}
