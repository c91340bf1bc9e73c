//! What the configuration wants told of virtual and real servers. Of a group only its first selection speaks, for all have
//! the same servers and checks.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tracing::{info, warn};

use super::Teller;
use crate::alert::{Alert, Name};
use crate::config::Config;
use crate::config::model::vrrp::Command;
use crate::config::model::{Quorum, RealServer, VirtualServer};
use crate::control::{Director, News, Quorum as Standing};
use crate::event::{Cause, What};
use crate::io::effective;
use crate::plan::ServiceKey;

/// Every virtual server that runs, by its first selection.
#[derive(Debug, Default)]
pub(super) struct Services {
    by_key: BTreeMap<ServiceKey, Arc<VirtualServer>>,
    /// Scripts and FIFOs are told of servers that are up from the start.
    init_notifies: bool,
}

impl Services {
    pub(super) fn new(config: &Config) -> Self {
        let served = config.served().map(|service| (effective::key(service.selector), Arc::clone(service)));
        Self { by_key: served.collect(), init_notifies: config.rs_init_notifies }
    }

    /// Every command of services that are not as `before`, with what it is to its configuration.
    pub(super) fn commands(&self, before: &Self) -> impl Iterator<Item = (String, &Command)> {
        let is_same = |key, service| before.by_key.get(key).is_some_and(|old| Arc::ptr_eq(old, service));
        let others = self.by_key.iter().filter(move |(key, service)| !is_same(*key, *service));
        others.flat_map(|(_, service)| {
            let Quorum { up, down, .. } = &service.quorum;
            let both = [("quorum_up", up), ("quorum_down", down)];
            let quorum = both.into_iter().filter_map(move |(keyword, command)| {
                let command = command.as_ref()?;
                Some((format!("{keyword} of {service}"), command))
            });
            let servers = service.real_servers.iter().flat_map(|server| {
                let both = [("notify_up", &server.notify_up), ("notify_down", &server.notify_down)];
                both.into_iter().filter_map(move |(keyword, command)| {
                    let command = command.as_ref()?;
                    Some((format!("{keyword} of {}", server.address), command))
                })
            });
            quorum.chain(servers)
        })
    }

    fn find(&self, key: ServiceKey) -> Option<(Name<'_>, &VirtualServer)> {
        let service = self.by_key.get(&key)?;
        Some((Name { key, group: service.group.as_ref().map(|group| group.name.as_str()) }, service))
    }
}

fn find(service: &VirtualServer, server: IpAddr) -> Option<&RealServer> {
    service.real_servers.iter().find(|known| known.address == server)
}

/// Logs what checks decide; `decides` where the server as a whole comes up or goes down with it.
fn log(news: &News) {
    match news {
        News::Check { service, server, is_up: true, is_whole: decides, .. } => {
            info!(%server, %service, decides, "a check passes");
        }
        News::Check { service, server, is_up: false, is_whole: decides, reason } => {
            warn!(%server, %service, decides, reason, "a check fails");
        }
        News::Weight { service, server, from, to } => {
            info!(%server, %service, from, to, "a check gives another weight");
        }
        // Of ways the loop has said it.
        News::Way { .. } | News::Added { .. } | News::Removed { .. } => {}
        News::Quorum { service, is_up, sorry, rule, .. } => {
            if *is_up {
                info!(%service, rule, "the quorum is gained");
            } else {
                warn!(%service, rule, "the quorum is lost");
            }
            match (sorry, is_up) {
                (Some(server), true) => info!(%server, %service, "the sorry server is relieved"),
                (Some(server), false) => warn!(%server, %service, "the sorry server stands in"),
                (None, _) => {}
            }
        }
    }
}

