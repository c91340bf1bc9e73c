//! The mail server of a host: `smtpd` of OpenBSD with a configuration and directories of its own, which keeps every letter.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::ops::ControlFlow;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use nix::unistd::User;

use crate::netns::{Bind, Netns};
use crate::process::Running;
use crate::wait;

const BOUND: Duration = Duration::from_secs(10);
/// Whose mailbox it is.
const KEEPER: &str = "nobody";
/// What it has of its own in the place of the machine's.
const OWN: [(&str, &str); 3] = [("mail", "/var/mail"), ("spool", "/var/spool"), ("run", "/run")];

/// A mail server on port 25 of some addresses of a namespace.
#[derive(Debug)]
pub struct Post {
    dir: PathBuf,
    addresses: Vec<IpAddr>,
    running: Option<Running>,
}

/// A letter as it was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// When.
    pub at: SystemTime,
    /// `Subject:`
    pub subject: String,
    /// `From:`
    pub from: String,
    /// `To:`
    pub to: String,
    /// Whom the server was told to deliver it to.
    pub recipient: String,
    /// Its text.
    pub body: String,
}

impl Post {
    /// Prepares its directory below `dir`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn prepare(dir: &Path, addresses: &[IpAddr]) -> Result<Self> {
        let dir = dir.join("post");
        for name in ["mail", "spool/smtpd", "run"] {
            fs::create_dir_all(dir.join(name)).with_context(|| dir.display().to_string())?;
        }
        for name in ["spool", "spool/smtpd"] {
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o711))?;
        }
        let keeper = User::from_name(KEEPER)?.with_context(|| format!("there is no user {KEEPER}"))?;
        chown(dir.join("mail"), Some(keeper.uid.as_raw()), Some(keeper.gid.as_raw()))?;
        fs::write(dir.join("smtpd.conf"), configuration(addresses))?;
        Ok(Self { dir, addresses: addresses.to_vec(), running: None })
    }

    /// Prepares one for the loopback of `netns` and starts it there.
    ///
    /// # Errors
    /// When it does not accept connections in time.
    pub fn open(netns: &Netns, dir: &Path) -> Result<Self> {
        let mut post = Self::prepare(dir, &[Ipv4Addr::LOCALHOST.into()])?;
        post.start(netns)?;
        Ok(post)
    }

    /// Starts it inside `netns` and waits until it accepts connections.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(&mut self, netns: &Netns) -> Result<()> {
        let binds = OWN.map(|(own, path)| Bind { from: self.dir.join(own), to: path.into() });
        let mut command = netns.command_with("smtpd", &binds)?;
        let log = File::options().create(true).append(true).open(self.dir.join("log"))?;
        command.args(["-d", "-f"]).arg(self.dir.join("smtpd.conf"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut running =
            Running::start("smtpd", &mut command).context("install it by `cargo xtask setup`")?;
        for &address in &self.addresses {
            let connect = || netns.enter(|| Ok(TcpStream::connect((address, 25))?));
            running.ready(BOUND, connect).with_context(|| self.log())?;
        }
        self.running = Some(running);
        Ok(())
    }

    /// Stops it; what it has delivered stays.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut running) = self.running.take() {
            running.stop(Signal::SIGTERM, BOUND)?;
        }
        Ok(())
    }

    /// Every letter, the oldest first.
    ///
    /// # Errors
    /// When one cannot be read or is none.
    pub fn letters(&self) -> Result<Vec<Letter>> {
        let Ok(entries) = fs::read_dir(self.dir.join("mail/new")) else { return Ok(Vec::new()) };
        let mut letters = Vec::new();
        for entry in entries {
            letters.push(Letter::read(&entry?.path())?);
        }
        letters.sort_by_key(|letter| letter.at);
        Ok(letters)
    }

    /// The subjects of all letters, the oldest first.
    ///
    /// # Errors
    /// When a letter cannot be read.
    pub fn subjects(&self) -> Result<Vec<String>> {
        Ok(self.letters()?.into_iter().map(|letter| letter.subject).collect())
    }

    /// Waits until there are `count` letters and returns them, the oldest first.
    ///
    /// # Errors
    /// When they do not come in time, or more have come.
    pub fn wait(&self, count: usize, bound: Duration) -> Result<Vec<Letter>> {
        wait::until(&format!("{count} letters"), bound, || {
            let letters = self.letters()?;
            if letters.len() > count {
                bail!("there are more than {count} letters: {letters:#?}");
            }
            Ok(if letters.len() == count {
                ControlFlow::Break(letters)
            } else {
                ControlFlow::Continue(format!("{letters:#?}"))
            })
        })
        .with_context(|| self.log())
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Letter {
    fn read(path: &Path) -> Result<Self> {
        let name = || path.display().to_string();
        let at = fs::metadata(path).with_context(name)?.modified()?;
        let text = fs::read_to_string(path).with_context(name)?;
        Self::parse(at, &text).with_context(|| format!("{}: {text}", name()))
    }

    fn parse(at: SystemTime, text: &str) -> Result<Self> {
        let (head, body) = text.split_once("\n\n").context("no end of the header")?;
        // A line that begins with a blank goes on with the one before.
        let head = head.replace("\n ", " ").replace("\n\t", " ");
        let field = |name: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(": "));
            let found = fields.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned());
            found.with_context(|| format!("it has no {name}"))
        };
        Ok(Self {
            at,
            subject: field("Subject")?,
            from: field("From")?,
            to: field("To")?,
            recipient: field("Delivered-To")?,
            body: body.trim_end().to_owned(),
        })
    }
}

fn configuration(addresses: &[IpAddr]) -> String {
    let listen: Vec<_> =
        addresses.iter().map(|address| format!("listen on {address} port 25 hostname localhost")).collect();
    let listen = listen.join("\n");
    format!(
        "{listen}
action \"keep\" maildir \"/var/mail\" virtual {{ \"@\" = \"{KEEPER}\" }}
match from any for any action \"keep\"
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_read_with_folded_lines() {
        let text = "Delivered-To: root@localhost\nReceived: from a\n\tby b;\nFrom: a@b\nTo: root@localhost\nSubject: one\n two\n\n\
                    => body <=\n";
        let letter = Letter::parse(SystemTime::UNIX_EPOCH, text).expect("a letter");
        assert_eq!((letter.subject.as_str(), letter.body.as_str()), ("one two", "=> body <="));
        assert_eq!(letter.recipient, "root@localhost");
        assert!(Letter::parse(SystemTime::UNIX_EPOCH, "From: a\n\nb").is_err());
    }
}
