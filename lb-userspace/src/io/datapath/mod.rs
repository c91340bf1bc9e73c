//! The program and its maps: loads, takes over, publishes, counts, and removes what it made.

mod attach;
mod early;
mod flows;
mod inherit;
mod leases;
mod needs;
mod pins;
mod publish;
mod table;

use std::{fs::File, path::PathBuf};

use anyhow::{Context as _, bail};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapData, PerCpuArray, xdp::DevMap},
    programs::Xdp,
};
use lb_common::{
    counters::{Counter, Counters},
    flow::{ERAS, Timeouts},
    hash::Keys,
    layout::{ABI_VERSION, Layout, Lease, MAX_PORTS, MarkRule, Port, Stats},
};
use tracing::{info, warn};

pub use attach::Mode;
pub use early::{Came, Early};
pub use flows::Flows;
pub use leases::Leases;

use self::{
    attach::Attached,
    inherit::Inheritance,
    pins::{pin_over, remove},
    publish::{Publisher, Tables},
    table::Table,
};
use super::links::Link;
use crate::{
    control::Action,
    plan::{Allocation, ServiceTable, Wanted},
};

/// The program's object file, built by `cargo xtask build`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("XLVS_BPF_OBJECT"));

/// Maps that go on over a restart where their sizes allow it.
const KEPT: [&str; 5] = ["flows4", "flows6", "server_stats", "counters", "timeouts"];
/// Maps that are made anew at every start.
const FRESH: [&str; 14] = [
    "fragments",
    "early",
    "services",
    "leases",
    "servers",
    "loads",
    "limits",
    "joined",
    "members",
    "cursors",
    "policies",
    "mark_rules",
    "ports",
    "layout",
];

/// The map `server_stats`: each row as words, which is what the kernel copies.
type ServerStats = PerCpuArray<MapData, [u64; size_of::<Stats>() / 8]>;

/// What the data path is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Directory on a BPF file system, this daemon's own.
    pub pins: PathBuf,
    /// Native or generic.
    pub mode: Mode,
    /// Flows that the table holds at most.
    pub flow_slots: u32,
    /// The program logs its decisions.
    pub debug: bool,
    /// The interfaces to forward through.
    pub interfaces: Vec<Link>,
    /// The rows of `leases` behind row 0. None of them lets anything be forwarded at the start.
    pub leases: Vec<Lease>,
    /// Which packets get a firewall mark; the first rule that fits decides.
    pub marks: Vec<MarkRule>,
}

/// What the program is compiled with at its load, besides the interfaces.
#[derive(Clone, Copy, Debug)]
struct Constants {
    service_mask: u32,
    /// Of IPv4 and of IPv6.
    flow_masks: [u32; 2],
    features: u32,
    era: u32,
    debug: u32,
    service_keys: Keys,
    flow_keys: Keys,
}

impl Constants {
    fn loader<'a>(&'a self, ports: &'a [Port; MAX_PORTS]) -> EbpfLoader<'a> {
        let mut loader = EbpfLoader::new();
        loader
            .override_global("SERVICE_MASK", &self.service_mask, true)
            .override_global("FLOW_MASKS", &self.flow_masks[..], true)
            .override_global("FEATURES", &self.features, true)
            .override_global("ERA", &self.era, true)
            .override_global("DEBUG", &self.debug, true)
            .override_global("SERVICE_KEYS", &self.service_keys[..], true)
            .override_global("FLOW_KEYS", &self.flow_keys[..], true)
            .override_global("PORTS", bytemuck::bytes_of(ports), true);
        loader
    }
}

/// The loaded program, its maps, its place on the interfaces.
pub struct Datapath {
    ebpf: Ebpf,
    publisher: Publisher,
    leases: Leases,
    timeouts: Table<Timeouts>,
    stats: ServerStats,
    counters: PerCpuArray<MapData, [u64; Counter::ALL.len()]>,
    attached: Vec<Attached>,
    constants: Constants,
    mode: Mode,
    pins: PathBuf,
    /// Keeps a second daemon from taking this one's place while it runs.
    lock: Option<File>,
}

/// Loaded, with rows for every server, not yet attached.
pub struct Prepared {
    datapath: Datapath,
    settings: Settings,
    kept: Vec<&'static str>,
    layout: Layout,
    /// Who has which row.
    pub allocation: Allocation,
}

