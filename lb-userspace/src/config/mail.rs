//! Owns the step from what `global_defs` says about mail to [`Mail`].

use std::ops::RangeInclusive;
use std::time::Duration;

use super::diagnostics::{Diagnostic, quoted};
use super::model::Mail;
use super::tree::{Statement, Word};
use super::values;

/// The port of SMTP.
pub(super) const PORT: u16 = 25;
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(4294);

/// What all `global_defs` blocks among `statements` say.
pub(super) fn read(statements: &[Statement], problems: &mut Vec<Diagnostic>) -> Mail {
    let mut mail = Mail::default();
    let blocks = statements.iter().filter(|statement| statement.name() == "global_defs");
    let settings: Vec<_> = blocks.flat_map(Statement::body).collect();
    for setting in &settings {
        if setting.name() == "notification_email" {
            recipients(setting, &mut mail.recipients, problems);
        } else if let Err(problem) = take(setting, &mut mail) {
            problems.push(problem);
        }
    }
    say_what_is_missing(&mail, &settings, problems);
    mail
}

fn take(setting: &Statement, mail: &mut Mail) -> Result<(), Diagnostic> {
    let value = setting.arguments.first();
    match (setting.name(), value) {
        ("notification_email_from", Some(word)) => mail.sender = Some(address(word)?),
        ("smtp_server", Some(word)) => {
            let port = setting.arguments.get(1).map_or(Ok(PORT), values::port)?;
            mail.server = Some((host(word)?, port));
        }
        ("smtp_helo_name", Some(word)) => mail.helo = Some(host(word)?),
        ("smtp_connect_timeout", Some(word)) => mail.timeout = values::seconds(word, TIMEOUTS)?,
        ("smtp_alert", value) => mail.alerts = Some(values::switch(value)?),
        ("smtp_alert_vrrp", value) => mail.vrrp_alerts = Some(values::switch(value)?),
        ("smtp_alert_checker", value) => mail.checker_alerts = Some(values::switch(value)?),
        ("no_email_faults", _) => mail.faults = false,
        ("no_checker_emails", _) => mail.checks = false,
        _ => {}
    }
    Ok(())
}

/// One or several on a line.
fn recipients(setting: &Statement, recipients: &mut Vec<String>, problems: &mut Vec<Diagnostic>) {
    if let Some(word) = setting.arguments.first() {
        let message = "`notification_email` takes a block; what stands behind it is ignored";
        problems.push(
            Diagnostic::warning(word.span, message)
                .hint("write `notification_email {` and one line for each"),
        );
    }
    for word in setting.body().iter().flat_map(Statement::words) {
        match address(word) {
            Ok(address) => recipients.push(address),
            Err(problem) => problems.push(problem),
        }
    }
}

/// What keepalived hands on as it is, and no server takes: white space or a bracket in it, or nothing before the `@`.
fn address(word: &Word) -> Result<String, Diagnostic> {
    let (name, domain) = word.text.rsplit_once('@').unwrap_or((&word.text, "localhost"));
    let is_plain = |part: &str| {
        !part.is_empty()
            && part.chars().all(|letter| !letter.is_whitespace() && !"<>@,;:\"\\".contains(letter))
    };
    if is_plain(name) && is_plain(domain) {
        return Ok(word.text.clone());
    }
    Err(Diagnostic::error(word.span, format!("{} is no address for mail", quoted(&word.text)))
        .hint("write an address such as root@localhost"))
}

/// An address or a name, which is looked up when it is used.
fn host(word: &Word) -> Result<String, Diagnostic> {
    let text = &word.text;
    let is_name = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let looks_numeric = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_address = text.parse::<std::net::IpAddr>().is_ok();
    let labels = text.strip_suffix('.').unwrap_or(text);
    if is_address || (!looks_numeric && labels.len() <= 253 && labels.split('.').all(is_name)) {
        return Ok(text.clone());
    }
    Err(Diagnostic::error(
        word.span,
        format!("{} is neither an address nor the name of a host", quoted(text)),
    )
    .hint("write an address such as 192.0.2.25 or a name such as mail.example.com"))
}

