//! Another configuration for the virtual routers that run, so that nothing that is the same in it notices.

use super::{Roles, longest_interval, names};
use crate::config::model::vrrp::{Vrrp as Config, VrrpInstance};
use crate::io::trackers::Begun;
use crate::vrrp::{Input, Numbers, RouterId};

impl Roles {
    /// Does what may fail of taking another configuration, and changes nothing.
    ///
    /// # Errors
    /// When the host has no inotify or threads left for new trackers.
    pub(in crate::io) fn prepare(&self, config: &Config) -> anyhow::Result<Begun> {
        self.trackers.begin(config)
    }

    /// Takes another configuration, for which `begun` was [prepared](Self::prepare), and waits until the VRRP thread has it.
    /// Routers that it does not name any more, or that are others now, go on as they were for as long as it takes them to
    /// give their masterships away. The data plane has rows for all of them. While everything stops, nothing happens.
    ///
    /// Gives what takes effect at the next start only, in sentences for the log.
    ///
    /// # Errors
    /// When the VRRP thread is gone or hangs.
    pub(in crate::io) async fn reload(
        &mut self,
        config: &Config,
        numbers: &Numbers,
        begun: Begun,
    ) -> anyhow::Result<Vec<String>> {
        if self.stop_by.is_some() {
            return Ok(Vec::new());
        }
        self.trackers.change(config, begun);
        self.watching.change(names::wanted(config));
        let ending = self.thread.reload(config, numbers).await?;
        let later = at_the_next_start(&self.config, config);
        self.config = config.clone();
        self.longest = self.longest.max(longest_interval(config));
        let vmac = |instance: &VrrpInstance| Some(instance.vmac.as_ref()?.name.clone());
        self.busy = ending.iter().filter_map(|instance| vmac(instance)).collect();
        self.carriers.change(config, &self.busy).await;
        Ok(later)
    }

    /// The virtual interface of a router that has ended may go now, or become another.
    pub(super) async fn ended(&mut self, router: RouterId, instance: &VrrpInstance) {
        self.standing.remove(&router);
        if let Some(vmac) = &instance.vmac
            && let Some(place) = self.busy.iter().position(|busy| *busy == vmac.name)
        {
            self.busy.swap_remove(place);
            self.carriers.change(&self.config, &self.busy).await;
        }
    }
}

/// Whether what is told of is still tracked.
pub(super) fn is_tracked(config: &Config, input: &Input) -> bool {
    match input {
        Input::Script { name, .. } => config.scripts.iter().any(|script| script.name == *name),
        Input::File { name, .. } => config.files.iter().any(|file| file.name == *name),
        Input::Process { name, .. } => config.processes.iter().any(|process| process.name == *name),
        _ => true,
    }
}

fn at_the_next_start(before: &Config, now: &Config) -> Vec<String> {
    let (before, now) = (&before.globals, &now.globals);
    let mut later = Vec::new();
    if before.delay_after_boot != now.delay_after_boot {
        later.push("`vrrp_delay_after_boot` takes effect at the next start".to_owned());
    }
    if before.startup_delay != now.startup_delay {
        later.push("`vrrp_startup_delay` takes effect at the next start".to_owned());
    }
    later
}
