//! What is wrong with a machine that is a director, or is to be one, and the command that mends it: findings from facts.
//! Refuses to know where facts come from, and to mend anything.

mod addresses;
pub mod facts;
mod host;
mod interfaces;
mod native;
mod offloads;
mod queues;
mod servers;
mod settings;
pub mod wanted;

use std::fmt::Write as _;

use serde::Serialize;

pub use self::facts::Facts;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It keeps xlvs from running, or packets from arriving.
    Fault,
    /// It costs something, or may.
    Warning,
}

impl Severity {
    const fn name(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The check that found it, `real-server-arp`.
    pub check: &'static str,
    /// What it is about: an interface, an address, or `host`.
    pub subject: String,
    /// What is wrong, in a sentence.
    pub text: String,
    /// What mends it, where a command does.
    pub mend: Option<Mend>,
}

/// A command for a shell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Mend {
    /// Where, if it is not this host.
    pub on: Option<String>,
    /// The command.
    pub command: String,
}

impl Mend {
    fn here(command: impl Into<String>) -> Self {
        Self { on: None, command: command.into() }
    }

    fn on(place: impl Into<String>, command: impl Into<String>) -> Self {
        Self { on: Some(place.into()), command: command.into() }
    }
}

/// What a check says of one thing: how bad it is, a sentence, and what mends it.
type Said = Option<(Severity, String, Option<Mend>)>;

/// The name of xlvs's own program.
const OWN_PROGRAM: &str = "xlvs";

/// A check by its name.
type Check<T> = (&'static str, fn(&T, &Facts) -> Said);

/// What `checks` find of `thing`.
fn look<T>(checks: &[Check<T>], subject: &str, thing: &T, facts: &Facts) -> Vec<Finding> {
    let found = |(check, look): &Check<T>| {
        let (severity, text, mend) = look(thing, facts)?;
        Some(Finding { severity, check, subject: subject.to_owned(), text, mend })
    };
    checks.iter().filter_map(found).collect()
}

/// All that is wrong, faults first.
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let mut found = look(host::CHECKS, "host", &facts.host, facts);
    for name in &facts.named {
        if facts.interface(name).is_none() {
            found.push(interfaces::missing(name, facts));
        }
    }
    for interface in facts.used() {
        for checks in [interfaces::CHECKS, native::CHECKS, settings::OF_INTERFACES] {
            found.extend(look(checks, &interface.name, interface, facts));
        }
        for carrier in native::carriers(interface, facts) {
            for checks in [offloads::CHECKS, queues::CHECKS] {
                found.extend(look(checks, &carrier.name, carrier, facts));
            }
        }
    }
    for interface in native::beneath(facts) {
        found.extend(look(offloads::BENEATH, &interface.name, interface, facts));
    }
    found.extend(look(settings::OF_HOST, "host", &facts.host, facts));
    for server in &facts.servers {
        found.extend(look(servers::CHECKS, &server.address.to_string(), server, facts));
    }
    for address in &facts.addresses {
        found.extend(addresses::answers(address, facts));
        found.extend(look(addresses::CHECKS, &address.address.to_string(), address, facts));
    }
    found.sort_by_key(|finding| finding.severity);
    found
}

/// One screen for people.
pub fn to_text(findings: &[Finding], facts: &Facts) -> String {
    let mut text = String::new();
    for Finding { severity, check, subject, text: what, mend } in findings {
        let _infallible = writeln!(text, "{:<8} {subject}: {what} [{check}]", severity.name());
        if let Some(Mend { on, command }) = mend {
            let place = on.as_ref().map_or_else(String::new, |on| format!(" on {on}"));
            let _infallible = writeln!(text, "         mend it{place}: {command}");
        }
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let used: Vec<&str> = facts.used().map(|interface| interface.name.as_str()).collect();
    let _infallible = writeln!(
        text,
        "{} and {}; looked at: {}, {} and {}",
        counted(count(Severity::Fault), "fault", "faults"),
        counted(count(Severity::Warning), "warning", "warnings"),
        if used.is_empty() { "no interface".to_owned() } else { used.join(", ") },
        counted(facts.addresses.len(), "virtual address", "virtual addresses"),
        counted(facts.servers.len(), "real server", "real servers"),
    );
    for unseen in &facts.unseen {
        let _infallible = writeln!(text, "not looked at: {unseen}");
    }
    text
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests;
