//! Whether the programs that a configuration names can be run, and are safe to be run.

use crate::config::model::check::Probe;
use crate::config::model::vrrp::{Command, Notify};
use crate::config::{Config, Diagnostic, Parsed, Span};
use crate::io::command::{Error, Programs};

/// What was found.
pub(super) struct Found {
    pub(super) problems: Vec<Diagnostic>,
    pub(super) is_secure: bool,
}

/// Looks at every program that is to be run, here and now.
pub(super) fn look_at(parsed: &Parsed) -> Found {
    let mut found = Found { problems: Vec::new(), is_secure: true };
    let Some(config) = &parsed.config else { return found };
    let globals = &config.vrrp.globals;
    let programs = Programs::new(globals);
    let commands = commands(config, parsed);
    let mut runs = None;
    // Of these keepalived says it when it tests a file, and of others when it runs them.
    let is_tracked = |place| config.vrrp.scripts.iter().any(|script| script.span == place);
    if let Some(user) = &globals.script_user
        && let Err(error) = programs.identity(Some(user))
    {
        let place = parsed.place_of_global("script_user").unwrap_or_default();
        let hint = "name one there is: nothing is run as another user in its place";
        found.problems.push(Diagnostic::warning(place, error.to_string()).hint(hint));
    }
    for (place, command) in &commands {
        let Err(error) = programs.find(command) else {
            runs.get_or_insert(*place);
            continue;
        };
        let is_told = is_tracked(*place) && !matches!(error, Error::NotExecutable { .. });
        let say = if is_told { Diagnostic::warning } else { Diagnostic::ours };
        let hint = match error {
            Error::Insecure { .. } => {
                found.is_secure = false;
                "do that, or name another `script_user`"
            }
            Error::NoUser { .. } | Error::NoGroup { .. } => {
                "add it before the director runs, or name another one"
            }
            Error::Missing { .. } | Error::NotExecutable { .. } | Error::System { .. } => {
                "put it there before the director runs, or name another one"
            }
        };
        found.problems.push(say(*place, error.to_string()).hint(hint));
    }
    if let (Some(place), false) = (runs, globals.script_security) {
        found.is_secure = false;
        let message = "scripts are run, and `enable_script_security` is not written";
        let hint = "write it into `global_defs`: what others than root can change is then not run as root";
        found.problems.push(Diagnostic::warning(place, message).hint(hint));
    }
    found
}

/// Every command, with the place of its block or its keyword.
fn commands<'a>(config: &'a Config, parsed: &Parsed) -> Vec<(Span, &'a Command)> {
    let vrrp = &config.vrrp;
    let scripts = vrrp.scripts.iter().map(|script| (script.span, &script.command));
    let notify = |place: Span, notify: &'a Notify| {
        let Notify { master, backup, fault, stop, any, lower_priority, .. } = notify;
        let all = [master, backup, fault, stop, any, lower_priority];
        all.into_iter().flatten().map(move |command| (place, command))
    };
    let instances = vrrp.instances.iter().flat_map(|instance| notify(instance.span, &instance.notify));
    let groups = vrrp.sync_groups.iter().flat_map(|group| notify(group.span, &group.notify));
    let fifos = vrrp.globals.fifos.iter().filter_map(|fifo| {
        let keyword = format!("{}_script", fifo.lines.keyword());
        Some((parsed.place_of_global(&keyword)?, fifo.script.as_ref()?))
    });
    let servers = config.virtual_servers.iter().flat_map(|service| &service.real_servers);
    let checks = servers.flat_map(|server| &server.checkers).filter_map(|checker| match &checker.probe {
        Probe::Misc(misc) => Some((checker.span, &misc.command)),
        _ => None,
    });
    let services = config.virtual_servers.iter().flat_map(|service| {
        let quorum = [&service.quorum.up, &service.quorum.down].map(|command| (service.span, command));
        let servers = service.real_servers.iter();
        let servers = servers.flat_map(|server| {
            [&server.notify_up, &server.notify_down].map(|command| (server.span, command))
        });
        quorum.into_iter().chain(servers)
    });
    let services = services.filter_map(|(place, command)| Some((place, command.as_ref()?)));
    fifos.chain(scripts).chain(instances).chain(groups).chain(checks).chain(services).collect()
}
