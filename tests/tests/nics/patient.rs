//! Network cards in a namespace of their own, the doctor's visits to them, and xlvs on them.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use lb_tests::cards::Card;
use lb_tests::doctor::{Finding, findings};
use lb_tests::netns::{self, Netns};
use lb_tests::process::{self, Running};
use lb_tests::{host, wait};
use nix::sys::signal::Signal;

/// An emulated processor takes its time with the verifier.
const BOUND: Duration = Duration::from_secs(90);
/// The kernel gives the cards of a namespace back behind its end.
const BACK: Duration = Duration::from_secs(30);

/// A namespace with cards in it, which go back to the machine with its end.
pub(crate) struct Patient {
    netns: Netns,
    dir: tempfile::TempDir,
}

impl Patient {
    /// With these cards, each called by its driver and switched on.
    pub(crate) fn with(cards: &[(&Card, &str)]) -> Result<Self> {
        let netns = Netns::create(&netns::unique_name())?;
        for (card, name) in cards {
            let now = named(card)?;
            let there = format!("link set dev {now} netns {}", netns.name());
            process::output(Command::new("ip").args(there.split(' ')))?;
            netns.ip(&format!("link set dev {now} down name {name}"))?;
            netns.ip(&format!("link set dev {name} up"))?;
        }
        let patient = Self { netns, dir: tempfile::tempdir()? };
        fs::write(patient.dir.path().join("empty.conf"), "")?;
        for (_, name) in cards {
            patient.wait_for_carrier(name)?;
        }
        Ok(patient)
    }

    pub(crate) fn ip(&self, arguments: &str) -> Result<()> {
        self.netns.ip(arguments).map(drop)
    }

    pub(crate) fn run(&self, command: &str) -> Result<()> {
        self.netns.run("sh", &["-ec", command]).map(drop)
    }

    /// Some cards take a moment after each change.
    fn wait_for_carrier(&self, name: &str) -> Result<()> {
        wait::until(&format!("a carrier on {name}"), BOUND, || {
            let links = self.netns.ip(&format!("-br link show dev {name}"))?;
            let is_up = links.contains("LOWER_UP");
            Ok(if is_up { ControlFlow::Break(()) } else { ControlFlow::Continue(links) })
        })
    }

    /// What the doctor finds of an interface, its carrier aside; the exit code tells of faults.
    pub(crate) fn found(&self, name: &str) -> Result<Vec<Finding>> {
        self.wait_for_carrier(name)?;
        let mut doctor = self.netns.command(host::binary())?;
        findings(doctor.args(["doctor", "--iface", name]).args(self.places()))
    }

    /// These checks find something, in the order of their names, and no others.
    pub(crate) fn has(&self, name: &str, checks: &[&str], when: &str) -> Result<()> {
        let found = self.found(name)?;
        let mut all: Vec<&str> = found.iter().map(|finding| finding.check.as_str()).collect();
        all.sort_unstable();
        ensure!(all == checks, "{when}: {checks:?} is to be found of {name}, and this is: {found:#?}");
        Ok(())
    }

    /// The one finding of a check.
    pub(crate) fn finding(&self, name: &str, check: &str) -> Result<Finding> {
        let found = self.found(name)?;
        let its: Vec<_> = found.iter().filter(|finding| finding.check == check).collect();
        let [finding] = its.as_slice() else { bail!("{check} is to be found once, and this is: {found:#?}") };
        Ok((*finding).clone())
    }

    /// What the doctor says to do about it.
    pub(crate) fn told(&self, name: &str, check: &str) -> Result<String> {
        let finding = self.finding(name, check)?;
        let mend = finding.mend.clone().with_context(|| format!("no command: {finding:?}"))?;
        ensure!(mend.on.is_none(), "it is mended here: {mend:?}");
        println!(
            "{} {}: {} [{check}]\n    {}",
            finding.severity, finding.subject, finding.text, mend.command
        );
        Ok(mend.command)
    }

    /// The check finds something; its command is run as it stands; and then nothing but `rest` is found.
    pub(crate) fn heals(&self, name: &str, check: &str, rest: &[&str]) -> Result<()> {
        let command = self.told(name, check)?;
        self.run(&command)?;
        self.has(name, rest, &format!("{check}, after `{command}`"))
    }

    /// The check finds something; xlvs is run as its command says; and then nothing but `rest` is found of it.
    pub(crate) fn runs_as_told(&self, name: &str, check: &str, rest: &[&str]) -> Result<Running> {
        let command = self.told(name, check)?;
        let arguments = command.strip_prefix("xlvs ").context("not xlvs that is to be run")?;
        let xlvs = self.runs(arguments)?.map_err(|said| anyhow!("`{command}`: {said}"))?;
        self.has(name, rest, &format!("{check}, while `{command}` runs"))?;
        Ok(xlvs)
    }

    /// Starts xlvs and waits until it is ready; what it said, if it ended instead.
    pub(crate) fn runs(&self, arguments: &str) -> Result<Result<Running, String>> {
        let log = self.dir.path().join("log");
        let mut command = self.netns.command(host::binary())?;
        command
            .args(arguments.split(' '))
            .args(self.places())
            .arg("-f")
            .arg(self.dir.path().join("empty.conf"));
        command
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?);
        let mut running = Running::start("xlvs", &mut command)?;
        wait::until("xlvs to be ready or to end", BOUND, || {
            let said = fs::read_to_string(&log)?;
            Ok(match running.exited()? {
                Some(_) => ControlFlow::Break(Err(said)),
                None if is_ready(&said) => ControlFlow::Break(Ok(())),
                None => ControlFlow::Continue(said),
            })
        })
        .map(|ready| ready.map(|()| running))
    }

    fn places(&self) -> [String; 4] {
        let state = self.dir.path().join("state").display().to_string();
        let pins = Path::new("/sys/fs/bpf").join(self.netns.name()).display().to_string();
        ["--state-dir".to_owned(), state, "--pin-dir".to_owned(), pins]
    }
}

/// Ends xlvs as its service would be.
pub(crate) fn stop(mut xlvs: Running) -> Result<()> {
    let status = xlvs.stop(Signal::SIGTERM, BOUND)?;
    ensure!(status.success(), "xlvs ended with {status}");
    Ok(())
}

/// Whether the daemon's log has its word for it, and not one that the word is in.
fn is_ready(log: &str) -> bool {
    log.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == "ready")
}

/// The name that a card has in the machine, by its address; it comes back a moment after the end of the namespace it was in.
fn named(card: &Card) -> Result<String> {
    let what = format!("a card {}, which the machine of `cargo xtask test --guest` has", card.model);
    let name = wait::until(&what, BACK, || {
        let links: serde_json::Value =
            serde_json::from_str(&process::output(Command::new("ip").args(["-j", "link"]))?)?;
        let mut links = links.as_array().context("no list of links")?.iter();
        let name = links.find(|link| link["address"] == card.mac).and_then(|link| link["ifname"].as_str());
        Ok(name.map_or_else(
            || ControlFlow::Continue(format!("nothing has the address {}", card.mac)),
            |name| ControlFlow::Break(name.to_owned()),
        ))
    })?;
    let driver = fs::read_link(format!("/sys/class/net/{name}/device/driver"))?;
    ensure!(
        driver.file_name().is_some_and(|driver| driver == card.driver),
        "{name} has {}",
        driver.display()
    );
    Ok(name)
}
