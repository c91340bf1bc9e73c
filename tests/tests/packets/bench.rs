//! The real program with maps of its own, run on single frames by `BPF_PROG_TEST_RUN`.

mod attached;
mod services;

use std::{collections::BTreeMap, env, fs, net::IpAddr, path::Path, process::Command, time::Duration};

use anyhow::Context as _;
use aya::{
    TestRun as _,
    maps::{Array, Map, MapData},
    programs::{Program, TestRunOptions, Xdp},
};
use bytemuck::Pod;
use lb_common::{
    counters::{Counter, Counters},
    flow::{Bucket, Collected, Key4, Slot, State, TICK_SHIFT, ticks},
    layout::{Lease, MarkRule, NextHop, Stats},
};
use tempfile::TempDir;
use xlvs::{
    control::{Action, Director, Event, Way},
    explain::{Explanation, Question},
    io::{
        datapath::{Early, FlowMaps, Flows, Leases, Mode, OBJECT, Prepared, Settings},
        links::{Carrier, Link},
    },
    plan::{Difference, ServiceKey, Wanted},
};

pub(crate) use attached::{attach, attach_routers, attach_services, attached_program};
pub(crate) use services::{VIP4, VIP6, key, mac, rip, rip6, service, service_of, service6};

/// The MAC address of the interface that frames come in by.
pub(crate) const DIRECTOR: [u8; 6] = [0x02, 0, 0, 0, 0, 0xd1];
/// The MAC address of the other interface.
pub(crate) const OTHER_PORT: [u8; 6] = [0x02, 0, 0, 0, 0, 0xd2];

/// XDP actions by their numbers.
pub(crate) mod action {
    /// Drop.
    pub(crate) const DROP: u32 = 1;
    /// To the stack.
    pub(crate) const PASS: u32 = 2;
    /// Out of the same interface.
    pub(crate) const TX: u32 = 3;
    /// Out of another interface.
    pub(crate) const REDIRECT: u32 = 4;
}

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// XDP action.
    pub(crate) action: u32,
    /// The counters that went up, each by how much.
    pub(crate) counted: Vec<(&'static str, u64)>,
    /// The frame afterwards.
    pub(crate) frame: Vec<u8>,
}

/// A director on the bench: no interface, no daemon.
pub(crate) struct Bench {
    prepared: Prepared,
    /// For its pins, which are locked; it has none, for it is not attached.
    _pins: TempDir,
    /// The director's own view, for events.
    pub(crate) director: Director,
}

impl Bench {
    /// Loads the program for `services` in a network namespace of the calling thread's own. Needs root.
    pub(crate) fn new(services: &[Wanted]) -> anyhow::Result<Self> {
        Self::with(services, 4096, &[], 1500)
    }

    /// The same whose other interface has another MTU.
    pub(crate) fn with_mtu(services: &[Wanted], mtu: u32) -> anyhow::Result<Self> {
        Self::with(services, 4096, &[], mtu)
    }

    /// The same with virtual routers, whose leases the services name by row.
    pub(crate) fn with_routers(services: &[Wanted], routers: &[Lease]) -> anyhow::Result<Self> {
        Self::with(services, 4096, routers, 1500)
    }

    /// The same with a flow table of another size.
    pub(crate) fn with_flow_slots(services: &[Wanted], flow_slots: u32) -> anyhow::Result<Self> {
        Self::with(services, flow_slots, &[], 1500)
    }

    /// The same with rules for firewall marks.
    pub(crate) fn with_marks(
        services: &[Wanted],
        marks: &[MarkRule],
        routers: &[Lease],
    ) -> anyhow::Result<Self> {
        let settings = Settings { marks: marks.to_vec(), ..settings(Path::new(""), routers) };
        Self::with_settings(services, Settings { flow_slots: 65_536, ..settings }, 1500)
    }

    /// The same of the build that counts its lookups.
    pub(crate) fn counting(services: &[Wanted]) -> anyhow::Result<Self> {
        let file =
            env::var("XLVS_COUNTING_OBJECT").context("`cargo xtask test` builds and names the object")?;
        let object = fs::read(&file).context(file)?;
        // It is read until the process ends, as the one is that is part of it.
        let object = object.leak();
        Self::with_settings(services, Settings { object, ..settings(Path::new(""), &[]) }, 1500)
    }

