//! A scenario: virtual servers in a configuration, and in its comments what happens to their real servers.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::str::{FromStr, SplitWhitespace};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};

/// What the comments begin with that say what happens: `! at 4.5 refuse 10.64.1.1:80`.
const MARK: &str = "! at ";
/// What a comment begins with that says how far moments may be from those of keepalived: `! within 1.3 seconds`.
const WITHIN: &str = "! within ";
/// As far where nothing is said.
const TOLERANCE: Duration = Duration::from_millis(300);
/// Stands for the directory of a run.
const DIRECTORY: &str = "@DIR@";

/// One configuration with its faults.
#[derive(Debug)]
pub struct Scenario {
    /// The name of its file without the ending.
    pub name: String,
    /// How far its moments may be from those of keepalived.
    pub tolerance: Duration,
    text: String,
    pub(super) faults: Vec<Fault>,
}

/// Something that happens, after the first probe; what happens at 0 is there before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: Duration,
    pub(super) action: Action,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// `accept A:P`: TCP connections.
    Accept(SocketAddr),
    /// `page A:P PATH STATUS TEXT`, or `page A:P PATH hangs`: over HTTP, to everybody or, as `HOST/PATH`, where a host is named.
    Page(SocketAddr, String, Answer),
    /// `secret A:P PATH ...`: the same over TLS, with a certificate that nobody vouches for.
    Secret(SocketAddr, String, Answer),
    /// `mail A:P GREETING HELO`: the codes of a mail server.
    Mail(SocketAddr, u16, u16),
    /// `names A:P CODE`: the code of a name server's answers.
    Names(SocketAddr, u8),
    /// `echo A:P`: datagrams.
    Echo(SocketAddr),
    /// `deaf A:P`: takes datagrams and answers none.
    Deaf(SocketAddr),
    /// `refuse A:P`: whatever is there ends.
    Refuse(SocketAddr),
    /// `mute A`: nothing comes back from the address.
    Mute(IpAddr),
    /// `unmute A`.
    Unmute(IpAddr),
    /// `file NAME TEXT`: in the directory of the run.
    File(String, String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Page(u16, String),
    Hangs,
}

impl Scenario {
    /// Every `.conf` in `directory`, in the order of their names.
    ///
    /// # Errors
    /// When one cannot be read or says something else than what can happen.
    pub fn read_all(directory: &Path) -> Result<Vec<Self>> {
        let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
        let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        let mut scenarios = Vec::new();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|end| end == "conf")) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let text = fs::read_to_string(path)?;
            scenarios.push(Self::parse(&name, text).with_context(|| path.display().to_string())?);
        }
        ensure!(!scenarios.is_empty(), "{} has no scenario", directory.display());
        scenarios.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(scenarios)
    }

    fn parse(name: &str, text: String) -> Result<Self> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(MARK));
        let faults = lines.map(|line| Fault::parse(line).with_context(|| line.to_owned()));
        let faults = faults.collect::<Result<_>>()?;
        let tolerance = match text.lines().find_map(|line| line.strip_prefix(WITHIN)) {
            Some(line) => Duration::try_from_secs_f64(next(&mut line.split_whitespace())?)?,
            None => TOLERANCE,
        };
        Ok(Self { name: name.to_owned(), tolerance, faults, text })
    }

    /// Its configuration for a run whose files are in `directory`.
    pub fn configuration(&self, directory: &Path) -> String {
        self.text.replace(DIRECTORY, &directory.display().to_string())
    }

    /// Whether a virtual server is one of its.
    pub fn has(&self, service: SocketAddr) -> bool {
        let line = format!("virtual_server {} {} {{", service.ip(), service.port());
        self.text.lines().any(|one| one == line)
    }
}

impl Fault {
    fn parse(line: &str) -> Result<Self> {
        let mut words = line.split_whitespace();
        let at = Duration::try_from_secs_f64(next(&mut words)?)?;
        let verb: String = next(&mut words)?;
        let action = match verb.as_str() {
            "accept" => Action::Accept(next(&mut words)?),
            "page" => Action::Page(next(&mut words)?, next(&mut words)?, Answer::parse(&mut words)?),
            "secret" => Action::Secret(next(&mut words)?, next(&mut words)?, Answer::parse(&mut words)?),
            "mail" => Action::Mail(next(&mut words)?, next(&mut words)?, next(&mut words)?),
            "names" => Action::Names(next(&mut words)?, next(&mut words)?),
            "echo" => Action::Echo(next(&mut words)?),
            "deaf" => Action::Deaf(next(&mut words)?),
            "refuse" => Action::Refuse(next(&mut words)?),
            "mute" => Action::Mute(next(&mut words)?),
            "unmute" => Action::Unmute(next(&mut words)?),
            "file" => Action::File(next(&mut words)?, rest(&mut words)),
            _ => bail!("{verb} cannot happen"),
        };
        ensure!(words.next().is_none(), "too many words");
        Ok(Self { at, action })
    }
}

impl Answer {
    fn parse(words: &mut SplitWhitespace<'_>) -> Result<Self> {
        let first: String = next(words)?;
        Ok(if first == "hangs" { Self::Hangs } else { Self::Page(first.parse()?, rest(words)) })
    }
}

fn next<T: FromStr>(words: &mut SplitWhitespace<'_>) -> Result<T> {
    let word = words.next().context("too few words")?;
    word.parse().map_err(|_| anyhow!("{word} is not what belongs here"))
}

fn rest(words: &mut SplitWhitespace<'_>) -> String {
    words.by_ref().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_say_what_happens() {
        let text = "! a comment\n! at 0 accept 10.0.0.2:80\n! at 4.5 page 10.0.0.2:80 /a 200 two words\n\
                    virtual_server 10.0.0.1 80 {\n file @DIR@/x\n}\n";
        let scenario = Scenario::parse("a", text.to_owned()).expect("a scenario");
        let server = SocketAddr::from(([10, 0, 0, 2], 80));
        let page = Answer::Page(200, "two words".to_owned());
        let second =
            Fault { at: Duration::from_millis(4500), action: Action::Page(server, "/a".to_owned(), page) };
        assert_eq!(scenario.faults, [Fault { at: Duration::ZERO, action: Action::Accept(server) }, second]);
        assert_eq!(scenario.tolerance, TOLERANCE);
        let loose = Scenario::parse("a", "! within 1.5 seconds\n".to_owned()).expect("a scenario");
        assert_eq!(loose.tolerance, Duration::from_millis(1500));
        assert!(scenario.has(([10, 0, 0, 1], 80).into()) && !scenario.has(([10, 0, 0, 1], 8).into()));
        assert!(scenario.configuration(Path::new("/tmp")).contains("file /tmp/x"));
        for wrong in ["x accept 10.0.0.2:80", "1 accept", "1 dance", "1 accept 10.0.0.2:80 now", "1 mute x"] {
            assert!(Fault::parse(wrong).is_err(), "{wrong}");
        }
    }
}
