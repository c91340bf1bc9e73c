//! What an earlier daemon left pinned: taken over if it can be read, so that its connections go on.

use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    path::Path,
};

use anyhow::{Context as _, bail};
use aya::{
    maps::{Array, Map, MapData, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use lb_common::{
    flow::{Bucket, Key4, Key6},
    hash::Keys,
    layout::{ABI_VERSION, Address, Layout, PRESENCE, Server, ServiceBucket, Stats},
};
use tracing::warn;

use super::{Datapath, ServerStats, own_map, table::Table};
use crate::plan::{Allocation, Row, ServiceKey};

/// The maps whose rows a new daemon goes on with.
pub(super) struct Inheritance {
    /// Who had which row.
    pub(super) allocation: Allocation,
    /// The keys the flows are hashed with.
    pub(super) flow_keys: Keys,
    /// The era of its counts.
    pub(super) era: u8,
    /// Rows of `flows4` and of `flows6`.
    pub(super) flow_rows: [usize; 2],
    /// Does the daemon that has them run on? It is this one, then.
    pub(super) is_running: bool,
    stats: ServerStats,
}

impl Inheritance {
    /// Reads the pinned maps; `None` where there are none, or none that this version understands.
    pub(super) fn read(pins: &Path) -> Option<Self> {
        if !pins.join("layout").exists() {
            return None;
        }
        Self::read_maps(pins)
            .inspect_err(|error| {
                warn!(
                    "{}: maps of an earlier run are not used, its connections are lost: {error:#}",
                    pins.display()
                );
            })
            .ok()
    }

    fn read_maps(pins: &Path) -> anyhow::Result<Self> {
        let layout = read_layout(&pins.join("layout"))?;
        anyhow::ensure!(layout.abi == ABI_VERSION, "they have version {}, this is {ABI_VERSION}", layout.abi);
        let services = Table::<ServiceBucket>::open(&MapData::from_pin(pins.join("services"))?)?;
        let servers = Table::<Server>::open(&MapData::from_pin(pins.join("servers"))?)?;
        let flows4 = Table::<Bucket<Key4>>::open(&MapData::from_pin(pins.join("flows4"))?)?;
        let flows6 = Table::<Bucket<Key6>>::open(&MapData::from_pin(pins.join("flows6"))?)?;
        let stats = MapData::from_pin(pins.join("server_stats"))?;
        let stats = ServerStats::try_from(Map::from_map_data(stats)?)?;
        let mut allocation = Allocation::default();
        allocation.next_generation = layout.next_generation;
        for slot in (0..services.rows()).flat_map(|row| services.get(row).slots) {
            if slot.info.protocol != 0 && slot.info.protocol != PRESENCE {
                let key = ServiceKey { vip: slot.vip, protocol: slot.info.protocol, port: slot.info.port };
                allocation.note_service(key, slot.info.id);
            }
        }
        let services: BTreeMap<u16, ServiceKey> = allocation.services().map(|(key, id)| (id, key)).collect();
        for row in 0..servers.rows() {
            let server = servers.get(row);
            let service = services.get(&server.info.service);
            if let (Some(key), true) = (service, server.info.state != 0) {
                let value = Row { row: row as u16, generation: server.info.generation };
                allocation.note_server(*key, server.rip, value);
            }
        }
        let (flow_keys, era) = (layout.flow_keys, layout.era as u8);
        let flow_rows = [flows4.rows(), flows6.rows()];
        Ok(Self { allocation, flow_keys, era, flow_rows, is_running: false, stats })
    }

    /// The maps of this daemon itself.
    pub(super) fn of(running: &Datapath) -> anyhow::Result<Self> {
        let Layout { flow_keys, era, .. } = running.layout;
        Ok(Self {
            allocation: running.allocation.clone(),
            flow_keys,
            era: era as u8,
            flow_rows: running.constants.flow_masks.map(|mask| mask as usize + 1),
            is_running: true,
            stats: PerCpuArray::try_from(own_map(&running.ebpf, "server_stats")?)?,
        })
    }

    /// Rows of `server_stats`.
    pub(super) fn stats_rows(&self) -> usize {
        self.stats.len() as usize
    }

    /// Had a real server this row?
    pub(super) fn has(&self, (service, rip): &(ServiceKey, Address), row: Row) -> bool {
        self.allocation.server(service, *rip) == Some(row)
    }

    /// Lets the counts of every real server that stays go on in `new`, which is the same map where the sizes
    /// are the same, and those of every new one begin with nothing.
    pub(super) fn hand_over_counts(&self, now: &Allocation, new: &mut ServerStats) -> anyhow::Result<()> {
        let is_same_map = self.stats.len() == new.len();
        for (server, row) in now.servers() {
            let stays = self.has(&server, row);
            if stays && is_same_map {
                continue;
            }
            let row = u32::from(row.row);
            if stays {
                new.set(row, self.stats.get(&row, 0)?, 0)?;
            } else {
                clear_counts(new, row)?;
            }
        }
        Ok(())
    }
}

/// Lets the counts of a row begin with nothing.
pub(super) fn clear_counts(stats: &mut ServerStats, row: u32) -> anyhow::Result<()> {
    let cpus = nr_cpus().map_err(|(_, error)| error)?;
    Ok(stats.set(row, PerCpuValues::try_from(vec![[0; size_of::<Stats>() / 8]; cpus])?, 0)?)
}

/// A lock on the pins that ends with the process, however that ends.
pub(super) fn lock(pins: &Path) -> anyhow::Result<File> {
    let what = || format!("{}: the pin directory cannot be used", pins.display());
    let directory = File::open(pins).with_context(what)?;
    match directory.try_lock() {
        Ok(()) => Ok(directory),
        Err(TryLockError::WouldBlock) => bail!(
            "{}: another xlvs runs with this pin directory; stop it, or give this one its own --pin-dir",
            pins.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(what),
    }
}

/// Notes in the maps of an earlier program what is used up: should this be cut off with the new one attached and its maps
/// not yet pinned, the next daemon takes another era and other generations.
pub(super) fn use_up(pins: &Path, era: u16, next_generation: u16) -> anyhow::Result<()> {
    let pin = pins.join("layout");
    let layout = Layout { era, next_generation, ..read_layout(&pin)? };
    write_layout(Map::Array(MapData::from_pin(pin)?), &layout)
}

type LayoutBytes = [u8; size_of::<Layout>()];

fn read_layout(pin: &Path) -> anyhow::Result<Layout> {
    let array = Array::<_, LayoutBytes>::try_from(Map::Array(MapData::from_pin(pin)?))?;
    Ok(bytemuck::pod_read_unaligned(&array.get(&0, 0)?))
}

/// Writes the row of `layout`.
pub(super) fn write_layout(map: Map, layout: &Layout) -> anyhow::Result<()> {
    let bytes: LayoutBytes = bytemuck::must_cast(*layout);
    Array::<_, LayoutBytes>::try_from(map)?.set(0, bytes, 0)?;
    Ok(())
}
