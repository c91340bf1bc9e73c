//! Owns what `vrrp_strict` or `strict_mode` changes in an instance. What it changes in the election is with that.

use super::OWNER;
use crate::config::diagnostics::Diagnostic;
use crate::config::model::vrrp::{Family, Transport, Version, VrrpInstance};

/// Makes `instance` follow the protocol to the letter; `accept` and `lower_prio` are what was asked for.
pub(super) fn apply(
    instance: &mut VrrpInstance,
    accept: Option<bool>,
    lower_prio: bool,
    problems: &mut Vec<Diagnostic>,
) {
    let mut not_strict = |what: &str| {
        let message = format!("strict mode of the vrrp_instance {}: {what}", instance.name);
        problems.push(Diagnostic::warning(instance.span, message).hint("remove it, or `vrrp_strict`"));
    };
    if instance.authentication.take().is_some() {
        not_strict("`authentication` has no effect; adverts are sent without");
    }
    if lower_prio {
        not_strict("`garp_lower_prio_repeat` has no effect");
    }
    if std::mem::take(&mut instance.higher_prio_send_advert) {
        not_strict("`higher_prio_send_advert` has no effect");
    }
    if let Some(vmac) = &mut instance.vmac
        && std::mem::take(&mut vmac.xmit_base)
    {
        not_strict("`vmac_xmit_base` has no effect");
    }
    if instance.version == Version::V2 && accept == Some(true) {
        not_strict("version 2 knows no `accept`; it has no effect");
    }
    let link_local =
        |address| matches!(address, std::net::IpAddr::V6(address) if address.is_unicast_link_local());
    if instance.family == Family::V6
        && instance.virtual_addresses.first().is_some_and(|first| !link_local(first.address))
    {
        not_strict("the first address must be one of the link (fe80::)");
    }
    if matches!(instance.transport, Transport::Unicast { .. }) {
        let message = format!(
            "strict mode of the vrrp_instance {}: the protocol knows no unicast; adverts are sent to the peers all the same",
            instance.name
        );
        problems.push(Diagnostic::ours(instance.span, message).hint("remove it, or `vrrp_strict`"));
    }
    instance.lower_prio_no_advert = true;
    instance.announcing.lower_prio_repeat = 0;
    let accept = if instance.version == Version::V2 { accept.filter(|accept| !accept) } else { accept };
    instance.accept = accept.unwrap_or(instance.priority == OWNER);
    if !instance.accept && accept.is_none() {
        let message = format!(
            "strict mode of the vrrp_instance {}: this host itself does not answer at its virtual addresses",
            instance.name
        );
        problems.push(Diagnostic::ours(instance.span, message).hint(
            "remove `vrrp_strict`, or write `version 3` and `accept` if something here listens on them",
        ));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::model::vrrp::InitialState;
    use crate::config::testing::{instance, only, said, says};

    fn strict(inner: &str) -> String {
        format!("global_defs {{\n vrrp_strict\n}}\n{}", instance(inner))
    }

    fn rules(inner: &str) -> Vec<String> {
        said(&strict(inner)).into_iter().filter(|line| !line.contains("does not answer")).collect()
    }

    #[test]
    fn only_the_owner_answers_at_the_addresses() {
        says(
            &strict(""),
            "t:4:1: warning: strict mode of the vrrp_instance VI_1: this host itself does not answer",
        );
        assert!(!only(&strict("")).accept);
        assert!(only(&strict("priority 255")).accept);
        assert!(only(&strict("version 3\n accept")).accept);
        assert!(only(&strict("strict_mode off")).accept);
        assert!(!only(&instance("strict_mode")).accept);
    }

    #[test]
    fn what_the_protocol_does_not_know_has_no_effect() {
        let quiet = only(&strict(""));
        assert!(quiet.lower_prio_no_advert && quiet.announcing.lower_prio_repeat == 0);
        for (inner, what) in [
            ("authentication {\n auth_type PASS\n auth_pass 1\n }", "`authentication` has no effect"),
            ("garp_lower_prio_repeat 2", "`garp_lower_prio_repeat` has no effect"),
            ("higher_prio_send_advert", "`higher_prio_send_advert` has no effect"),
            ("use_vmac\n vmac_xmit_base", "`vmac_xmit_base` has no effect"),
            ("unicast_peer {\n 10.0.0.3\n }", "the protocol knows no unicast"),
            ("accept", "version 2 knows no `accept`"),
            (
                "state MASTER\n priority 100",
                "in strict mode the state of the vrrp_instance VI_1 becomes BACKUP",
            ),
            ("preempt_delay 3", "`preempt_delay` has no effect in strict mode"),
        ] {
            let said = rules(inner);
            assert!(said.len() == 1 && said[0].contains(what), "{said:#?}");
        }
        let read =
            only(&strict("state MASTER\n priority 100\n authentication {\n auth_type AH\n auth_pass 1\n }"));
        assert_eq!((read.state, read.authentication), (InitialState::Backup, None));
        assert_eq!(only(&strict("priority 255")).state, InitialState::Master);
    }
}