fn say_what_is_missing(mail: &Mail, settings: &[&Statement], problems: &mut Vec<Diagnostic>) {
    let place = |names: &[&str]| {
        let setting = settings.iter().find(|setting| names.contains(&setting.name()));
        setting.map(|setting| setting.header())
    };
    let mut say = |span, message: &str, hint: &str| {
        problems.push(Diagnostic::ours(span, message.to_owned()).hint(hint));
    };
    if let (Some(span), None) = (place(&["notification_email"]), &mail.server) {
        say(span, "nobody is told by mail: there is no `smtp_server`", "write `smtp_server` and its address");
    }
    if let (Some(span), true) = (place(&["smtp_server"]), place(&["notification_email"]).is_none()) {
        say(span, "nobody is told by mail: there is no `notification_email`", "write who is to get mail");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::config::model::Mail;
    use crate::config::testing::{config, said, says};

    fn text(inner: &str) -> String {
        format!("global_defs {{\n {inner}\n}}\n")
    }

    #[test]
    fn everything_can_be_said() {
        let text = text(
            "notification_email {\n a@example.com b@example.com\n root\n }\n notification_email_from lvs@example.com\n \
             smtp_server 192.0.2.25 2525\n smtp_helo_name lvs1\n smtp_connect_timeout 7.5\n no_email_faults\n \
             no_checker_emails\n smtp_alert\n smtp_alert_vrrp off\n smtp_alert_checker on",
        );
        assert_eq!(said(&text), Vec::<String>::new());
        let mail = config(&text).mail;
        assert_eq!(
            mail,
            Mail {
                recipients: vec!["a@example.com".into(), "b@example.com".into(), "root".into()],
                sender: Some("lvs@example.com".into()),
                server: Some(("192.0.2.25".into(), 2525)),
                helo: Some("lvs1".into()),
                timeout: Duration::from_millis(7500),
                faults: false,
                checks: false,
                alerts: Some(true),
                vrrp_alerts: Some(false),
                checker_alerts: Some(true),
            }
        );
        assert_eq!((mail.tells_of_router(None), mail.tells_of_router(Some(true))), (false, true));
        assert_eq!((mail.tells_of_server(None), mail.tells_of_server(Some(false))), (true, false));
    }

    #[test]
    fn what_nobody_says_has_a_default() {
        let mail = config("").mail;
        assert_eq!((mail.timeout, &mail.server), (Duration::from_secs(30), &None));
        let tells = [mail.tells_of_router(None), mail.tells_of_quorum(None), mail.tells_of_server(None)];
        assert_eq!(tells, [false, false, true]);
        assert_eq!(
            config(&text("notification_email {\n a\n }\n smtp_server mx")).mail.server,
            Some(("mx".into(), 25))
        );
    }

    #[test]
    fn wrong_values_are_errors() {
        let both = |inner: &str| text(&format!("notification_email {{\n a\n }}\n smtp_server mx\n {inner}"));
        for (inner, start) in [
            (
                "smtp_server 300.0.2.1",
                "t:6:14: error: `300.0.2.1` is neither an address nor the name of a host",
            ),
            ("smtp_server mx 0", "t:6:17: error: `0` is out of range for a port"),
            ("smtp_helo_name \"a b\"", "t:6:17: error: `a b` is neither an address nor the name"),
            ("smtp_connect_timeout 0", "t:6:23: error: `0` is out of range for a time"),
            ("smtp_connect_timeout soon", "t:6:23: error: `soon` is not a time"),
            ("notification_email_from \"<a@b>\"", "t:6:26: error: `<a@b>` is no address for mail"),
            ("notification_email {\n a@\n }", "t:7:2: error: `a@` is no address for mail"),
            ("smtp_alert perhaps", "t:6:13: error: `perhaps` is neither yes nor no"),
        ] {
            let said = said(&both(inner));
            assert!(said.iter().any(|line| line.starts_with(start)), "{inner}: {said:#?}");
        }
        says(
            &text("notification_email a@b\n smtp_server mx"),
            "t:2:21: warning: `notification_email` takes a block",
        );
    }

    #[test]
    fn mail_needs_a_server_and_somebody_who_gets_it() {
        says(
            &text("notification_email {\n a\n }"),
            "t:2:2: warning: nobody is told by mail: there is no `smtp_server`",
        );
        says(
            &text("smtp_server mx"),
            "t:2:2: warning: nobody is told by mail: there is no `notification_email`",
        );
    }
}