    /// How many rows it has looked into, of [`Self::counting`].
    pub(crate) fn lookups(&self) -> anyhow::Result<u64> {
        let count = self.ebpf().map(".bss").context("this build counts no lookups")?;
        Ok(Array::<_, u64>::try_from(count)?.get(&0, 0)?)
    }

    fn with(services: &[Wanted], flow_slots: u32, routers: &[Lease], mtu: u32) -> anyhow::Result<Self> {
        let settings = Settings { flow_slots, ..settings(Path::new(""), routers) };
        Self::with_settings(services, settings, mtu)
    }

    fn with_settings(services: &[Wanted], mut settings: Settings, mtu: u32) -> anyhow::Result<Self> {
        // Frames of a test run come in by the loopback interface, which has index 1.
        settings.interfaces =
            vec![Link { mtu: 9000, ..link("lo", 1, DIRECTOR) }, Link { mtu, ..namespace()? }];
        let pins = tempfile::tempdir()?;
        pins.path().clone_into(&mut settings.pins);
        let mut prepared = Prepared::new(settings, services)?;
        let director = Director::new(services, &prepared.allocation);
        director.everything().iter().for_each(|action| prepared.apply(action));
        Ok(Self { prepared, _pins: pins, director })
    }

    /// Takes an event in, as the daemon would.
    pub(crate) fn event(&mut self, event: &Event) {
        for action in self.director.handle(event) {
            self.prepared.apply(&action);
        }
    }

    /// Takes many events in and publishes what they lead to at the end.
    pub(crate) fn events(&mut self, events: &[Event]) {
        for event in events {
            self.director.handle(event);
        }
        self.director.everything().iter().for_each(|action| self.prepared.apply(action));
    }

    /// The program's object with its maps.
    pub(crate) const fn ebpf(&self) -> &aya::Ebpf {
        self.prepared.ebpf()
    }

    /// Makes a change of the maps that the director knows nothing of.
    pub(crate) fn apply(&mut self, action: &Action) {
        self.prepared.apply(action);
    }

    /// Tells that a real server, by its addresses in both families, is reached through a port.
    pub(crate) fn resolve(&mut self, last: u8, port: u16) {
        for rip in [rip(last), rip6(last)] {
            self.event(&Event::Way(rip, Way::Through(NextHop { mac: mac(last), port })));
        }
    }

    /// The fragments that came too early, as the thread that lets them wait has them.
    pub(crate) fn early(&self) -> anyhow::Result<Early> {
        self.prepared.datapath().early()
    }

    /// The leases, as the thread that renews them has them.
    pub(crate) fn leases(&self) -> Leases {
        self.prepared.datapath().leases()
    }

    /// The totals of the program's counters.
    pub(crate) fn counters(&self) -> anyhow::Result<Counters> {
        self.prepared.datapath().counters()
    }

    /// The counts of a service's real server.
    pub(crate) fn stats(&self, port: u16, protocol: u8, last: u8) -> anyhow::Result<Stats> {
        self.prepared.datapath().stats(row(&self.director, port, protocol, last)?)
    }

    /// The counts of the real server of a service in IPv6.
    pub(crate) fn stats6(&self, port: u16, protocol: u8, last: u8) -> anyhow::Result<Stats> {
        self.prepared.datapath().stats(row_of(&self.director, &key(VIP6.into(), protocol, port), rip6(last))?)
    }

    /// Active and inactive connections of a service's real server.
    pub(crate) fn load(&self, port: u16, protocol: u8, last: u8) -> anyhow::Result<(u32, u32)> {
        Ok(self.load_of(row(&self.director, port, protocol, last)?))
    }

    /// Active and inactive connections of a row of `servers`.
    pub(crate) fn load_of(&self, row: u16) -> (u32, u32) {
        let load = self.prepared.datapath().load(row);
        (load.active, load.inactive)
    }

    /// Active and inactive connections of the real server of a service in IPv6.
    pub(crate) fn load6(&self, port: u16, protocol: u8, last: u8) -> anyhow::Result<(u32, u32)> {
        let row = row_of(&self.director, &key(VIP6.into(), protocol, port), rip6(last))?;
        let load = self.prepared.datapath().load(row);
        Ok((load.active, load.inactive))
    }

