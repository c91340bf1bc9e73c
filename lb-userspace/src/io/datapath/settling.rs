//! Whether all flows of a service by hash are with the servers that its ring names, which a pass through all flows finds out.
//! Then the program need not look them up, until the next publication of the pool.

use std::{collections::HashMap, mem::offset_of};

use lb_common::{
    flow::Key,
    layout::{
        MEMBERS, Members, Pool, SERVICE_SLOTS, ServerInfo, Service, ServiceBucket, ServiceInfo, feature,
        ring_place,
    },
    opening::follows_ring,
    sched::{Method, Request, bucket_of},
};

use super::{Datapath, map_data, publish::slot_at, table::Table};
use crate::plan::Place;

/// A publication is looked at when it is so many ticks old: no packet is under way that found another one.
const OLD: u32 = 2;

/// Services looked at in one pass, for each has its ring in memory.
const AT_ONCE: usize = 64;

/// What is known of the services whose flows follow their rings.
#[derive(Debug)]
pub(super) struct Settling {
    /// None where the program has no use for it.
    tables: Option<(Table<ServiceBucket>, Table<Members>)>,
    /// What a service's slot said, and the tick since when, or when it was looked at last; of those that are not settled.
    since: HashMap<Place, (Said, u32)>,
    /// By rows of `policies`: those of this pass of which no flow was seen elsewhere.
    rings: HashMap<u16, Ring>,
}

/// The two words of a slot that change.
type Said = (ServiceInfo, Pool);

/// A service's ring.
#[derive(Debug)]
struct Ring {
    place: Place,
    pool: Pool,
    method: Method,
    /// By buckets, the rows of `servers` that take connections.
    servers: Vec<Option<u16>>,
}

impl Settling {
    pub(super) fn open(datapath: &Datapath) -> anyhow::Result<Self> {
        let is_of_use = datapath.constants.features & feature::SETTLES != 0;
        let open = || {
            let services = Table::open(map_data(&datapath.ebpf, "services")?)?;
            anyhow::Ok((services, Table::open(map_data(&datapath.ebpf, "members")?)?))
        };
        let tables = is_of_use.then(open).transpose()?;
        Ok(Self { tables, since: HashMap::new(), rings: HashMap::new() })
    }

    /// A pass begins at the tick `now`.
    pub(super) fn begin(&mut self, now: u32) {
        let Some((services, members)) = &self.tables else { return };
        self.rings.clear();
        let before = std::mem::take(&mut self.since);
        for place in (0..services.rows()).flat_map(|row| (0..SERVICE_SLOTS).map(move |slot| (row, slot))) {
            let said = said(services, place);
            let (info, pool) = said;
            let Some(method) = Method::from_number(info.scheduler) else { continue };
            if info.protocol == 0 || !follows_ring(info.scheduler) || pool.is_settled() {
                continue;
            }
            let known = before.get(&place).filter(|(before, _)| *before == said);
            let mut since = known.map_or(now, |(_, since)| *since);
            if now.wrapping_sub(since) >= OLD && pool.len > 0 && self.rings.len() < AT_ONCE {
                let servers = ring(members, pool, method.scheduler.ring_len());
                self.rings.insert(info.id, Ring { place, pool, method, servers });
                // One that is not settled yet lets others go first.
                since = now;
            }
            self.since.insert(place, (said, since));
        }
    }

    /// A flow lies in the table with the server in this row.
    pub(super) fn see(&mut self, key: &impl Key, server: u16, info: impl Fn(u16) -> Option<ServerInfo>) {
        if self.rings.is_empty() {
            return;
        }
        let Some(ServerInfo { service, .. }) = info(server) else { return };
        let Some(ring) = self.rings.get(&service) else { return };
        if ring.server(key).is_some_and(|named| named != server) {
            self.rings.remove(&service);
        }
    }

    /// The pass ends.
    pub(super) fn end(&mut self) {
        let Some((services, _)) = &self.tables else { return };
        for (_, Ring { place: (row, slot), pool, .. }) in self.rings.drain() {
            let at = slot_at(slot) + offset_of!(Service, pool);
            // Where it was published anew meanwhile, it is not settled.
            let _is_same = services.change_word(row, at, &pool, &pool.settled());
        }
    }
}

impl Ring {
    /// Whom it names for a packet of the flow; nobody where its bucket takes no connection, and the flow's table is asked.
    fn server(&self, key: &impl Key) -> Option<u16> {
        let request = Request {
            client: key.client().fold(),
            client_port: key.client_port(),
            destination: key.vip().fold(),
            ..Request::default()
        };
        self.servers.get(bucket_of(self.method, &request) as usize).copied().flatten()
    }
}

fn said(services: &Table<ServiceBucket>, (row, slot): Place) -> Said {
    let at = slot_at(slot);
    (services.word(row, at + offset_of!(Service, info)), services.word(row, at + offset_of!(Service, pool)))
}

/// The servers in a pool's ring of so many buckets.
fn ring(members: &Table<Members>, pool: Pool, len: usize) -> Vec<Option<u16>> {
    let first = pool.base as usize + usize::from(ring_place(pool.len)) / MEMBERS;
    let rows = (first..).take(len.div_ceil(MEMBERS));
    let all = rows.flat_map(|row| members.get(row)).take(len);
    all.map(|member| (member.weight > 0).then_some(member.server)).collect()
}
