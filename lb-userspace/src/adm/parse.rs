//! A command line to a command, with ipvsadm's defaults, its order of complaints and their words.

use super::{
    command::{Columns, Command, Listing, View},
    draft::Draft,
    names::Names,
    options::{Fault, Opt, Reader},
    permitted::{Kind, Seen, check_command},
    state::{Role, Timeouts},
    values,
};

/// Why a command line is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not begin with a command.
    #[error("Try `{0} -h' or '{0} --help' for more information.")]
    NoCommand(String),
    /// A word looks like an option and is none; a list of commands goes on after it.
    #[error("{word}: {reason}")]
    NoOption {
        /// The word.
        word: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Anything else.
    #[error("{0}")]
    Illegal(String),
}

impl From<String> for Refusal {
    fn from(text: String) -> Self {
        Self::Illegal(text)
    }
}

impl From<&str> for Refusal {
    fn from(text: &str) -> Self {
        Self::Illegal(text.to_owned())
    }
}

/// The longest that anything is remembered, in seconds: 31 days.
const MAX_TIMEOUT: u32 = 86400 * 31;

/// Reads the words behind the program's name.
///
/// # Errors
/// [`Refusal`], as one line.
pub fn parse(program: &str, words: &[String], names: &impl Names) -> Result<Command, Refusal> {
    if words.is_empty() {
        return Ok(Command::List(Listing::default()));
    }
    let mut reader = Reader::new(words);
    let none = || Refusal::NoCommand(program.to_owned());
    let Some(Ok((command, role))) = reader.next() else { return Err(none()) };
    let role = match command {
        Opt::Help => return Ok(Command::Help),
        Opt::Version => return Ok(Command::Version),
        Opt::StartDaemon => role_of(role).ok_or("illegal start-daemon parameter specified")?,
        Opt::StopDaemon => role_of(role).ok_or("illegal start_daemon specified")?,
        _ if is_command(command) => Role::Master,
        _ => return Err(none()),
    };
    let (mut seen, mut draft) = (Seen::default(), Draft::new(role));
    while let Some(option) = reader.next() {
        let (option, value) = option.map_err(|fault| no_option(reader.last(), fault))?;
        if is_command(option) {
            return Err(format!("invalid option `{}'", reader.last()).into());
        }
        if let Some(kind) = Kind::of(option) {
            seen.insert(kind)?;
        }
        draft.take(option, value, names)?;
    }
    let mut others = reader.others();
    let timeouts = match command {
        Opt::Set => timeouts(&mut others)?,
        _ => Timeouts::default(),
    };
    if let Some(word) = others.next() {
        return Err(format!("unexpected argument {word}").into());
    }
    draft.take_flags()?;
    check_command(command, seen)?;
    finish(command, seen, draft, timeouts)
}

fn no_option(word: &str, fault: Fault) -> Refusal {
    Refusal::NoOption { word: word.to_owned(), reason: fault.to_string() }
}

const fn is_command(option: Opt) -> bool {
    matches!(
        option,
        Opt::AddService
            | Opt::EditService
            | Opt::DeleteService
            | Opt::Clear
            | Opt::List
            | Opt::ListSmall
            | Opt::Zero
            | Opt::AddServer
            | Opt::EditServer
            | Opt::DeleteServer
            | Opt::Set
            | Opt::Help
            | Opt::Version
            | Opt::Restore
            | Opt::Save
            | Opt::StartDaemon
            | Opt::StopDaemon
    )
}

fn role_of(value: Option<&str>) -> Option<Role> {
    Role::ALL.into_iter().find(|role| value == Some(role.name()))
}

/// The three values of `--set`.
fn timeouts<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<Timeouts, Refusal> {
    let (Some(tcp), Some(tcp_fin), Some(udp)) = (words.next(), words.next(), words.next()) else {
        return Err("--set option requires 3 timeout values".into());
    };
    Ok(Timeouts { tcp: timeout(tcp, 0)?, tcp_fin: timeout(tcp_fin, 0)?, udp: timeout(udp, 0)? })
}

/// Seconds, within what can be remembered.
pub(super) fn timeout(text: &str, least: u32) -> Result<u32, Refusal> {
    let seconds = values::number(text, &(least..=MAX_TIMEOUT));
    Ok(seconds.ok_or_else(|| format!("invalid timeout value `{text}' specified"))?)
}

fn finish(command: Opt, seen: Seen, draft: Draft, timeouts: Timeouts) -> Result<Command, Refusal> {
    // What a command needs is there: `check_command` says so.
    let missing = || Refusal::from("the service-address is missing");
    Ok(match command {
        Opt::AddService => Command::AddService(draft.service()?),
        Opt::EditService => Command::EditService(draft.service()?),
        Opt::DeleteService => Command::DeleteService(draft.id.ok_or_else(missing)?),
        Opt::AddServer => Command::AddServer(draft.id.ok_or_else(missing)?, draft.server(seen)?),
        Opt::EditServer => Command::EditServer(draft.id.ok_or_else(missing)?, draft.server(seen)?),
        Opt::DeleteServer => Command::DeleteServer(
            draft.id.ok_or_else(missing)?,
            draft.server_id.ok_or("the real-server is missing")?,
        ),
        Opt::Clear => Command::Flush,
        // For the kernel's messages no address and no port are no service, and so all.
        Opt::Zero => Command::Zero(draft.id.filter(|id| !id.is_nothing())),
        Opt::Set => Command::SetTimeouts(timeouts),
        Opt::StartDaemon => Command::StartDaemon(draft.daemon),
        Opt::StopDaemon => Command::StopDaemon(draft.daemon.role),
        Opt::Restore => Command::Restore,
        Opt::Save => Command::Save { numeric: seen.has(Kind::Numeric) },
        _ => Command::List(listing(&draft, seen)?),
    })
}

fn listing(draft: &Draft, seen: Seen) -> Result<Listing, Refusal> {
    use Kind::{Connection, Daemon, PersistentConn, Rate, Stats, Thresholds, Timeout, TunInfo};
    let is_table = !seen.any(&[Connection, Timeout, Daemon]);
    let is_crowded =
        seen.any(&[Stats, Rate, Thresholds]) || (seen.has(PersistentConn) && seen.any(&[Timeout, Daemon]));
    if !is_table && is_crowded {
        return Err("options conflicts in the list command".into());
    }
    let columns = [
        (Stats, Columns::Stats),
        (Rate, Columns::Rate),
        (Thresholds, Columns::Thresholds),
        (PersistentConn, Columns::PersistentConnections),
        (TunInfo, Columns::Tunnels),
    ];
    let columns =
        columns.into_iter().find(|(kind, _)| seen.has(*kind)).map_or(Columns::Plain, |found| found.1);
    let view = match (seen.has(Connection), seen.has(Timeout), seen.has(Daemon)) {
        (true, ..) => View::Connections { engines: seen.has(PersistentConn) },
        (_, true, _) => View::Timeouts,
        (.., true) => View::Daemons,
        _ => View::Services { only: draft.id, columns, sorted: !seen.has(Kind::NoSort) },
    };
    Ok(Listing { view, numeric: seen.has(Kind::Numeric), exact: seen.has(Kind::Exact) })
}