    /// The flow table, as the thread that collects has it.
    pub(crate) fn flows(&self) -> anyhow::Result<Flows> {
        self.prepared.datapath().flows()
    }

    /// What the program would do with a packet now.
    pub(crate) fn explain(
        &self,
        maps: &FlowMaps,
        question: &Question,
        now_ns: u64,
    ) -> Result<Explanation, String> {
        self.prepared.datapath().explain(maps, question, now_ns)
    }

    /// Packets to a row of `servers`.
    pub(crate) fn packets_of(&self, row: u16) -> u64 {
        self.prepared.datapath().stats(row).expect("a row").packets
    }

    /// Collects what will be over when nothing has come for so many seconds.
    pub(crate) fn collect_in(&self, seconds: u32) -> anyhow::Result<Collected> {
        let flows = self.flows()?;
        let [v4, v6] = flows.collect(0..flows.rows(), tick()? + ticks(seconds) + 1);
        Ok(v4.plus(v6))
    }

    /// Changes the timeout of a state.
    pub(crate) fn set_timeout(&self, state: State, seconds: u32) {
        let mut timeouts = self.prepared.datapath().timeouts();
        timeouts.set(state, seconds);
        self.prepared.datapath().set_timeouts(&timeouts);
    }

    /// Runs one frame through the program.
    pub(crate) fn run(&self, frame: &[u8]) -> anyhow::Result<Outcome> {
        let before = self.counters()?;
        let (action, out) = run(self.program()?, frame)?;
        let after = self.counters()?;
        let counted =
            Counter::ALL.iter().map(|counter| (counter.name(), counter.of(&after) - counter.of(&before)));
        Ok(Outcome { action, counted: counted.filter(|&(_, up)| up > 0).collect(), frame: out })
    }

    /// The program alone, for several threads.
    pub(crate) fn program(&self) -> anyhow::Result<&Xdp> {
        match self.prepared.ebpf().program("xlvs") {
            Some(Program::Xdp(program)) => Ok(program),
            _ => anyhow::bail!("the object has no program xlvs"),
        }
    }

    /// How many instructions the verifier followed.
    pub(crate) fn verified_instructions(&self) -> anyhow::Result<u32> {
        self.program()?.info()?.verified_instruction_count().context("the kernel does not tell (Linux 5.16)")
    }

    /// Gives the row of one real server to another, as a daemon with another configuration would.
    pub(crate) fn reassign(&mut self, services: &[Wanted]) -> anyhow::Result<()> {
        let allocation = self.prepared.allocation.assign(services)?;
        let difference = Difference::between(&self.director.services, services.to_vec());
        let next = self.director.reload(&difference, &allocation, &BTreeMap::new());
        for action in &self.director.adopt(&difference, next) {
            self.prepared.apply(action);
        }
        self.prepared.allocation = allocation;
        Ok(())
    }

    /// The buckets of the flow table, read one after the other.
    pub(crate) fn buckets(
        &self,
    ) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Bucket<Key4>>> + use<>> {
        buckets(self.prepared.ebpf())
    }

    /// All rows of a map.
    pub(crate) fn rows<T: Pod, const SIZE: usize>(&self, name: &str) -> anyhow::Result<Vec<T>> {
        let rows = array::<SIZE>(self.ebpf(), name)?;
        rows.iter().map(|row| Ok(bytemuck::pod_read_unaligned(&row?))).collect()
    }

    /// Empties a map, which nobody is told.
    pub(crate) fn clear<const SIZE: usize>(&self, name: &str) -> anyhow::Result<()> {
        let mut rows = array::<SIZE>(self.ebpf(), name)?;
        (0..rows.len()).try_for_each(|row| Ok(rows.set(row, [0; SIZE], 0)?))
    }

    /// How many slots of the flow table hold the flow of a client's port.
    pub(crate) fn copies_of_flow(&self, client_port: u16) -> anyhow::Result<usize> {
        self.count_slots(|slot| slot.key.client_port == client_port.to_be_bytes())
    }

