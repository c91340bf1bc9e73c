//! Owns what a `virtual_server` says of its quorum and its sorry server.

use super::forwarding;
use crate::config::diagnostics::Diagnostic;
use crate::config::model::vrrp::Family;
use crate::config::model::{Forwarding, Quorum, SorryServer, VirtualServer};
use crate::config::tree::Statement;
use crate::config::values;
use crate::config::vrrp::command;

/// The quorum that `block` describes, not yet compared with the real servers there are.
pub(super) fn read(block: &Statement, problems: &mut Vec<Diagnostic>) -> Quorum {
    let mut quorum = Quorum::default();
    for setting in block.body() {
        if let Err(problem) = take(&mut quorum, setting, problems) {
            problems.push(problem);
        }
    }
    quorum
}

fn take(quorum: &mut Quorum, setting: &Statement, problems: &mut Vec<Diagnostic>) -> Result<(), Diagnostic> {
    let script = match (setting.name(), setting.arguments.first()) {
        ("quorum", Some(word)) => {
            quorum.least = values::number(word, "a quorum", 1..=u32::MAX)?;
            return Ok(());
        }
        ("hysteresis", Some(word)) => {
            quorum.hysteresis = values::number(word, "a hysteresis", 0..=u32::MAX)?;
            return Ok(());
        }
        ("smtp_alert", value) => {
            quorum.smtp_alert = Some(values::switch(value)?);
            return Ok(());
        }
        ("quorum_up", Some(_)) => &mut quorum.up,
        ("quorum_down", Some(_)) => &mut quorum.down,
        _ => return Ok(()),
    };
    *script = Some(command::with_user(setting, problems)?);
    Ok(())
}

/// Makes the quorum one that the real servers of `service` can have, as keepalived does.
pub(super) fn settle(service: &mut VirtualServer, block: &Statement, problems: &mut Vec<Diagnostic>) {
    let total: u32 = service.pool().map(|server| u32::from(server.weight.0)).sum();
    let Quorum { least, hysteresis, .. } = &mut service.quorum;
    let place = |name| block.body().iter().rfind(|setting| setting.name() == name).map(Statement::header);
    if *least > total {
        let message = format!("the quorum {least} becomes {total}, which is the weight of all real servers");
        let span = place("quorum").unwrap_or_else(|| block.header());
        problems.push(Diagnostic::warning(span, message).hint("write a smaller quorum, or larger weights"));
        *least = total;
    }
    if *hysteresis > 0 && *hysteresis >= *least {
        let becomes = least.saturating_sub(1);
        let message =
            format!("the hysteresis {hysteresis} becomes {becomes}: it must be less than the quorum");
        let span = place("hysteresis").unwrap_or_else(|| block.header());
        problems.push(Diagnostic::warning(span, message).hint("write a smaller one"));
        *hysteresis = becomes;
    }
}

/// The sorry server that `block` describes; the last counts.
pub(super) fn sorry(
    block: &Statement,
    service: &VirtualServer,
    problems: &mut Vec<Diagnostic>,
) -> Option<SorryServer> {
    let last = |name| block.body().iter().rfind(|setting| setting.name() == name);
    let setting = last("sorry_server")?;
    let method = last("sorry_server_lvs_method").and_then(|method| method.arguments.first());
    let forwarding = method.map_or(Ok(service.forwarding), forwarding);
    let server = forwarding.and_then(|forwarding| {
        let mut server = read_sorry(setting, service, forwarding, problems)?;
        server.inhibit = last("sorry_server_inhibit").is_some();
        Ok(server)
    });
    server.map_err(|problem| problems.push(problem)).ok()
}

fn read_sorry(
    setting: &Statement,
    service: &VirtualServer,
    forwarding: Forwarding,
    problems: &mut Vec<Diagnostic>,
) -> Result<SorryServer, Diagnostic> {
    let span = setting.header();
    let left_out = |why: &str, hint: &str| {
        Diagnostic::warning(span, format!("the sorry server is left out: {why}")).hint(hint)
    };
    let [address, others @ ..] = setting.arguments.as_slice() else {
        // That there is no value is said where the keywords are looked at.
        return Err(left_out("it has no address", "write the address of a server"));
    };
    let port = others.first().map_or(Ok(0), |word| values::number(word, "a port", 0..=u16::MAX))?;
    let address = super::address(address, problems)?;
    let (own, family) = (Family::of(address), service.selector.family());
    if own != family && forwarding != Forwarding::Tun {
        let why = format!("it is {own} and its virtual server {family}");
        return Err(left_out(&why, "give it an address of the same family"));
    }
    if !forwarding.is_available() {
        let why = format!("{} is not yet in effect", forwarding.keyword());
        return Err(Diagnostic { is_ours: true, ..left_out(&why, "write `sorry_server_lvs_method DR`") });
    }
    if service.pool().any(|server| server.address == address) {
        let why = "it is one of the real servers";
        return Err(Diagnostic { is_ours: true, ..left_out(why, "name another one") });
    }
    let own_port = service.selector.port();
    if port != 0 && port != own_port {
        let message = format!("the port {port} of the sorry server becomes {own_port}: DR changes no port");
        problems
            .push(Diagnostic::warning(span, message).hint("write the port of the virtual server, or none"));
    }
    Ok(SorryServer { address, port: own_port, forwarding, inhibit: false, span })
}

