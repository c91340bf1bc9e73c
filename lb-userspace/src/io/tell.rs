//! Owns whom the outside is told of a change: scripts and FIFOs, mail, and who follows events. Refuses to decide what a change is.

mod services;

use crate::alert::Router;
use crate::config::Config;
use crate::config::model::vrrp::{SyncGroup, VrrpInstance};
use crate::event::What;

use self::services::Services;
use super::events::{Events, Follower};
use super::mail::Mailer;
use super::notify::{Notification, Notifier, Subject};

/// Tells the outside until it is finished or dropped.
#[derive(Debug)]
pub(super) struct Teller {
    notifier: Notifier,
    mailer: Mailer,
    services: Services,
    events: Events,
}

impl Teller {
    /// Opens the FIFOs, and logs which scripts cannot be run, so that it is known before they are needed. Must be called
    /// in a Tokio runtime.
    ///
    /// # Errors
    /// Outside of a runtime.
    pub(super) fn start(config: &Config) -> anyhow::Result<Self> {
        let notifier = Notifier::start(&config.vrrp.globals)?;
        let teller = Self {
            notifier,
            mailer: Mailer::start(config)?,
            services: Services::new(config),
            events: Events::default(),
        };
        teller.check(config);
        Ok(teller)
    }

    /// Takes another configuration, and logs which scripts of services that changed cannot be run. What waits is told as it
    /// was to be.
    pub(super) fn change(&mut self, config: &Config) {
        self.notifier.change(&config.vrrp.globals);
        self.mailer.change(config);
        let services = std::mem::replace(&mut self.services, Services::new(config));
        self.check_services(&services);
    }

    /// Logs which scripts cannot be run, those of services that stayed too: files and who may run them may be others.
    pub(super) fn check(&self, config: &Config) {
        let vrrp = &config.vrrp;
        vrrp.instances.iter().for_each(|instance| self.notifier.check(&instance.name, &instance.notify));
        vrrp.sync_groups.iter().for_each(|group| self.notifier.check(&group.name, &group.notify));
        self.check_services(&Services::default());
    }

    /// What happens from now on, for a reader.
    pub(super) fn follow(&self) -> Follower {
        self.events.follow()
    }

    /// Tells who follows events, and nobody else.
    pub(super) fn event(&self, what: What) {
        self.events.tell(what);
    }

    /// Waits for scripts, FIFOs and mail, in bounded time.
    pub(super) async fn finish(self) {
        tokio::join!(self.notifier.finish(), self.mailer.finish());
    }

    /// That an instance went into `state`, as [`Notification::state`], with this effective priority.
    pub(super) fn instance_changed(&self, instance: &VrrpInstance, state: &'static str, priority: u8) {
        let name = instance.name.clone();
        self.mailer.router_changed(Router::Instance(&name), state, instance.smtp_alert);
        let notification = Notification { subject: Subject::Instance, name, state, priority };
        self.notifier.notify(notification, &instance.notify);
    }

    /// That all members of a group went into `state`.
    pub(super) fn group_changed(&self, group: &SyncGroup, state: &'static str) {
        let name = group.name.clone();
        self.event(What::Group { group: name.clone(), to: state.to_owned() });
        self.mailer.router_changed(Router::Group(&name), state, group.smtp_alert);
        let notification = Notification { subject: Subject::Group, name, state, priority: 0 };
        self.notifier.notify(notification, &group.notify);
    }

    /// Logs what cannot be run of services that are not as `before`.
    fn check_services(&self, before: &Services) {
        for (role, command) in self.services.commands(before) {
            self.notifier.check_command(&role, command);
        }
    }
}
