//! What an earlier daemon left pinned: taken over if it can be read, so that its connections go on.

use std::path::Path;

use aya::maps::{Array, Map, MapData};
use lb_common::{
    flow::{Bucket, Key4},
    hash::Keys,
    layout::{ABI_VERSION, Layout, Server, ServiceBucket},
};
use tracing::warn;

use super::table::Table;
use crate::plan::{Allocation, Row, ServiceKey};

/// The maps whose rows a new daemon goes on with.
#[derive(Debug)]
pub(super) struct Inheritance {
    /// Who had which row.
    pub(super) allocation: Allocation,
    /// The keys the flows are hashed with.
    pub(super) flow_keys: Keys,
    /// Rows of `flows4`.
    pub(super) flow_rows: usize,
    /// Rows of `server_stats`.
    pub(super) stats_rows: usize,
}

impl Inheritance {
    /// Reads the pinned maps; `None` where there are none, or none that this version understands.
    pub(super) fn read(pins: &Path) -> Option<Self> {
        if !pins.join("layout").exists() {
            return None;
        }
        Self::read_maps(pins)
            .inspect_err(|error| warn!("{}: maps of an earlier run are not used: {error:#}", pins.display()))
            .ok()
    }

    fn read_maps(pins: &Path) -> anyhow::Result<Self> {
        let layout = read_layout(&pins.join("layout"))?;
        anyhow::ensure!(layout.abi == ABI_VERSION, "they have version {}, this is {ABI_VERSION}", layout.abi);
        let services = Table::<ServiceBucket>::open(&MapData::from_pin(pins.join("services"))?)?;
        let servers = Table::<Server>::open(&MapData::from_pin(pins.join("servers"))?)?;
        let flows = Table::<Bucket<Key4>>::open(&MapData::from_pin(pins.join("flows4"))?)?;
        let stats = MapData::from_pin(pins.join("server_stats"))?;
        let mut allocation =
            Allocation { next_generation: layout.next_generation as u16, ..Allocation::default() };
        for slot in (0..services.rows()).flat_map(|row| services.get(row).slots) {
            if slot.info.protocol != 0 {
                let key = ServiceKey { vip: slot.vip, protocol: slot.info.protocol, port: slot.info.port };
                allocation.services.insert(key, slot.info.id);
            }
        }
        for row in 0..servers.rows() {
            let server = servers.get(row);
            let service = allocation.services.iter().find(|&(_, id)| *id == server.info.service);
            if let (Some((key, _)), true) = (service, server.info.state != 0) {
                let value = Row { row: row as u16, generation: server.info.generation };
                allocation.servers.insert((*key, server.rip), value);
            }
        }
        Ok(Self {
            allocation,
            flow_keys: layout.flow_keys,
            flow_rows: flows.rows(),
            stats_rows: stats.info()?.max_entries() as usize,
        })
    }
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