    /// How many slots of the flow table hold such a flow or template.
    pub(crate) fn count_slots(&self, is_such: impl Fn(&Slot<Key4>) -> bool) -> anyhow::Result<usize> {
        count_slots(self.prepared.ebpf(), is_such)
    }
}

/// How many slots of a program's flow table hold such a flow or template.
pub(crate) fn count_slots(ebpf: &aya::Ebpf, is_such: impl Fn(&Slot<Key4>) -> bool) -> anyhow::Result<usize> {
    let mut count = 0;
    for bucket in buckets(ebpf)? {
        count += bucket?.slots.iter().filter(|slot| slot.state().is_living() && is_such(slot)).count();
    }
    Ok(count)
}

/// The buckets of a program's flow table, read one after the other.
fn buckets(ebpf: &aya::Ebpf) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Bucket<Key4>>> + use<>> {
    let flows = array::<{ size_of::<Bucket<Key4>>() }>(ebpf, "flows4")?;
    Ok((0..flows.len()).map(move |row| Ok(bytemuck::pod_read_unaligned(&flows.get(&row, 0)?))))
}

/// A map of rows with so many bytes.
pub(crate) fn array<const SIZE: usize>(
    ebpf: &aya::Ebpf,
    name: &str,
) -> anyhow::Result<Array<MapData, [u8; SIZE]>> {
    let Some(Map::Array(data)) = ebpf.map(name) else { anyhow::bail!("no map {name}") };
    Ok(Array::try_from(Map::Array(MapData::from_id(data.info()?.id())?))?)
}

/// The row of a service's real server.
pub(crate) fn row(director: &Director, port: u16, protocol: u8, last: u8) -> anyhow::Result<u16> {
    row_of(director, &key(VIP4.into(), protocol, port), rip(last))
}

fn row_of(director: &Director, key: &ServiceKey, rip: IpAddr) -> anyhow::Result<u16> {
    let server = director.services[key].servers.iter().find(|server| server.rip == rip);
    Ok(server.context("no such server")?.row.row)
}

/// The tick it is on the program's clock.
pub(crate) fn tick() -> anyhow::Result<u32> {
    Ok((now()?.as_nanos() >> TICK_SHIFT) as u32)
}

/// The nanoseconds of that clock.
pub(crate) fn now_ns() -> u64 {
    now().expect("a clock").as_nanos() as u64
}

fn now() -> nix::Result<Duration> {
    nix::time::ClockId::CLOCK_MONOTONIC_COARSE.now().map(Duration::from)
}

/// Moves the calling thread to a network namespace of its own, with one interface besides the loopback.
pub(crate) fn namespace() -> anyhow::Result<Link> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
        .context("a network namespace cannot be made: run the tests as root")?;
    let made =
        Command::new("ip").args("link add xlvs-out type veth peer name xlvs-far".split(' ')).status()?;
    anyhow::ensure!(made.success(), "no veth pair could be made");
    Ok(link("xlvs-out", nix::net::if_::if_nametoindex("xlvs-out")?, OTHER_PORT))
}

fn settings(pins: &Path, routers: &[Lease]) -> Settings {
    Settings {
        object: OBJECT,
        pins: pins.to_owned(),
        mode: Mode::Native,
        flow_slots: 4096,
        debug: false,
        interfaces: Vec::new(),
        leases: routers.to_vec(),
        marks: Vec::new(),
        owned: BTreeMap::new(),
    }
}

/// Runs one frame through a program: the XDP action and the frame afterwards.
pub(crate) fn run(program: &Xdp, frame: &[u8]) -> anyhow::Result<(u32, Vec<u8>)> {
    let mut out = vec![0; frame.len() + 256];
    let options = TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), ..TestRunOptions::new() };
    let result = program.test_run(options)?;
    out.truncate(result.data_size_out as usize);
    Ok((result.return_value, out))
}

/// Keeps the calling thread on one CPU.
pub(crate) fn pin_to(cpu: usize) -> anyhow::Result<()> {
    let mut set = nix::sched::CpuSet::new();
    set.set(cpu)?;
    Ok(nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set)?)
}

fn link(name: &str, index: u32, mac: [u8; 6]) -> Link {
    Link { name: name.to_owned(), index, mac: Some(mac), mtu: 1500, carrier: Carrier::Up, kind: None }
}
