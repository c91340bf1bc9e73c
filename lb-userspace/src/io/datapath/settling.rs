//! Whether all flows of a service by hash are with the servers that its ring names, which a pass through all flows finds out.
//! Then the program need not look them up, until the next publication of the pool, but for those that are asked after here.

use std::{
    collections::{HashMap, HashSet},
    mem::offset_of,
};

use lb_common::{
    flow::{Asked, Key, Looks, State, TICK_SHIFT, Timeouts, Word, wants_to_hear},
    hash::Keys,
    layout::{
        Lease, MEMBERS, Members, Pool, SERVICE_SLOTS, ServerInfo, Service, ServiceBucket, ServiceInfo,
        feature, ring_place,
    },
    opening::follows_ring,
    sched::{Method, Request, bucket_of},
};

use super::{Datapath, map_data, publish::slot_at, table::Table};
use crate::plan::Place;

const TCP: u8 = libc::IPPROTO_TCP as u8;
const UDP: u8 = libc::IPPROTO_UDP as u8;

/// A pool is looked at when it has been this one, on a master, for so many ticks, 34 s. So no packet is under way that found another
/// publication, and who had a segment meanwhile of a connection that another director had is in the table.
const OLD: u32 = 32;

/// The shortest timeout, in seconds, of flows that need not be looked up. What the table hears of one may be old by a pass and an
/// eighth of its time, or of one of UDP by 34 s, so it may be over by so much too early; where few packets of UDP are looked for, by a
/// pass and three quarters.
const LEAST: u32 = 275;

/// Services looked at in one pass, for each has its ring in memory.
const AT_ONCE: usize = 64;

/// What is known of the services whose flows follow their rings.
#[derive(Debug)]
pub(super) struct Settling {
    /// None where the program has no use for it.
    tables: Option<Tables>,
    /// What a service's slot said, and the tick since when, or when it was looked at last; of those that are not settled.
    since: HashMap<Place, (Said, u32)>,
    /// By rows of `policies`: those of this pass of which no flow was seen elsewhere.
    rings: HashMap<u16, Ring>,
    /// By rows of `policies`: the services that are settled.
    settled: HashSet<u16>,
    /// Those of this pass.
    timeouts: Timeouts,
    /// The CPUs that look for few packets of UDP in this pass.
    seldom: Vec<usize>,
    /// The tick of this turn.
    now: u32,
}

#[derive(Debug)]
struct Tables {
    services: Table<ServiceBucket>,
    members: Table<Members>,
    leases: Table<Lease>,
    timeouts: Table<Timeouts>,
    /// For each CPU [`Asked::WORDS`].
    asked: Table<u64>,
    /// A row for each CPU.
    looks: Table<Looks>,
    keys: Keys,
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
            anyhow::Ok(Tables {
                services: Table::open(map_data(&datapath.ebpf, "services")?)?,
                members: Table::open(map_data(&datapath.ebpf, "members")?)?,
                leases: Table::open(map_data(&datapath.ebpf, "leases")?)?,
                timeouts: Table::open(map_data(&datapath.ebpf, "timeouts")?)?,
                asked: Table::open(map_data(&datapath.ebpf, "asked")?)?,
                looks: Table::open(map_data(&datapath.ebpf, "looks")?)?,
                keys: datapath.constants.flow_keys,
            })
        };
        let tables = is_of_use.then(open).transpose()?;
        let (since, rings, settled) = (HashMap::new(), HashMap::new(), HashSet::new());
        let (timeouts, seldom) = (Timeouts::default(), Vec::new());
        Ok(Self { tables, since, rings, settled, timeouts, seldom, now: 0 })
    }

    /// A turn of a pass begins at the tick `now`.
    pub(super) const fn go_on(&mut self, now: u32) {
        self.now = now;
    }

    /// A pass begins with this turn.
    pub(super) fn begin(&mut self) {
        let now = self.now;
        let Some(tables @ Tables { services, members, .. }) = &self.tables else { return };
        self.rings.clear();
        self.settled.clear();
        self.timeouts = tables.timeouts.get(0);
        self.seldom = (0..tables.looks.rows()).filter(|&cpu| tables.looks.get(cpu).is_seldom(now)).collect();
        let before = std::mem::take(&mut self.since);
        for place in (0..services.rows()).flat_map(|row| (0..SERVICE_SLOTS).map(move |slot| (row, slot))) {
            let said = said(services, place);
            let (info, pool) = said;
            let Some(method) = Method::from_number(info.scheduler) else { continue };
            if ![TCP, UDP].contains(&info.protocol) || !follows_ring(info.scheduler) {
                continue;
            }
            let state = if info.protocol == TCP { State::Established } else { State::Udp };
            if !tables.is_master(info.lease, now) || self.timeouts.of(state) < LEAST {
                // Another director has its flows, or they must be heard of at once.
                if pool.is_settled() {
                    tables.change_pool(place, pool, pool.unsettled());
                }
                continue;
            }
            if pool.is_settled() {
                self.settled.insert(info.id);
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

    /// A flow lies in the table, silent for so many ticks.
    pub(super) fn see(
        &mut self,
        key: &impl Key,
        flow: Word,
        silence: u32,
        info: impl Fn(u16) -> Option<ServerInfo>,
    ) {
        if self.rings.is_empty() && self.settled.is_empty() {
            return;
        }
        let server = flow.server();
        let Some(ServerInfo { service, .. }) = info(server) else { return };
        if self.settled.contains(&service) {
            self.ask(key, flow.state(), silence);
        }
        let Some(ring) = self.rings.get(&service) else { return };
        if ring.server(key).is_some_and(|named| named != server) {
            self.rings.remove(&service);
        }
    }

    /// The pass ends.
    pub(super) fn end(&mut self) {
        let Some(tables) = &self.tables else { return };
        for (_, Ring { place, pool, .. }) in self.rings.drain() {
            tables.change_pool(place, pool, pool.settled());
        }
    }

    /// Asks after a flow if the table needs to hear of it: after one of TCP every CPU, after one of UDP those that look for few.
    fn ask(&self, key: &impl Key, state: State, silence: u32) {
        let Some(tables) = &self.tables else { return };
        let is_tcp = key.protocol() == TCP;
        if (!is_tcp && self.seldom.is_empty()) || !wants_to_hear(state, silence, &self.timeouts) {
            return;
        }
        let hash = key.hash(|at| tables.keys[at]);
        (0..tables.looks.rows())
            .filter(|cpu| is_tcp || self.seldom.contains(cpu))
            .for_each(|cpu| tables.ask(cpu, hash, self.now));
    }
}

impl Tables {
    /// Is this node to serve what goes by this row of `leases`?
    fn is_master(&self, lease: u16, now: u32) -> bool {
        let until_ns: u64 = self.leases.word(lease.into(), offset_of!(Lease, until_ns));
        until_ns >> TICK_SHIFT >= now.into()
    }

    /// Asks a CPU after the flow with this hash.
    fn ask(&self, cpu: usize, hash: u32, now: u32) {
        let word = cpu * Asked::WORDS as usize + Asked::word_of(hash) as usize;
        // SAFETY: the row lies in the mapping.
        unsafe { Asked::of(self.asked.pointer(word), hash, now) }.ask();
    }

    /// Where it was published anew meanwhile, nothing changes.
    fn change_pool(&self, (row, slot): Place, old: Pool, new: Pool) {
        let at = slot_at(slot) + offset_of!(Service, pool);
        let _is_same = self.services.change_word(row, at, &old, &new);
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
