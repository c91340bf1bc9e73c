//! The program and its maps: loads, takes over, publishes, counts, and removes what it made.

mod attach;
mod early;
mod explain;
mod flows;
mod grace;
mod inherit;
mod leases;
mod needs;
mod pins;
mod place;
mod prepare;
mod publish;
mod recent;
mod settling;
mod sight;
mod table;
mod ticks;

use std::{collections::BTreeMap, fs::File, path::PathBuf};

use anyhow::{Context as _, anyhow, bail};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, MapData, PerCpuArray, xdp::DevMap},
    programs::Xdp,
};
use lb_common::{
    counters::{Counter, Counters},
    flow::Timeouts,
    hash::Keys,
    layout::{Address, Layout, Lease, MAX_PORTS, MarkRule, Port, Stats, feature},
};
use tracing::warn;

pub use attach::Mode;
pub use early::{Came, Early};
pub use flows::{FlowMaps, Flows};
pub use leases::Leases;
pub use prepare::Prepared;
pub use sight::SeenFlow;

use self::{attach::Attached, grace::Grace, pins::remove, publish::Publisher, table::Table, ticks::Ticks};
use super::links::Link;
use crate::{
    control::Action,
    plan::{Allocation, Difference},
};

/// The program's object file, built by `cargo xtask build`.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("XLVS_BPF_OBJECT"));

/// Maps that go on over a restart where their sizes allow it.
const KEPT: [&str; 5] = ["flows4", "flows6", "server_stats", "counters", "timeouts"];
/// Maps that are made anew at every start.
const FRESH: [&str; 19] = [
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
    "recent4",
    "recent6",
    "lately",
    "asked",
    "looks",
    "mark_rules",
    "ports",
    "layout",
];

/// The map `server_stats`: each row as words, which is what the kernel copies.
type ServerStats = PerCpuArray<MapData, [u64; size_of::<Stats>() / 8]>;

/// What the data path is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program's object file: [`OBJECT`], but in a test that needs a build of its own.
    pub object: &'static [u8],
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
    /// The addresses to which a mark's packets may go, with the rows of `leases` of the virtual routers that own them.
    pub owned: BTreeMap<Address, u16>,
}

/// What the program is compiled with at its load, besides the interfaces.
#[derive(Clone, Copy, Debug)]
struct Constants {
    service_mask: u32,
    /// Of IPv4 and of IPv6.
    flow_masks: [u32; 2],
    lately_mask: u32,
    features: u32,
    era: u32,
    debug: u32,
    service_keys: Keys,
    flow_keys: Keys,
    ticks: Ticks,
}

impl Constants {
    fn loader<'a>(&'a self, ports: &'a [Port; MAX_PORTS]) -> EbpfLoader<'a> {
        let mut loader = EbpfLoader::new();
        loader
            .override_global("SERVICE_MASK", &self.service_mask, true)
            .override_global("FLOW_MASKS", &self.flow_masks[..], true)
            .override_global("LATELY_MASK", &self.lately_mask, true)
            .override_global("FEATURES", &self.features, true)
            .override_global("ERA", &self.era, true)
            .override_global("DEBUG", &self.debug, true)
            .override_global("SERVICE_KEYS", &self.service_keys[..], true)
            .override_global("FLOW_KEYS", &self.flow_keys[..], true)
            .override_global("TICKS", bytemuck::bytes_of(&self.ticks), true)
            .override_global("PORTS", bytemuck::bytes_of(ports), true);
        loader
    }
}

/// The loaded program, its maps, its place on the interfaces.
pub struct Datapath {
    ebpf: Ebpf,
    publisher: Publisher,
    grace: Grace,
    leases: Leases,
    timeouts: Table<Timeouts>,
    stats: ServerStats,
    joined: Array<MapData, u32>,
    counters: PerCpuArray<MapData, [u64; Counter::ALL.len()]>,
    attached: Vec<Attached>,
    constants: Constants,
    layout: Layout,
    allocation: Allocation,
    settings: Settings,
    /// Keeps a second daemon from taking this one's place while it runs.
    lock: Option<File>,
}

impl Datapath {
    /// Makes a change.
    pub fn apply(&mut self, action: &Action) {
        if let Action::Occupy { row, .. } = action
            && let Err(error) = self.clear_counts(*row)
        {
            warn!(row, "the counts of a new real server begin with those of an earlier one: {error:#}");
        }
        self.publisher.apply(action);
    }

    /// Who has which row.
    pub const fn allocation(&self) -> &Allocation {
        &self.allocation
    }