/// What those are told who follow events.
fn events(news: &News) -> Vec<What> {
    let server = |service: &ServiceKey, server: &IpAddr| {
        (service.to_string(), SocketAddr::new(*server, service.port).to_string())
    };
    match news {
        News::Check { service, server: address, is_up, reason, is_whole } => {
            let (service, server) = server(service, address);
            let reason = (!is_up).then(|| reason.clone());
            let check = What::Check {
                service: service.clone(),
                server: server.clone(),
                passes: *is_up,
                reason: reason.clone(),
            };
            let whole = What::Server { service, server, up: *is_up, cause: Cause::Check, reason };
            if *is_whole { vec![check, whole] } else { vec![check] }
        }
        News::Way { service, server: address, lost } => {
            let (service, server) = server(service, address);
            let (up, reason) = (lost.is_none(), lost.clone());
            vec![What::Server { service, server, up, cause: Cause::Way, reason }]
        }
        News::Weight { service, server: address, from, to } => {
            let (service, server) = server(service, address);
            vec![What::Weight { service, server, from: *from, to: *to }]
        }
        News::Quorum { service, is_up, sorry, rule, .. } => {
            let sorry = sorry.map(|sorry| server(service, &sorry).1);
            vec![What::Quorum { service: service.to_string(), held: *is_up, sorry, rule: rule.clone() }]
        }
        // The configuration that they come and go with is told.
        News::Added { .. } | News::Removed { .. } => Vec::new(),
    }
}

impl Teller {
    /// That real servers or quorums changed.
    pub(in crate::io) fn services_changed(&self, news: Vec<News>) {
        for news in news {
            log(&news);
            for what in events(&news) {
                self.event(what);
            }
            match news {
                News::Check { service, server, is_up, reason, is_whole } => {
                    let why = if is_up {
                        "CHECK succeed on service".to_owned()
                    } else {
                        format!("CHECK failed on service : {reason}")
                    };
                    self.server_changed(service, server, is_up, &why, is_whole);
                }
                News::Added { service, server } => {
                    if self.services.init_notifies {
                        self.notify_of_server(service, server, true);
                    }
                }
                News::Weight { .. } | News::Way { .. } => {}
                News::Removed { service, server } => {
                    self.server_changed(service, server, false, "Removing", true);
                }
                News::Quorum { service, is_up, is_first, rule, .. } => {
                    let what = match (is_first, is_up) {
                        (true, true) => "Starting with quorum up",
                        (true, false) => "Starting with quorum down",
                        (false, true) => "Gained quorum",
                        (false, false) => "Lost quorum",
                    };
                    self.quorum_changed(service, is_up, &format!("{what} {rule}"));
                }
            }
        }
    }

    /// That everything ends, where the configuration wants that told as the end of servers and quorums.
    pub(in crate::io) fn services_end(&self, director: &Director) {
        for (key, service) in &director.services {
            if !self.services.by_key.get(key).is_some_and(|service| service.omega) {
                continue;
            }
            for server in service.servers.iter().filter(|server| !server.is_sorry() && !server.is_failed()) {
                self.server_changed(*key, server.rip, false, "Shutting down", true);
            }
            if service.quorum == Standing::Held {
                self.quorum_changed(*key, false, "Shutting down");
            }
        }
    }

    fn server_changed(&self, key: ServiceKey, address: IpAddr, is_up: bool, why: &str, is_whole: bool) {
        let Some((name, service)) = self.services.find(key) else { return };
        let Some(server) = find(service, address) else { return };
        let alert = || Alert::of_server(address, &name, is_up, why);
        self.mailer.server_changed(alert, server.smtp_alert, is_whole);
        if is_whole {
            self.notify_of_server(key, address, is_up);
        }
    }

    fn notify_of_server(&self, key: ServiceKey, address: IpAddr, is_up: bool) {
        let Some((name, service)) = self.services.find(key) else { return };
        let Some(server) = find(service, address) else { return };
        let (state, keyword, command) = if is_up {
            ("UP", "notify_up", &server.notify_up)
        } else {
            ("DOWN", "notify_down", &server.notify_down)
        };
        let line = format!("RS {} {name} {state}", name.at(address));
        let role = format!("{keyword} of {}", name.at(address));
        // What runs for one server does not wait for what runs for another.
        let whose = format!("{} of {name}", name.at(address));
        self.notifier.service_changed(&whose, &line, role, command.as_ref());
    }

    fn quorum_changed(&self, key: ServiceKey, is_up: bool, why: &str) {
        let Some((name, service)) = self.services.find(key) else { return };
        let quorum = &service.quorum;
        let alert = || Alert::of_quorum(&name, is_up, why);
        self.mailer.quorum_changed(alert, quorum.smtp_alert);
        let (state, keyword, command) =
            if is_up { ("UP", "quorum_up", &quorum.up) } else { ("DOWN", "quorum_down", &quorum.down) };
        let role = format!("{keyword} of {name}");
        self.notifier.service_changed(
            &name.to_string(),
            &format!("VS {name} {state}"),
            role,
            command.as_ref(),
        );
    }
}