impl Prepared {
    /// Loads the program with maps of the size that `wanted` needs, and takes over what an earlier daemon pinned.
    ///
    /// # Errors
    /// More services or servers than a director holds, a program that the kernel refuses, a directory that is not
    /// on a BPF file system.
    pub fn new(settings: Settings, wanted: &[Wanted]) -> anyhow::Result<Self> {
        let pins = settings.pins.clone();
        if settings.interfaces.len() > MAX_PORTS {
            bail!(
                "{} interfaces are named and one director forwards through {MAX_PORTS}",
                settings.interfaces.len()
            );
        }
        if settings.leases.len() > usize::from(u16::MAX) {
            bail!(
                "{} vrrp_instances are configured and one director runs {}",
                settings.leases.len(),
                u16::MAX
            );
        }
        std::fs::create_dir_all(&pins).with_context(|| {
            format!("{}: cannot be made; is a BPF file system mounted there?", pins.display())
        })?;
        let old = Inheritance::read(&pins);
        let allocation = old.as_ref().map(|old| old.allocation.clone()).unwrap_or_default().assign(wanted)?;
        let table = ServiceTable::build(wanted, &allocation, rand::random);
        let flow_rows = needs::flow_rows(settings.flow_slots, wanted);

        let mut kept = Vec::new();
        if let Some(old) = &old {
            let [same_v4, same_v6] = [0, 1].map(|family| old.flow_rows[family] == flow_rows[family]);
            if !same_v4 || !same_v6 {
                warn!(
                    "the flow tables change from {:?} to {flow_rows:?} buckets: connections are forgotten",
                    old.flow_rows
                );
            }
            let same = [same_v4, same_v6, old.stats_rows() == allocation.server_rows(), true, true];
            kept.extend(KEPT.into_iter().zip(same).filter_map(|(name, same)| same.then_some(name)));
        }
        let keeps_flows = kept.contains(&"flows4") || kept.contains(&"flows6");
        let flow_keys = old.as_ref().filter(|_| keeps_flows).map_or_else(rand::random, |old| old.flow_keys);
        // The flows that are kept are in the counts of the earlier daemon, which this one's begin without.
        let era = old.as_ref().map_or(0, |old| (old.era + 1) % ERAS);
        let constants = Constants {
            service_mask: table.buckets.len() as u32 - 1,
            flow_masks: flow_rows.map(|rows| rows as u32 - 1),
            features: needs::features(wanted, &settings.marks),
            era: u32::from(era),
            debug: u32::from(settings.debug),
            service_keys: table.keys,
            flow_keys,
        };
        let ports = attach::ports(&settings.interfaces, settings.mode)?;
        let mut loader = constants.loader(&ports);
        needs::size_maps(&mut loader, &settings, wanted, &allocation, &table, flow_rows);
        for name in &kept {
            loader.map_pin_path(name, pins.join(name));
        }
        let mut ebpf = loader.load(OBJECT).context("loading the XDP program's maps")?;
        program(&mut ebpf)?.load().context("the kernel refuses the XDP program")?;

        let tables = Tables {
            services: Table::open(map_data(&ebpf, "services")?)?,
            servers: Table::open(map_data(&ebpf, "servers")?)?,
            members: Table::open(map_data(&ebpf, "members")?)?,
            cursors: Table::open(map_data(&ebpf, "cursors")?)?,
            loads: Table::open(map_data(&ebpf, "loads")?)?,
            policies: Table::open(map_data(&ebpf, "policies")?)?,
            limits: Table::open(map_data(&ebpf, "limits")?)?,
        };
        let mark_rules = Table::<MarkRule>::open(map_data(&ebpf, "mark_rules")?)?;
        for (row, rule) in settings.marks.iter().enumerate() {
            mark_rules.set(row, rule);
        }
        let timeouts = Table::open(map_data(&ebpf, "timeouts")?)?;
        if !kept.contains(&"timeouts") {
            timeouts.set(0, &Timeouts::default());
        }
        set_devices(&mut ebpf, &settings.interfaces)?;
        let layout = Layout {
            abi: ABI_VERSION,
            next_generation: allocation.next_generation,
            era: u16::from(era),
            flow_keys,
        };
        let mut stats = PerCpuArray::try_from(own_map(&ebpf, "server_stats")?)?;
        if let Some(old) = &old {
            old.hand_over_counts(&allocation, &mut stats)?;
        }
        let datapath = Datapath {
            publisher: Publisher::new(tables, &table, wanted, &allocation),
            leases: Leases::open(map_data(&ebpf, "leases")?, &settings.leases)?,
            timeouts,
            stats,
            counters: PerCpuArray::try_from(own_map(&ebpf, "counters")?)?,
            ebpf,
            attached: Vec::new(),
            constants,
            mode: settings.mode,
            pins,
            lock: None,
        };
        Ok(Self { datapath, settings, kept, layout, allocation })
    }

    /// Makes a change before the first packet.
    pub fn apply(&mut self, action: &Action) {
        self.datapath.publisher.apply(action);
    }

    /// The program and its maps, for running single packets through it.
    pub const fn ebpf(&self) -> &Ebpf {
        &self.datapath.ebpf
    }

    /// The data path as it would be attached, for its counts.
    pub const fn datapath(&self) -> &Datapath {
        &self.datapath
    }

    /// Attaches the program, or puts it in the place of an earlier daemon's, and pins everything.
    ///
    /// # Errors
    /// A daemon that runs with the same pins, which is left alone. An interface that refuses the program; then nothing
    /// of this start is left, unless it took over an earlier one.
    pub fn attach(mut self) -> anyhow::Result<Datapath> {
        self.datapath.lock = Some(inherit::lock(&self.datapath.pins)?);
        let took_over = !self.kept.is_empty();
        match self.try_attach() {
            Ok(()) => Ok(self.datapath),
            Err(error) => {
                if !took_over {
                    self.datapath.stop();
                }
                Err(error)
            }
        }
    }