#[cfg(test)]
mod tests {
    use crate::config::model::{Quorum, VirtualServer};
    use crate::config::testing::{config, said, says, service};

    /// A service with this in it and two real servers of weight 3 and 1.
    fn text(inner: &str) -> String {
        let servers = "real_server 10.0.0.2 80 {\n weight 3\n }\n real_server 10.0.0.3 80 {\n }\n";
        service(&format!("{inner}\n {servers}"))
    }

    fn read(inner: &str) -> VirtualServer {
        VirtualServer::clone(&config(&text(inner)).virtual_servers[0])
    }

    #[test]
    fn everything_can_be_said() {
        let inner = "quorum 3\n hysteresis 1\n quorum_up \"/up a\"\n quorum_down \"/down b\" nobody\n smtp_alert\n omega\n \
                     ha_suspend\n sorry_server 10.0.0.9 80\n sorry_server_inhibit\n sorry_server_lvs_method DR";
        says(&text(inner), "t:1:1: warning: `ha_suspend` has no effect: no vrrp_instance owns");
        let service = read(inner);
        let Quorum { least, hysteresis, up, down, smtp_alert } = service.quorum;
        assert_eq!((least, hysteresis, smtp_alert), (3, 1, Some(true)));
        assert_eq!(up.expect("a command").words, ["/up", "a"]);
        assert_eq!(down.expect("a command").user.expect("a user").name, "nobody");
        let sorry = service.sorry.expect("a sorry server");
        assert_eq!((sorry.address.to_string().as_str(), sorry.port, sorry.inhibit), ("10.0.0.9", 80, true));
        assert_eq!((service.omega, service.ha_suspend), (true, true));
        let plain = read("");
        assert_eq!(
            (plain.quorum, plain.sorry, plain.omega, plain.ha_suspend),
            (Quorum::default(), None, false, false)
        );
    }

    #[test]
    fn a_quorum_is_one_that_can_be_had() {
        says(&text("quorum 9"), "t:5:2: warning: the quorum 9 becomes 4, which is the weight of all");
        assert_eq!(read("quorum 9").quorum.least, 4);
        says(&text("quorum 2\n hysteresis 2"), "t:6:2: warning: the hysteresis 2 becomes 1");
        assert_eq!(read("quorum 2\n hysteresis 2").quorum.hysteresis, 1);
        let nobody = service("real_server 10.0.0.2 80 {\n weight 0\n }\n");
        says(&nobody, "t:1:1: warning: the quorum 1 becomes 0");
    }

    #[test]
    fn a_sorry_server_is_of_the_family_and_nobody_else() {
        for (inner, start) in [
            ("sorry_server fd00::9", "t:5:2: warning: the sorry server is left out: it is IPv6"),
            (
                "sorry_server 10.0.0.2",
                "t:5:2: warning: the sorry server is left out: it is one of the real servers",
            ),
            (
                "sorry_server 10.0.0.9\n sorry_server_lvs_method NAT",
                "t:5:2: warning: the sorry server is left out: NAT",
            ),
        ] {
            says(&text(inner), start);
            assert_eq!(read(inner).sorry, None);
        }
        says(&text("sorry_server 10.0.0.9 81"), "t:5:2: warning: the port 81 of the sorry server becomes 80");
        assert_eq!(read("sorry_server 10.0.0.9").sorry.expect("one").port, 80);
    }

    #[test]
    fn wrong_values_are_errors() {
        for (inner, start) in [
            ("quorum 0", "t:5:9: error: `0` is out of range for a quorum"),
            ("quorum most", "t:5:9: error: `most` is not a quorum"),
            ("hysteresis -1", "t:5:13: error: `-1` is not a hysteresis"),
            ("sorry_server 10.0.0.300", "t:5:15: error: `10.0.0.300` is not an IPv4 or IPv6 address"),
            ("smtp_alert perhaps", "t:5:13: error: `perhaps` is neither yes nor no"),
        ] {
            let said = said(&text(inner));
            assert!(said.iter().any(|line| line.starts_with(start)), "{inner}: {said:#?}");
        }
    }
}
