//! What the services need of the program: how large its maps are, and which of its parts are not left out.

use aya::{EbpfLoader, util::nr_cpus};
use lb_common::{
    flow::{Asked, FTP, Lately, SLOTS},
    layout::{MAX_POOL, MAX_SERVERS, MEMBERS, MarkRule, feature},
    opening::{BY_RING, follows_ring, service_byte},
};

use super::{Settings, publish};
use crate::plan::{Allocation, ServiceTable, Wanted};

/// Services beyond those that are needed now, at least, so that a reload may add some in place.
const SPARE_SERVICES: usize = 64;
/// The same of real servers.
const SPARE_SERVERS: usize = 256;
/// The same of rows of `members`: one service by maglev hashing and many others.
const SPARE_LISTS: usize = 16_384 / MEMBERS;
/// The same of virtual routers, whose leases never move to another map while a daemon runs.
const SPARE_LEASES: usize = 256;
/// The same of one service's list.
const SPARE_MEMBERS: usize = 4;

/// Rows of the maps whose size is not fixed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    pub(super) services: usize,
    pub(super) leases: usize,
    pub(super) members: usize,
    /// Of the maps by rows of `cursors`.
    pub(super) cursors: usize,
    /// Of the maps by rows of `servers`.
    pub(super) servers: usize,
    pub(super) marks: usize,
    /// CPUs that there may be.
    pub(super) cpus: usize,
    /// Of IPv4 and IPv6.
    pub(super) flows: [usize; 2],
    /// Words of each CPU in `lately`.
    pub(super) lately: usize,
    /// The same in `asked`.
    pub(super) asked: usize,
}

impl Rows {
    /// As many as are needed, and some more.
    ///
    /// # Errors
    /// The kernel does not say how many CPUs there may be.
    pub(super) fn new(
        settings: &Settings,
        wanted: &[Wanted],
        allocation: &Allocation,
        table: &ServiceTable,
        features: u32,
    ) -> anyhow::Result<Self> {
        let cpus = nr_cpus().map_err(|(_, error)| error)?;
        let (lately, asked) = if features & feature::SETTLES == 0 {
            (1, 1)
        } else {
            (lately_words(settings.flow_slots, cpus), Asked::WORDS as usize)
        };
        Ok(Self {
            services: table.buckets.len(),
            leases: (settings.leases.len() + 1 + SPARE_LEASES).next_power_of_two(),
            members: roomy(publish::member_rows(wanted), SPARE_LISTS),
            cursors: roomy(allocation.service_rows(), SPARE_SERVICES),
            servers: roomy(allocation.server_rows(), SPARE_SERVERS).next_power_of_two().min(MAX_SERVERS),
            marks: settings.marks.len().max(1),
            cpus,
            flows: flow_rows(settings.flow_slots, wanted),
            lately,
            asked,
        })
    }

    /// Gives the maps their sizes.
    pub(super) fn size_maps(&self, loader: &mut EbpfLoader<'_>) {
        // A family without a service has no flows.
        let [recent4, recent6] = self.flows.map(|rows| if rows > 1 { self.cpus } else { 1 });
        for (name, rows) in [
            ("services", self.services),
            ("leases", self.leases),
            ("members", self.members),
            ("cursors", self.cursors),
            ("policies", self.cursors),
            ("servers", self.servers),
            ("limits", self.servers),
            ("joined", self.servers),
            ("server_stats", self.servers),
            ("mark_rules", self.marks),
            ("flows4", self.flows[0]),
            ("flows6", self.flows[1]),
            ("recent4", recent4),
            ("recent6", recent6),
            ("lately", self.cpus * self.lately),
            ("asked", self.cpus * self.asked),
            ("looks", self.cpus),
        ] {
            loader.map_max_entries(name, rows as u32);
        }
    }
}

/// So many rows and a quarter more, or `spare` if that is more.
fn roomy(rows: usize, spare: usize) -> usize {
    rows + spare.max(rows / 4)
}

/// Room for the list of a service that has so many real servers.
pub(super) fn list_room(servers: usize) -> usize {
    (servers + SPARE_MEMBERS).next_power_of_two().min(MAX_POOL)
}

/// Buckets of the tables of IPv4 and of IPv6: a family without a service needs none.
fn flow_rows(slots: u32, wanted: &[Wanted]) -> [usize; 2] {
    let rows = (slots as usize).div_ceil(SLOTS).next_power_of_two();
    let is_v6 = |service: &Wanted| service.key.is_v6();
    let of = |is_needed| if is_needed { rows } else { 1 };
    let v6 = wanted.iter().any(is_v6);
    [of(!v6 || !wanted.iter().all(is_v6)), of(v6)]
}

/// Words of each CPU in `lately`: room for as many flows as the table has slots, dealt out to the CPUs, in a sixteenth to an eighth of
/// its memory.
const fn lately_words(slots: u32, cpus: usize) -> usize {
    let flows = slots as usize / cpus;
    (flows * Lately::BYTES / size_of::<u64>()).next_power_of_two()
}

/// Is there a service in a family whose flow table is left out, of a program with these buckets of both?
pub(super) fn lacks_flows<'a>(
    buckets: [usize; 2],
    slots: u32,
    mut wanted: impl Iterator<Item = &'a Wanted>,
) -> bool {
    let needed = (slots as usize).div_ceil(SLOTS).next_power_of_two();
    wanted.any(|service| buckets[usize::from(service.key.is_v6())] < needed)
}

/// What the services need that others do not pay for.
pub(super) fn features<'a>(wanted: &(impl Iterator<Item = &'a Wanted> + Clone), marks: &[MarkRule]) -> u32 {
    let any = |is: &dyn Fn(&Wanted) -> bool, feature: u32| if wanted.clone().any(is) { feature } else { 0 };
    let is_marked = |service: &Wanted| service.key.mark().is_some();
    let byte = |service: &Wanted| {
        let Wanted { key, method, policy, .. } = service;
        service_byte(*method, policy, key.protocol)
    };
    let features = any(&|service| is_marked(service) && !marks.is_empty(), feature::MARKS)
        | any(&|service| service.key.protocol == 6 && service.key.port == FTP, feature::FTP)
        | any(&|service| service.key.port == 0 && !is_marked(service), feature::EVERY_PORT)
        | any(&|service| service.policy.persistence != 0, feature::PERSISTENCE)
        | any(&|service| byte(service) & BY_RING != 0, feature::BY_RING)
        | any(&|service| service.servers.iter().any(|server| server.thresholds[0] != 0), feature::LIMITED);
    // Where packets of one service may become another's, so may its flows, and the server of those is no server of its ring.
    // Those of a firewall mark go on when there is no rule for it any more.
    let are_apart = features & (feature::FTP | feature::EVERY_PORT) == 0 && !wanted.clone().any(is_marked);
    features | if are_apart { any(&|service| follows_ring(byte(service)), feature::SETTLES) } else { 0 }
}
