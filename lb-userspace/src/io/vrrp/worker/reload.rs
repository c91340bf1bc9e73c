//! A new configuration while the thread runs: stations, sockets and leases of what stays are not touched.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::super::Reload;
use super::super::station::Station;
use super::Worker;
use crate::config::model::vrrp::{SyncGroup, Vrrp as Config};
use crate::vrrp::{Numbers, RouterId};

impl Worker {
    pub(super) fn reload(&mut self, now: Instant, reload: Reload) {
        let Reload { config, numbers, done } = reload;
        // What came before is done and told as it was configured then.
        self.perform();
        self.routers.reload(now, &config, &numbers);
        self.adopt(now, &config, &numbers);
        if self.priority != config.globals.rt_priority {
            self.priority = config.globals.rt_priority;
            self.take_priority();
        }
        let ends = |(id, station): (&RouterId, &Station)| {
            self.routers.ends(*id).then(|| Arc::clone(&station.instance))
        };
        // The daemon may have given up.
        drop(done.send(self.stations.iter().filter_map(ends).collect()));
    }

    /// Makes the stations of a configuration that the routers have. That of a router that is about to end stays until
    /// then, and the next one waits for that.
    pub(super) fn adopt(&mut self, now: Instant, config: &Config, numbers: &Numbers) {
        let mut wanted: BTreeMap<RouterId, Station> = config
            .instances
            .iter()
            .filter_map(|instance| Some((numbers.of(&instance.name)?, Station::new(instance)?)))
            .collect();
        self.heirs = wanted.extract_if(.., |id, _| self.routers.ends(*id)).collect();
        for (id, mut station) in wanted {
            match self.stations.remove(&id) {
                Some(before) => {
                    station.carry_on(before);
                    self.stations.insert(id, station);
                }
                None => self.begin(now, id, station),
            }
        }
        let group = |group: &SyncGroup| Some((numbers.of_group(&group.name)?, Arc::new(group.clone())));
        self.groups = config.sync_groups.iter().filter_map(group).collect();
        self.sockets.look(now);
    }

    /// A router that has ended makes room for the next one, if there is one.
    pub(super) fn replace(&mut self, now: Instant, id: RouterId) {
        self.stations.remove(&id);
        self.set_lease(id, 0);
        if let Some(heir) = self.heirs.remove(&id) {
            self.begin(now, id, heir);
        }
        self.sockets.look(now);
    }

    fn begin(&mut self, now: Instant, id: RouterId, station: Station) {
        self.set_lease(id, 0);
        // What an earlier daemon left on the interfaces belongs to a master, and this is none yet.
        self.means.holdings.release(station.name(), station.held.clone());
        self.stations.insert(id, station);
        self.tell_source(now, id);
    }
}