    /// What it is.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the program and its maps, which do for the services before, can do for those after under `settings` as they
    /// are, so that [`Self::change`] is enough.
    ///
    /// # Errors
    /// Why another program must take its place, for people.
    pub fn fits(
        &self,
        settings: &Settings,
        difference: &Difference,
        allocation: &Allocation,
    ) -> Result<(), &'static str> {
        // That flows are not looked up is no need.
        let is_needed = needs::features(&difference.next(), &settings.marks) & !feature::SETTLES;
        let buckets = self.constants.flow_masks.map(|mask| mask as usize + 1);
        let is_handed_on = allocation.hands_on(&self.allocation, difference);
        let reasons = [
            (is_handed_on, "rows of real servers go to others at once"),
            (settings.interfaces != self.settings.interfaces, "the interfaces are others"),
            (settings.marks != self.settings.marks, "the rules for firewall marks are others"),
            (
                settings.owned != self.settings.owned,
                "addresses of a firewall mark came, went or are another's",
            ),
            (is_needed & !self.constants.features != 0, "a part is needed that was left out of it"),
            (
                needs::lacks_flows(buckets, settings.flow_slots, difference.next()),
                "it has no flow table of an address family",
            ),
            (!self.leases.has_room(&settings.leases), "its maps are too small"),
        ];
        let reason = reasons.into_iter().find(|(is_so, _)| *is_so);
        reason.map_or(Ok(()), |(_, reason)| Err(reason))?;
        self.publisher.placement(difference, &settings.owned, allocation).map(drop)
    }

    /// Makes the changes that lead to the services after and to `allocation` under `settings`, which [fit](Self::fits), while
    /// packets come.
    ///
    /// # Errors
    /// When nothing was changed.
    pub fn change(
        &mut self,
        settings: Settings,
        difference: &Difference,
        allocation: Allocation,
        actions: &[Action],
    ) -> anyhow::Result<()> {
        let placement = self.publisher.placement(difference, &settings.owned, &allocation);
        let placement =
            placement.map_err(|why| anyhow!("the running XDP program cannot do for it: {why}"))?;
        if allocation.next_generation != self.layout.next_generation {
            // Before a flow has one of them: should this daemon be killed, the next must not give them again.
            self.layout.next_generation = allocation.next_generation;
            inherit::write_layout(own_map(&self.ebpf, "layout")?, &self.layout)?;
        }
        if placement.takes() || actions.iter().any(|action| matches!(action, Action::Occupy { .. })) {
            self.grace.end();
        }
        self.leases.define(&settings.leases);
        self.publisher.place(&placement, &allocation);
        for action in actions {
            self.apply(action);
        }
        let vacates = actions.iter().any(|action| matches!(action, Action::Vacate { .. }));
        if self.publisher.settle(&placement) || vacates {
            self.grace.begin();
        }
        (self.settings, self.allocation) = (settings, allocation);
        Ok(())
    }

    fn clear_counts(&mut self, row: u16) -> anyhow::Result<()> {
        inherit::clear_counts(&mut self.stats, u32::from(row))?;
        Ok(self.joined.set(u32::from(row), 0, 0)?)
    }

    /// Loads the program anew for `interfaces`, as they are now, and puts it in the place of the running one: the
    /// maps stay.
    ///
    /// # Errors
    /// An interface that refuses the program.
    pub fn replace(&mut self, interfaces: &[Link]) -> anyhow::Result<()> {
        let Settings { object, mode, pins, .. } = self.settings.clone();
        let ports = attach::ports(interfaces, mode)?;
        let constants = self.constants;
        let mut loader = constants.loader(&ports);
        for name in KEPT.into_iter().chain(FRESH) {
            loader.map_pin_path(name, pins.join(name));
        }
        let mut ebpf = loader.load(object).context("loading the XDP program's maps")?;
        program(&mut ebpf)?.load().context("the kernel refuses the XDP program")?;
        set_devices(&mut ebpf, interfaces)?;
        let attach = |link| Attached::new(program(&mut ebpf)?, link, mode, &pins);
        self.attached = interfaces.iter().map(attach).collect::<anyhow::Result<_>>()?;
        attach::drop_others(&pins, &self.attached)?;
        self.ebpf = ebpf;
        self.settings.interfaces = interfaces.to_vec();
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
        let pins = self.settings.pins.clone();
        self.leases.end_all();
        self.attached.drain(..).for_each(Attached::detach);
        // Those that a replacement began with before it failed.
        if let Err(error) = attach::drop_others(&pins, &[]) {
            warn!("{error:#}");
        }
        for name in KEPT.into_iter().chain(FRESH) {
            remove(&pins.join(name));
        }
        if let Err(error) = std::fs::remove_dir(&pins) {
            warn!("{}: {error}", pins.display());
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
