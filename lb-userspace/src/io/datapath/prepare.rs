//! A program that is loaded and filled before it takes its place: at a start, over what an earlier daemon left, or over the
//! one that this daemon runs.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use aya::{
    Ebpf,
    maps::{Array, PerCpuArray},
};
use lb_common::{
    flow::{ERAS, SLOTS, Timeouts},
    layout::{ABI_VERSION, Address, Layout, Load, MAX_PORTS, MarkRule},
};
use tracing::{info, warn};

use super::{
    Constants, Datapath, FRESH, KEPT, Settings,
    attach::{self, Attached},
    grace::Grace,
    inherit::{self, Inheritance},
    leases::Leases,
    map_data,
    needs::{self, Rows},
    own_map,
    pins::pin_over,
    program,
    publish::{Publisher, Tables, load_at},
    recent::Recent,
    set_devices,
    table::Table,
    ticks::Ticks,
};
use crate::{
    control::Action,
    plan::{Allocation, Row, ServiceKey, ServiceTable, Wanted},
};

/// Maps that go on besides [`KEPT`] where the same daemon runs on: nothing that they say becomes wrong.
const SHARED: [&str; 4] = ["leases", "fragments", "loads", "joined"];

/// Loaded, with rows for every server, not yet attached.
pub struct Prepared {
    datapath: Datapath,
    kept: Vec<&'static str>,
    /// What of the connections cannot go on, in words.
    forgotten: Option<String>,
    /// Who has which row.
    pub allocation: Allocation,
}

impl Prepared {
    /// Loads the program with maps of the size that `wanted` needs, and takes over what an earlier daemon pinned.
    ///
    /// # Errors
    /// A daemon that runs with the same pins, whose maps are left alone. More services or servers than a director holds,
    /// a program that the kernel refuses, a directory that is not on a BPF file system.
    pub fn new(settings: Settings, wanted: &[Wanted]) -> anyhow::Result<Self> {
        check_limits(&settings)?;
        let pins = &settings.pins;
        std::fs::create_dir_all(pins).with_context(|| {
            format!("{}: cannot be made; is a BPF file system mounted there?", pins.display())
        })?;
        // Before anything is read: to go on with maps is to write to them.
        let lock = inherit::lock(pins)?;
        let old = Inheritance::read(pins);
        let allocation = old.as_ref().map(|old| old.allocation.clone()).unwrap_or_default().assign(wanted)?;
        let mut prepared = Self::build(settings, wanted, allocation, old.as_ref(), None)?;
        prepared.datapath.lock = Some(lock);
        Ok(prepared)
    }

    /// Loads it to take the place of the one that runs: with `allocation`, that keeps the rows of what stays. Cursors and
    /// leases go on, and so do the loads.
    ///
    /// # Errors
    /// As of [`Self::new`], and more virtual routers than there is room for; what runs is left as it is.
    pub fn beside(
        running: &Datapath,
        settings: Settings,
        wanted: &[Wanted],
        allocation: Allocation,
    ) -> anyhow::Result<Self> {
        check_limits(&settings)?;
        ensure!(
            running.leases.has_room(&settings.leases),
            "{} vrrp_instances are more than this daemon has room for: start it anew",
            settings.leases.len()
        );
        let old = Inheritance::of(running)?;
        Self::build(settings, wanted, allocation, Some(&old), Some(running))
    }

