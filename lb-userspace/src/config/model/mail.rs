//! Who is told of changes by mail, and through which server.

use std::time::Duration;

/// What `global_defs` says about mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// `notification_email`: who gets it; nobody is told without.
    pub recipients: Vec<String>,
    /// `notification_email_from`; without it `keepalived@` and the name of the host.
    pub sender: Option<String>,
    /// `smtp_server`: the address or name, and the port; nobody is told without.
    pub server: Option<(String, u16)>,
    /// `smtp_helo_name`; without it the name of the host.
    pub helo: Option<String>,
    /// `smtp_connect_timeout`: how long the server may take for an answer.
    pub timeout: Duration,
    /// `no_email_faults` not: whether mail tells of faults.
    pub faults: bool,
    /// `no_checker_emails` not: whether mail tells of each check, where a real server has several.
    pub checks: bool,
    /// `smtp_alert`.
    pub alerts: Option<bool>,
    /// `smtp_alert_vrrp`.
    pub vrrp_alerts: Option<bool>,
    /// `smtp_alert_checker`.
    pub checker_alerts: Option<bool>,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            recipients: Vec::new(),
            sender: None,
            server: None,
            helo: None,
            timeout: Duration::from_secs(30),
            faults: true,
            checks: true,
            alerts: None,
            vrrp_alerts: None,
            checker_alerts: None,
        }
    }
}

impl Mail {
    /// Whether mail tells of an instance or group with this `smtp_alert`: by default not.
    pub fn tells_of_router(&self, own: Option<bool>) -> bool {
        own.or(self.vrrp_alerts).or(self.alerts).unwrap_or(false)
    }

    /// Whether mail tells of the quorum of a virtual server with this `smtp_alert`: by default not.
    pub fn tells_of_quorum(&self, own: Option<bool>) -> bool {
        own.or(self.checker_alerts).or(self.alerts).unwrap_or(false)
    }

    /// Whether mail tells of a real server with this `smtp_alert`: by default it does.
    pub fn tells_of_server(&self, own: Option<bool>) -> bool {
        own.or(self.checker_alerts).or(self.alerts).unwrap_or(true)
    }
}
