//! The bench's rig: a namespace with the generator and the sinks, and one for each program under test.
//!
//! ```text
//!   source: generate --> end0, end1, ... ----veth---- test0 with the program under test : its namespace
//!           sink     <--                          <-- XDP_TX --
//! ```

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lb_common::sched::Scheduler;
use lb_tests::config::Protocol;
use lb_tests::director::Director;
use lb_tests::netns::{self, Netns};
use lb_tests::wait;
use tempfile::TempDir;

use super::alone::Alone;
use super::load::{Load, Segment};
use super::peer::{Memory, Sharing};
use super::pool::{self, Pool};
use super::subject::{Program, Subject};
use super::traffic::{Figure, Traffic};

/// Where frames are sent to, in every namespace of a program under test.
pub(super) const VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 100);
/// Port of what is sent to a program that has no schedulers.
pub(super) const PORT: u16 = 80;
/// The MAC address of the interface under test.
pub(super) const DIRECTOR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x22];
/// The interface under test, in its namespace.
pub(super) const INTERFACE: &str = "test0";
const ELIGIBLE_BOUND: Duration = Duration::from_secs(30);
const BPFFS: &str = "/sys/fs/bpf";
/// More than the time for which a pool has to be the same before its ring alone says whose packets are, and two passes.
const SETTLED_BOUND: Duration = Duration::from_mins(1);

/// What a program is started with.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    /// Of a binary, virtual services for each.
    pub(super) schedulers: &'a [Scheduler],
    /// So many services for each; above one there is one scheduler.
    pub(super) services: u16,
    /// To so many of them frames are sent by turns, a power of two.
    pub(super) used: u16,
    /// The real servers of each.
    pub(super) pool: Pool,
    /// The MAC address of a real server by its number.
    pub(super) mac: fn(u16) -> [u8; 6],
    /// What the service of a scheduler, or another program, is sent.
    pub(super) transport: fn(Option<Scheduler>) -> Protocol,
    /// Each datagram is scheduled by itself.
    pub(super) one_packet: bool,
    /// Slots of the flow table.
    pub(super) flow_slots: u32,
    /// How long peers remember.
    pub(super) memory: Memory,
    /// From so many CPUs at once frames are sent, and as many queues has the cable.
    pub(super) cpus: usize,
}

impl Setting<'_> {
    /// What most tables have: one service for each scheduler, of datagrams, with neighbours that the sink knows.
    pub(super) fn usual(schedulers: &[Scheduler], pool: Pool, flow_slots: u32) -> Setting<'_> {
        let transport = |_| Protocol::Udp;
        Setting {
            schedulers,
            services: 1,
            used: 1,
            pool,
            mac: pool::mac,
            transport,
            one_packet: false,
            flow_slots,
            memory: Memory::Long,
            cpus: 1,
        }
    }
}

/// Everything that is set up once; taken down when it goes out of scope.
pub(super) struct Rig {
    // Fields drop in this order: daemons with their namespaces, programs, the source, files.
    hosts: Vec<Host>,
    traffic: Traffic,
    /// The first flow that was never used.
    fresh: u32,
    source: Netns,
    _dir: TempDir,
}

/// A namespace with a program under test.
struct Host {
    runs: Runs,
    /// Interface index of the source's end of the cable.
    end: u32,
    pool: Pool,
    /// Services of each scheduler.
    services: u16,
    /// So many of them are sent to.
    used: u16,
    transport: fn(Option<Scheduler>) -> Protocol,
    one_packet: bool,
}

/// What runs there, which keeps the namespace.
enum Runs {
    Kernel(Netns),
    Xlvs(Director),
}

impl Rig {
    /// Makes the namespaces and starts the programs in them, each with the setting.
    pub(super) fn alike(programs: &[Program], setting: Setting<'_>) -> Result<Self> {
        Self::new(programs.iter().map(|program| (program, setting)))
    }

