//! With the first IPv4 address of a network the kernel removes all others of that network from the interface, whoever
//! put them there, unless the interface has the setting `promote_secondaries`.

use tracing::warn;

use crate::io::netlink::facts::HostAddress;
use crate::io::sysctl;

const SETTING: &str = "promote_secondaries";

/// The setting is on for an interface; dropped, it is as it was.
pub(super) struct Promotion {
    interface: String,
    before: Option<i64>,
}

impl Promotion {
    /// Whether others would go with `address`.
    pub(super) fn needed(address: &HostAddress, all: &[HostAddress]) -> bool {
        let place = |one: &HostAddress| (one.index, one.prefix);
        !address.secondary && all.iter().any(|one| one.secondary && place(one) == place(address))
    }

    pub(super) fn allow(interface: &str) -> Self {
        let before = sysctl::set("ipv4", interface, SETTING, 1);
        if let Err(error) = &before {
            warn!(interface, %error, "{SETTING} cannot be set: other addresses of the network may be removed too");
        }
        Self { interface: interface.to_owned(), before: before.ok() }
    }
}

impl Drop for Promotion {
    fn drop(&mut self) {
        if let Some(before) = self.before
            && let Err(error) = sysctl::set("ipv4", &self.interface, SETTING, before)
        {
            warn!(interface = self.interface, %error, "{SETTING} stays on");
        }
    }
}