    fn build(
        settings: Settings,
        wanted: &[Wanted],
        allocation: Allocation,
        old: Option<&Inheritance>,
        running: Option<&Datapath>,
    ) -> anyhow::Result<Self> {
        let pins = settings.pins.clone();
        let table = ServiceTable::build(wanted, &settings.owned, &allocation, rand::random);
        let features = needs::features(&wanted.iter(), &settings.marks);
        let mut rows = Rows::new(&settings, wanted, &allocation, &table, features)?;
        if let Some(old) = old
            && allocation.server_rows() <= old.stats_rows()
        {
            rows.servers = old.stats_rows();
        }
        let kept = old.map_or_else(Vec::new, |old| kept(old, &rows, &allocation));
        let has = |name| kept.contains(&name);
        let keeps_flows = has("flows4") || has("flows6");
        let flow_keys = old.filter(|_| keeps_flows).map_or_else(rand::random, |old| old.flow_keys);
        // The flows that are kept are in the counts of the earlier program, which this one's begin without.
        let era = match old {
            Some(old) if has("loads") => old.era,
            Some(old) => (old.era + 1) % ERAS,
            None => 0,
        };
        let constants = Constants {
            service_mask: table.buckets.len() as u32 - 1,
            flow_masks: rows.flows.map(|rows| rows as u32 - 1),
            features,
            lately_mask: rows.lately as u32 - 1,
            era: u32::from(era),
            debug: u32::from(settings.debug),
            service_keys: table.keys,
            flow_keys,
            ticks: Ticks::of_host()?,
        };
        let ports = attach::ports(&settings.interfaces, settings.mode)?;
        let mut loader = constants.loader(&ports);
        rows.size_maps(&mut loader);
        for name in &kept {
            loader.map_pin_path(name, pins.join(name));
        }
        let mut ebpf = loader.load(settings.object).context("loading the XDP program's maps")?;
        program(&mut ebpf)?.load().context("the kernel refuses the XDP program")?;

        let tables = tables(&ebpf)?;
        let mark_rules = Table::<MarkRule>::open(map_data(&ebpf, "mark_rules")?)?;
        for (row, rule) in settings.marks.iter().enumerate() {
            mark_rules.set(row, rule);
        }
        let timeouts = Table::open(map_data(&ebpf, "timeouts")?)?;
        if !has("timeouts") {
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
        let mut joined = Array::try_from(own_map(&ebpf, "joined")?)?;
        if let Some(old) = old {
            old.hand_over_counts(&allocation, &mut stats)?;
            for (_, row) in allocation.servers().filter(|(server, row)| !old.has(server, *row)) {
                tables.loads.set_word(0, load_at(row.row), &Load::default());
                joined.set(u32::from(row.row), 0, 0)?;
            }
        }
        let leases = match running {
            Some(running) => running.leases(),
            None => Leases::open(map_data(&ebpf, "leases")?, &settings.leases)?,
        };
        let before = running.map(|running| (&running.publisher, &running.allocation));
        let datapath = Datapath {
            publisher: Publisher::new(tables, table, wanted, &allocation, before)?,
            grace: Grace::default(),
            leases,
            timeouts,
            stats,
            joined,
            counters: PerCpuArray::try_from(own_map(&ebpf, "counters")?)?,
            ebpf,
            attached: Vec::new(),
            constants,
            layout,
            allocation: allocation.clone(),
            settings,
            lock: None,
        };
        let forgotten = old.and_then(|old| forgotten(old.flow_rows, rows.flows));
        Ok(Self { datapath, kept, forgotten, allocation })
    }

    /// Makes a change before the first packet.
    pub fn apply(&mut self, action: &Action) {
        self.datapath.apply(action);
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
    /// An interface that refuses the program; then nothing of this start is left, unless it took over an earlier one.
    pub fn attach(mut self) -> anyhow::Result<Datapath> {
        let pins = self.datapath.settings.pins.clone();
        let took_over = !self.kept.is_empty();
        match self.try_attach(&pins) {
            Ok(()) => {
                match &self.forgotten {
                    Some(forgotten) => {
                        warn!("took over from an earlier run, {}: {forgotten}", pins.display());
                    }
                    None if took_over => {
                        info!("took over the connections of an earlier run from {}", pins.display());
                    }
                    None => {}
                }
                Ok(self.datapath)
            }
            Err(error) => {
                if !took_over {
                    self.datapath.stop();
                }
                Err(error)
            }
        }
    }

    /// Puts the program in the place of the running one, which ends. Nobody else may work on the maps of that one any more.
    ///
    /// # Errors
    /// An interface that refuses the program; then the running one is where it was.
    pub fn attach_over(mut self, running: &mut Datapath) -> anyhow::Result<()> {
        let pins = self.datapath.settings.pins.clone();
        if let Err(error) = self.try_attach(&pins) {
            let used = self.datapath.layout.next_generation;
            running.put_back(&self.kept, used).context("putting the running XDP program back")?;
            return Err(error);
        }
        // Not before it has succeeded: both programs have the same rows.
        self.datapath.leases.define(&self.datapath.settings.leases);
        if let Some(forgotten) = &self.forgotten {
            warn!("{forgotten}");
        }
        self.datapath.lock = running.lock.take();
        // Packets may be under way in the program of before, which counts in rows that both have.
        self.datapath.grace.begin();
        *running = self.datapath;
        Ok(())
    }

    fn try_attach(&mut self, pins: &Path) -> anyhow::Result<()> {
        let datapath = &mut self.datapath;
        inherit::write_layout(own_map(&datapath.ebpf, "layout")?, &datapath.layout)?;
        if !self.kept.is_empty() {
            inherit::use_up(pins, datapath.layout.era, datapath.layout.next_generation)?;
        }
        datapath.take_places()?;
        let anew = KEPT.into_iter().chain(FRESH).filter(|name| !self.kept.contains(name));
        for name in anew {
            pin_over(map_data(&datapath.ebpf, name)?, pins, name)?;
        }
        Ok(())
    }
}

impl Datapath {
    /// Puts the program on all its interfaces, in the place of what is there, and takes it off all others.
    fn take_places(&mut self) -> anyhow::Result<()> {
        let Settings { pins, mode, interfaces, .. } = &self.settings;
        self.attached.clear();
        for link in interfaces {
            self.attached.push(Attached::new(program(&mut self.ebpf)?, link, *mode, pins)?);
        }
        attach::drop_others(pins, &self.attached)
    }

    /// After another program took some of its places: takes them again. `shared` are the maps that both have, and
    /// generations below `next_generation` are used up.
    fn put_back(&mut self, shared: &[&str], next_generation: u16) -> anyhow::Result<()> {
        self.take_places()?;
        self.layout.next_generation = next_generation;
        self.allocation.next_generation = next_generation;
        inherit::write_layout(own_map(&self.ebpf, "layout")?, &self.layout)?;
        for name in KEPT.into_iter().chain(FRESH).filter(|name| !shared.contains(name)) {
            pin_over(map_data(&self.ebpf, name)?, &self.settings.pins, name)?;
        }
        Ok(())
    }
}

fn check_limits(settings: &Settings) -> anyhow::Result<()> {
    let (interfaces, routers) = (settings.interfaces.len(), settings.leases.len());
    if interfaces > MAX_PORTS {
        bail!("{interfaces} interfaces are named and one director forwards through {MAX_PORTS}");
    }
    if routers > usize::from(u16::MAX) {
        bail!("{routers} vrrp_instances are configured and one director runs {}", u16::MAX);
    }
    Ok(())
}

/// The maps of an earlier program that the new one goes on with.
fn kept(old: &Inheritance, rows: &Rows, allocation: &Allocation) -> Vec<&'static str> {
    let [same_v4, same_v6] = [0, 1].map(|family| old.flow_rows[family] == rows.flows[family]);
    let same_servers = old.stats_rows() == rows.servers;
    let same = [same_v4, same_v6, same_servers, true, true];
    // While the old program runs, it counts in the word of a row the connections of who has it there.
    let is_handed_on = |(server, row): ((ServiceKey, Address), Row)| {
        !old.has(&server, row) && old.allocation.has_server_row(row.row)
    };
    let same_owners = !allocation.servers().any(is_handed_on);
    let shared = [true, true, same_owners, same_servers].map(|same| same && old.is_running);
    let all = KEPT.into_iter().zip(same).chain(SHARED.into_iter().zip(shared));
    all.filter_map(|(name, same)| same.then_some(name)).collect()
}

/// What becomes of the connections in flow tables, of IPv4 and IPv6, that had other rows than now. One row is no table.
fn forgotten(before: [usize; 2], now: [usize; 2]) -> Option<String> {
    let tables = ["IPv4", "IPv6"].into_iter().zip(before.into_iter().zip(now));
    let others = tables.filter(|(_, (before, now))| before != now && *before > 1 && *now > 1);
    let sizes = others.map(|(family, (before, now))| {
        format!("the flow table of {family} held {} flows and holds {} now", before * SLOTS, now * SLOTS)
    });
    let sizes: Vec<String> = sizes.collect();
    (!sizes.is_empty()).then(|| {
        format!(
            "{}; the connections and persistence templates in it are lost, and only services that schedule by hash or are \
             sloppy_tcp go on with connections that they do not know",
            sizes.join(", ")
        )
    })
}

fn tables(ebpf: &Ebpf) -> anyhow::Result<Tables> {
    Ok(Tables {
        services: Table::open(map_data(ebpf, "services")?)?,
        servers: Table::open(map_data(ebpf, "servers")?)?,
        members: Table::open(map_data(ebpf, "members")?)?,
        cursors: Table::open(map_data(ebpf, "cursors")?)?,
        loads: Table::open(map_data(ebpf, "loads")?)?,
        policies: Table::open(map_data(ebpf, "policies")?)?,
        limits: Table::open(map_data(ebpf, "limits")?)?,
        recent: Recent::open(ebpf)?,
    })
}
