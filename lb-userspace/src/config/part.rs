//! Owns what is left of a configuration of which only a part is run.

use super::model::Config;
use super::model::vrrp::{Vrrp, VrrpGlobals};

/// Which part of a configuration is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    #[default]
    All,
    /// The virtual routers.
    Routers,
    /// The virtual servers.
    Servers,
}

impl Part {
    /// That part of `config`.
    pub fn of(self, config: Config) -> Config {
        match self {
            Self::All => config,
            Self::Routers => Config { virtual_servers: Vec::new(), mark_rules: Vec::new(), ..config },
            Self::Servers => {
                // Checks run programs too.
                let VrrpGlobals { script_user, script_security, .. } = config.vrrp.globals;
                let globals = VrrpGlobals { script_user, script_security, ..VrrpGlobals::default() };
                Config { vrrp: Vrrp { globals, ..Vrrp::default() }, ..config }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{config, instance, server};

    #[test]
    fn a_part_has_nothing_of_the_other() {
        let whole = config(&(server("weight 1") + &instance("")));
        let sizes = |part: Part| {
            let config = part.of(whole.clone());
            (config.virtual_servers.len(), config.vrrp.instances.len())
        };
        assert_eq!([Part::All, Part::Routers, Part::Servers].map(sizes), [(1, 1), (0, 1), (1, 0)]);
    }
}