    /// The same where each has a setting of its own.
    pub(super) fn new<'a>(programs: impl Iterator<Item = (&'a Program, Setting<'a>)>) -> Result<Self> {
        netns::remove_leftovers(Path::new(BPFFS), &std::env::temp_dir())?;
        let name = netns::unique_name();
        let dir = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir()?;
        let source = Netns::create(&format!("{name}-source"))?;
        let programs: Vec<_> = programs.collect();
        let cpus = programs.iter().map(|(_, setting)| setting.cpus).max().unwrap_or(1);
        let mut traffic = Traffic::new(cpus)?;
        let mut hosts = Vec::new();
        for (number, (program, setting)) in programs.into_iter().enumerate() {
            let (name, end) = (format!("{name}-{number}"), format!("end{number}"));
            let netns = connect(&name, &source, &end, cpus)?;
            let end = source.enter(|| traffic.attach("sink", &end))?;
            let dir = dir.path().join(&name);
            fs::create_dir(&dir)?;
            introduce(&netns, &setting, &dir)?;
            let runs = match program {
                Program::Swap | Program::Lru => {
                    netns.enter(|| traffic.attach(program.name(), INTERFACE))?;
                    Runs::Kernel(netns)
                }
                Program::Xlvs { binary, .. } => {
                    netns.ip(&format!("addr add {VIP}/32 dev {INTERFACE}"))?;
                    let director = start(&name, netns, binary, &dir, &setting);
                    Runs::Xlvs(director.with_context(|| binary.display().to_string())?)
                }
                Program::Peer(peer) => {
                    peer.start(&netns, setting.pool, (setting.transport)(None), setting.memory, &dir)?;
                    Runs::Kernel(netns)
                }
            };
            let Setting { pool, services, used, transport, one_packet, .. } = setting;
            hosts.push(Host { runs, end, pool, services, used, transport, one_packet });
        }
        Ok(Self { hosts, traffic, fresh: 0, source, _dir: dir })
    }

    /// From how many CPUs at once frames are sent.
    pub(super) const fn cpus(&self) -> usize {
        self.traffic.cpus()
    }

    /// The daemons of all binaries.
    pub(super) fn directors(&self) -> impl Iterator<Item = &Director> {
        self.hosts.iter().filter_map(Host::director)
    }

    /// The daemon of a subject that is of one.
    pub(super) fn director(&self, subject: &Subject) -> Option<&Director> {
        self.hosts[subject.host].director()
    }

    /// A program by itself.
    pub(super) fn alone(&self, subject: &Subject) -> Result<Alone<'_>> {
        match &self.hosts[subject.host].runs {
            Runs::Kernel(netns) => Alone::new(self.traffic.info(subject.program.name())?, netns, INTERFACE),
            Runs::Xlvs(director) => Alone::numbered(director.program_id()?, director.netns(), INTERFACE),
        }
    }

    /// Lets a program see every flow, in the order of their numbers.
    pub(super) fn warm_up(&mut self, subject: &Subject, flows: u32, frames: u32) -> Result<()> {
        // Twice at least, because the first time a frame may be lost.
        let load = Load { is_in_order: true, ..self.load(subject, flows) };
        self.send(subject, &load, frames.max(2 * flows))?;
        if load.protocol == Protocol::Tcp {
            let load = Load { segment: Segment::Going, ..load };
            self.send(subject, &load, frames.max(2 * flows))?;
        }
        self.hosts[subject.host].director().map_or(Ok(()), wait_settled)
    }

    /// Sends frames to a program, at least one of each flow, the flows in another order than that of the warm-up.
    pub(super) fn measure(&mut self, subject: &Subject, flows: u32, frames: u32) -> Result<Figure> {
        let frames = frames.max(flows);
        let before = self.opened(subject)?;
        let load = Load { segment: Segment::Going, ..self.load(subject, flows) };
        let figure = self.send(subject, &load, frames)?;
        let opened = self.opened(subject)?.zip(before).map(|(after, before)| after - before);
        let figure = Figure { opened, ..figure };
        ensure_all(subject, &figure)?;
        if let Some(opened) = opened {
            let returned = figure.returned;
            if subject.scheduler.is_some() && self.hosts[subject.host].one_packet {
                ensure!(opened >= returned, "{subject}: {opened} of {returned} frames were scheduled");
            } else {
                ensure!(
                    opened * 20 < returned,
                    "{subject}: {opened} of {returned} frames were not on the established path"
                );
            }
        }
        match subject.sharing() {
            Sharing::First => ensure_first(&figure),
            Sharing::As(scheduler) => {
                self.hosts[subject.host].pool.check_flows(scheduler, flows, &figure.received)
            }
        }
        .with_context(|| subject.to_string())?;
        Ok(figure)
    }

    /// Sends frames of which each is the first of its flow, and checks who was sent them.
    pub(super) fn open(&mut self, subject: &Subject, frames: u32) -> Result<Figure> {
        let load = Load { first: self.fresh, is_in_order: true, ..self.load(subject, u32::MAX) };
        self.fresh = self.fresh.wrapping_add(frames);
        let figure = self.send(subject, &load, frames)?;
        ensure_all(subject, &figure)?;
        match subject.sharing() {
            Sharing::First => ensure_first(&figure),
            Sharing::As(scheduler) => self.hosts[subject.host].pool.check(scheduler, &figure.received),
        }
        .with_context(|| subject.to_string())?;
        Ok(figure)
    }

    /// The connections that a binary counted for a scheduler's services.
    pub(super) fn connections(&self, host: usize, scheduler: Scheduler) -> Result<u64> {
        let Host { services, .. } = self.hosts[host];
        let ports = pool::port(scheduler)..pool::port(scheduler) + services;
        let status = self.hosts[host].director().context("it has no services")?.status()?;
        let own: Vec<_> = status.services.iter().filter(|service| ports.contains(&service.port)).collect();
        ensure!(own.len() == usize::from(services), "a service is missing");
        Ok(own.iter().map(|service| service.connections).sum())
    }

    fn send(&mut self, subject: &Subject, load: &Load, frames: u32) -> Result<Figure> {
        wait::check_interrupt()?;
        self.traffic.load(load)?;
        let servers = self.hosts[subject.host].pool.len();
        self.traffic.measure(&self.source, frames, servers).with_context(|| subject.to_string())
    }

    fn load(&self, subject: &Subject, flows: u32) -> Load {
        let host = &self.hosts[subject.host];
        Load {
            ifindex: host.end,
            first: 0,
            flows,
            is_in_order: false,
            vip: VIP.octets(),
            to: DIRECTOR_MAC,
            from: pool::mac(0),
            port: subject.scheduler.map_or(PORT, pool::port),
            ports: if subject.scheduler.is_some() { host.used } else { 1 },
            protocol: (host.transport)(subject.scheduler),
            segment: Segment::Opening,
            is_translated: subject.is_translating(),
        }
    }

    /// How many flows a program has seen as new ones; nothing, if it does not say.
    fn opened(&self, subject: &Subject) -> Result<Option<u64>> {
        match (&subject.program, subject.scheduler) {
            (Program::Lru, _) => self.traffic.missed().map(Some),
            (_, Some(scheduler)) => self.connections(subject.host, scheduler).map(Some),
            (_, None) => Ok(None),
        }
    }
}

