//! The rows of the maps for who explains a packet's way. Nothing is written.

use std::hash::Hash;

use aya::maps::{Array, MapData};
use lb_common::{
    flow::{Bucket, Chain, Hit, Host, Key, Key4, Key6, Parts, Shared, TICK_SHIFT, TemplateForm},
    layout::{
        Address, CursorRow, Lease, Limit, Load, MAX_SERVERS, MarkRule, Members, Policy, SERVICE_SLOTS,
        Server, Service, door, service_hash,
    },
};

use super::{
    Datapath,
    flows::{Beside, FlowMaps, Rows},
    publish::Publisher,
    table::Table,
};
use crate::{
    explain::{Explanation, Kept, Maps, Question, explain},
    plan::ServiceKey,
};

/// What is read at one moment.
struct Reader<'a> {
    datapath: &'a Datapath,
    flows: &'a FlowMaps,
    now_ns: u64,
}

impl Datapath {
    /// What the program would do with a packet at `now_ns` of its clock. `flows` are the flow tables that it has.
    ///
    /// # Errors
    /// An interface that it does not forward through, in a line.
    pub fn explain(&self, flows: &FlowMaps, question: &Question, now_ns: u64) -> Result<Explanation, String> {
        let interfaces = &self.settings.interfaces;
        let ingress = match &question.interface {
            None => 0,
            Some(name) => interfaces.iter().position(|link| link.name == *name).ok_or_else(|| {
                let names: Vec<&str> = interfaces.iter().map(|link| link.name.as_str()).collect();
                format!("nothing is forwarded that comes in by {name}: name one of {}", names.join(", "))
            })?,
        };
        Ok(explain(&Reader { datapath: self, flows, now_ns }, question, ingress as u16))
    }
}

impl Reader<'_> {
    const fn publisher(&self) -> &Publisher {
        &self.datapath.publisher
    }

    fn find<K: Key + Hash>(&self, buckets: &Table<Bucket<K>>, key: &K) -> Option<Kept> {
        let (chain, beside) = self.chain(buckets, key);
        let hit: Hit = chain.find(key)?;
        // SAFETY: the row lies in the mapping, and who writes to it does so by the same protocol.
        let bucket = unsafe { Shared::<K, Host, _>::new(hit.row, buckets.pointer(hit.row as usize), beside) };
        let idle = (self.now_ns >> TICK_SHIFT) as u32;
        let idle = idle.wrapping_sub(hit.seen).cast_signed().max(0);
        Some(Kept {
            state: hit.state(),
            server: hit.control.server(),
            generation: hit.control.generation(),
            idle: ((u64::from(idle.cast_unsigned()) << TICK_SHIFT) / 1_000_000_000) as u32,
            left: (bucket.left_ns(hit.control, hit.seen, self.now_ns) / 1_000_000_000) as u32,
            is_home: chain.is_home(hit.row),
        })
    }

    fn chain<'a, K: Key + Hash>(
        &'a self,
        buckets: &'a Table<Bucket<K>>,
        key: &K,
    ) -> (Chain<K, Host, Beside<'a, K>>, Beside<'a, K>) {
        let rows: &Rows = &self.flows.rows;
        let beside = Beside::reader(buckets, rows);
        (Chain::new(Key::hash(key, |at| rows.key(at)), beside), beside)
    }

    fn has_room_for<K: Key + Hash>(&self, buckets: &Table<Bucket<K>>, parts: &Parts) -> bool {
        let (chain, _) = self.chain(buckets, &K::of_flow(parts));
        chain.has_room((self.now_ns >> TICK_SHIFT) as u32)
    }
}

/// A row, if there is one.
fn row<T: bytemuck::Pod>(table: &Table<T>, row: usize) -> Option<T> {
    (row < table.rows()).then(|| table.get(row))
}

impl Maps for Reader<'_> {
    fn features(&self) -> u32 {
        self.datapath.constants.features
    }

    fn service(&self, vip: &Address, port: u16, protocol: u8) -> Option<Service> {
        let constants = &self.datapath.constants;
        let hash = service_hash(vip, door(port, protocol), |at| constants.service_keys[at]);
        let bucket = row(&self.publisher().tables.services, (hash & constants.service_mask) as usize)?;
        let slots: [Service; SERVICE_SLOTS] = bucket.slots;
        slots.into_iter().find(|slot| {
            slot.info.port == port && slot.info.protocol == protocol && slot.vip.halves() == vip.halves()
        })
    }

    fn services(&self) -> Vec<ServiceKey> {
        self.publisher().pools.keys().copied().collect()
    }

    fn mark_rules(&self) -> &[MarkRule] {
        &self.datapath.settings.marks
    }

    fn lease(&self, row: u16) -> Option<Lease> {
        self.datapath.leases.row(row)
    }

    fn policy(&self, id: u16) -> Policy {
        row(&self.publisher().tables.policies, id.into()).unwrap_or_default()
    }

    fn server(&self, server: u16) -> Option<Server> {
        row(&self.publisher().tables.servers, server.into())
    }

    fn members(&self, members: u32) -> Option<Members> {
        row(&self.publisher().tables.members, members as usize)
    }

    fn cursor(&self, id: u16) -> Option<CursorRow> {
        row(&self.publisher().tables.cursors, id.into())
    }

    fn joined(&self, server: u16) -> u32 {
        let joined: &Array<MapData, u32> = &self.datapath.joined;
        joined.get(&u32::from(server), 0).unwrap_or(0)
    }

    fn load(&self, server: u16) -> Load {
        if usize::from(server) < MAX_SERVERS { self.publisher().load(server) } else { Load::default() }
    }

    fn limit(&self, server: u16) -> Limit {
        row(&self.publisher().tables.limits, server.into()).unwrap_or_default()
    }

    fn flow(&self, parts: &Parts, is_v6: bool) -> Option<Kept> {
        if is_v6 {
            self.find(&self.flows.v6, &Key6::of_flow(parts))
        } else {
            self.find(&self.flows.v4, &Key4::of_flow(parts))
        }
    }

    fn template(&self, parts: &Parts, is_v6: bool, form: &TemplateForm) -> Option<Kept> {
        if is_v6 {
            self.find(&self.flows.v6, &Key6::of_flow(parts).template(form))
        } else {
            self.find(&self.flows.v4, &Key4::of_flow(parts).template(form))
        }
    }

    fn has_room(&self, parts: &Parts, is_v6: bool) -> bool {
        if is_v6 {
            self.has_room_for(&self.flows.v6, parts)
        } else {
            self.has_room_for(&self.flows.v4, parts)
        }
    }

    fn interface(&self, port: u16) -> Option<String> {
        self.datapath.settings.interfaces.get(usize::from(port)).map(|link| link.name.clone())
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }
}
