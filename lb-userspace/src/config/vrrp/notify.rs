//! Owns what an instance or a sync group runs on its transitions, as the text says it.

use super::command;
use crate::config::diagnostics::Diagnostic;
use crate::config::model::vrrp::Notify;
use crate::config::tree::Statement;
use crate::config::values;

/// Takes `setting` into `notify` if it is about notifying.
pub(super) fn take(
    notify: &mut Notify,
    setting: &Statement,
    problems: &mut Vec<Diagnostic>,
) -> Result<(), Diagnostic> {
    let slot = match setting.name() {
        "notify_master" => &mut notify.master,
        "notify_backup" => &mut notify.backup,
        "notify_fault" => &mut notify.fault,
        "notify_stop" => &mut notify.stop,
        "notify" => &mut notify.any,
        "notify_master_rx_lower_pri" => &mut notify.lower_priority,
        "notify_priority_changes" => {
            notify.priority_changes = values::switch(setting.arguments.first())?;
            return Ok(());
        }
        _ => return Ok(()),
    };
    if !setting.arguments.is_empty() {
        *slot = Some(command::with_user(setting, problems)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::model::vrrp::Command;
    use crate::config::testing::{instance, said, vrrp_instance};

    #[test]
    fn every_transition_has_its_command() {
        let read = vrrp_instance(
            "notify_master \"/n master\"\n notify_backup /n\n notify_fault \"/n fault\" root\n notify_stop /s\n \
             notify /any\n notify_master_rx_lower_pri /low\n notify_priority_changes",
        )
        .notify;
        let words = |command: &Option<Command>| command.as_ref().unwrap().words.join(" ");
        assert_eq!(words(&read.master), "/n master");
        assert_eq!(words(&read.backup), "/n");
        assert_eq!(words(&read.fault), "/n fault");
        assert_eq!(read.fault.unwrap().user.unwrap().name, "root");
        assert_eq!(words(&read.stop), "/s");
        assert_eq!(words(&read.any), "/any");
        assert_eq!(words(&read.lower_priority), "/low");
        assert!(read.priority_changes);
    }

    #[test]
    fn an_empty_command_is_an_error() {
        let said = said(&instance("notify_master \"\""));
        assert_eq!(said.len(), 1, "{said:#?}");
        assert!(said[0].starts_with("t:4:2: error: no program is named here"), "{said:#?}");
    }
}