impl Host {
    fn director(&self) -> Option<&Director> {
        match &self.runs {
            Runs::Kernel(_) => None,
            Runs::Xlvs(director) => Some(director),
        }
    }
}

/// Hardly a frame may be lost.
fn ensure_all(subject: &Subject, figure: &Figure) -> Result<()> {
    ensure!(
        figure.lost() * 100 <= figure.sent,
        "{subject}: {} of {} frames were not forwarded",
        figure.lost(),
        figure.sent
    );
    Ok(())
}

/// All frames must have gone to the first real server.
fn ensure_first(figure: &Figure) -> Result<()> {
    let first = figure.received.first().copied().unwrap_or_default();
    ensure!(first == figure.returned, "{first} of {} frames went to the first real server", figure.returned);
    Ok(())
}

/// The namespace `name` at the other end of a cable from the source with so many queues, with an address of a director.
fn connect(name: &str, source: &Netns, end: &str, queues: usize) -> Result<Netns> {
    let netns = Netns::create(name)?;
    let queues = format!("numtxqueues {queues} numrxqueues {queues}");
    source.ip(&format!(
        "link add {end} {queues} type veth peer name {INTERFACE} {queues} address {} netns {name}",
        text(DIRECTOR_MAC)
    ))?;
    source.ip(&format!("link set {end} up"))?;
    netns.ip(&format!("addr add 10.99.0.2/16 dev {INTERFACE}"))?;
    netns.ip(&format!("link set {INTERFACE} up"))?;
    Ok(netns)
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Makes the real servers known to `netns`.
fn introduce(netns: &Netns, setting: &Setting<'_>, dir: &Path) -> Result<()> {
    let mut commands = String::new();
    for number in 0..setting.pool.len() as u16 {
        let (address, mac) = (pool::address(number), text((setting.mac)(number)));
        writeln!(commands, "neigh add {address} lladdr {mac} dev {INTERFACE} nud permanent")?;
    }
    let file = dir.join("neighbours");
    fs::write(&file, commands)?;
    netns.ip(&format!("-batch {}", file.display())).map(drop)
}

fn start(name: &str, netns: Netns, binary: &Path, dir: &Path, setting: &Setting<'_>) -> Result<Director> {
    let pins = Path::new(BPFFS).join(name);
    let mut director = Director::new(netns, binary.to_owned(), vec![INTERFACE.to_owned()], dir, pins);
    director.set_options(&["--flow-slots", &setting.flow_slots.to_string()]);
    let services = setting.schedulers.iter().flat_map(|&scheduler| {
        let first = pool::port(scheduler);
        (first..first + setting.services).map(move |port| (port, scheduler))
    });
    let service = |(port, scheduler)| {
        let service = setting.pool.service(VIP, port, (setting.transport)(Some(scheduler)), scheduler);
        if setting.one_packet { service.line("ops") } else { service }.to_string()
    };
    director.start(&services.map(service).collect::<String>())?;
    let status = director.wait_status("all real servers to be up", ELIGIBLE_BOUND, |status| {
        status.services.iter().flat_map(|service| &service.servers).all(|server| server.state == "up")
    })?;
    ensure!(status.mode == "native", "xlvs is attached in {} mode", status.mode);
    Ok(director)
}

/// Waits until the services by hash are sent by their rings, as they are while their pools stay.
fn wait_settled(director: &Director) -> Result<()> {
    wait::until("the pools to be settled", SETTLED_BOUND, || {
        let [settled, others] = director.settled()?;
        Ok(match others {
            0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(format!("{settled} are and {others} are not")),
        })
    })
}