    fn try_attach(&mut self) -> anyhow::Result<()> {
        let datapath = &mut self.datapath;
        let (mode, pins) = (self.settings.mode, datapath.pins.clone());
        inherit::write_layout(own_map(&datapath.ebpf, "layout")?, &self.layout)?;
        if !self.kept.is_empty() {
            inherit::use_up_era(&pins, self.layout.era)?;
        }
        for link in &self.settings.interfaces {
            let attached = Attached::new(program(&mut datapath.ebpf)?, link, mode, &pins)?;
            datapath.attached.push(attached);
        }
        attach::drop_others(&pins, &datapath.attached)?;
        let anew = KEPT.into_iter().chain(FRESH).filter(|name| !self.kept.contains(name));
        for name in anew {
            pin_over(map_data(&datapath.ebpf, name)?, &pins, name)?;
        }
        if !self.kept.is_empty() {
            info!("took over the connections of an earlier run from {}", pins.display());
        }
        Ok(())
    }
}

impl Datapath {
    /// Makes a change.
    pub fn apply(&mut self, action: &Action) {
        self.publisher.apply(action);
    }

    /// Loads the program anew for `interfaces`, as they are now, and puts it in the place of the running one: the
    /// maps stay.
    ///
    /// # Errors
    /// An interface that refuses the program.
    pub fn replace(&mut self, interfaces: &[Link]) -> anyhow::Result<()> {
        let ports = attach::ports(interfaces, self.mode)?;
        let constants = self.constants;
        let mut loader = constants.loader(&ports);
        for name in KEPT.into_iter().chain(FRESH) {
            loader.map_pin_path(name, self.pins.join(name));
        }
        let mut ebpf = loader.load(OBJECT).context("loading the XDP program's maps")?;
        program(&mut ebpf)?.load().context("the kernel refuses the XDP program")?;
        set_devices(&mut ebpf, interfaces)?;
        let attach = |link| Attached::new(program(&mut ebpf)?, link, self.mode, &self.pins);
        self.attached = interfaces.iter().map(attach).collect::<anyhow::Result<_>>()?;
        attach::drop_others(&self.pins, &self.attached)?;
        self.ebpf = ebpf;
        Ok(())
    }

    /// The leases, for the thread that renews them.
    pub fn leases(&self) -> Leases {
        self.leases.clone()
    }

    /// What the program logs, when `debug` was asked for.
    pub const fn ebpf_mut(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Connections, packets and bytes of a row of `servers`.
    ///
    /// # Errors
    /// A row that does not exist.
    pub fn stats(&self, row: u16) -> anyhow::Result<Stats> {
        let values = self.stats.get(&u32::from(row), 0)?;
        Ok(values.iter().map(|row| bytemuck::must_cast(*row)).fold(Stats::default(), Stats::plus))
    }

    /// Packets by the way they left.
    ///
    /// # Errors
    /// The kernel's, should the map be gone.
    pub fn counters(&self) -> anyhow::Result<Counters> {
        let values = self.counters.get(&0, 0)?;
        let rows: Vec<Counters> = values.iter().map(|row| bytemuck::must_cast(*row)).collect();
        Ok(Counters::sum(&rows))
    }

    /// Ends the leases, detaches the program and removes every pin.
    pub fn stop(&mut self) {
        self.leases.end_all();
        self.attached.drain(..).for_each(Attached::detach);
        // Those that a replacement began with before it failed.
        if let Err(error) = attach::drop_others(&self.pins, &[]) {
            warn!("{error:#}");
        }
        for name in KEPT.into_iter().chain(FRESH) {
            remove(&self.pins.join(name));
        }
        if let Err(error) = std::fs::remove_dir(&self.pins) {
            warn!("{}: {error}", self.pins.display());
        }
    }
}

fn program(ebpf: &mut Ebpf) -> anyhow::Result<&mut Xdp> {
    Ok(ebpf.program_mut("xlvs").context("the object has no program xlvs")?.try_into()?)
}

fn map_data<'a>(ebpf: &'a Ebpf, name: &str) -> anyhow::Result<&'a MapData> {
    match ebpf.map(name) {
        Some(
            Map::Array(data)
            | Map::PerCpuArray(data)
            | Map::DevMap(data)
            | Map::LruHashMap(data)
            | Map::RingBuf(data),
        ) => Ok(data),
        _ => bail!("the object has no map {name}"),
    }
}

/// The map under another descriptor, to be kept apart from the object.
fn own_map(ebpf: &Ebpf, name: &str) -> anyhow::Result<Map> {
    let fd = map_data(ebpf, name)?.fd();
    let fd = std::os::fd::AsFd::as_fd(fd).try_clone_to_owned()?;
    Ok(Map::from_map_data(MapData::from_fd(fd)?)?)
}

fn set_devices(ebpf: &mut Ebpf, interfaces: &[Link]) -> anyhow::Result<()> {
    let mut devices = DevMap::try_from(ebpf.map_mut("ports").context("the object has no map ports")?)?;
    for (row, link) in interfaces.iter().enumerate() {
        devices.set(row as u32, link.index, None, 0)?;
    }
    Ok(())
}
