//! The bench's rig: a namespace with the generator and the sinks, and one for each program under test.
//!
//! ```text
//!   source: generate --> swap, lru or xlvs ----veth---- test0 with the program under test : its namespace
//!           sink     <--                        <-- XDP_TX --
//! ```

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::EbpfLoader;
use lb_common::sched::Scheduler;
use lb_tests::config::Protocol;
use lb_tests::director::Director;
use lb_tests::netns::{self, Netns};
use lb_tests::status::Service;
use lb_tests::wait;
use tempfile::TempDir;

use super::pool::{self, Pool};
use super::subject::Subject;
use super::traffic::{Figure, Load, Traffic};

/// The most flows that the tables of the bare programs have room for.
pub(super) const MAX_FLOWS: u32 = 1_000_000;

/// Where frames are sent to, in every namespace of a program under test.
const VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 100);
/// Port of what is sent to a bare program.
const PORT: u16 = 80;
/// The MAC address of the interface under test.
const DIRECTOR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x22];
/// The interface under test, in its namespace.
const INTERFACE: &str = "test0";
const ELIGIBLE_BOUND: Duration = Duration::from_secs(30);
const BPFFS: &str = "/sys/fs/bpf";

/// What xlvs is started with.
pub(super) struct Setting<'a> {
    /// A virtual service for each.
    pub(super) schedulers: &'a [Scheduler],
    /// Its real servers.
    pub(super) pool: Pool,
    /// What the service of a scheduler, or a bare program, is sent.
    pub(super) transport: fn(Option<Scheduler>) -> Protocol,
    /// Slots of the flow table.
    pub(super) flow_slots: u32,
}

/// Everything that is set up once; taken down when it goes out of scope.
pub(super) struct Rig {
    // Fields drop in this order: the daemon, programs, namespaces, files.
    director: Director,
    traffic: Traffic,
    /// Interface indexes of the source's ends, in the order of [`Subject::PROGRAMS`].
    ends: [u32; Subject::PROGRAMS.len()],
    pool: Pool,
    transport: fn(Option<Scheduler>) -> Protocol,
    /// The first flow that was never used.
    fresh: u32,
    source: Netns,
    _bare: [Netns; 2],
    _dir: TempDir,
}

impl Rig {
    /// Makes the namespaces, attaches the bare programs of `object` and starts `binary`.
    pub(super) fn new(object: &Path, binary: &Path, setting: &Setting<'_>) -> Result<Self> {
        netns::remove_leftovers(Path::new(BPFFS), &std::env::temp_dir())?;
        let name = netns::unique_name();
        let dir = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir()?;
        let source = Netns::create(&format!("{name}-source"))?;
        let [swap, lru, director] = Subject::PROGRAMS.map(|program| connect(&name, &source, program));
        let (bare, director) = ([swap?, lru?], director?);

        let ebpf =
            EbpfLoader::new().load_file(object).with_context(|| format!("loading {}", object.display()))?;
        let mut traffic = Traffic::new(ebpf)?;
        let mut ends = [0; Subject::PROGRAMS.len()];
        for (end, program) in ends.iter_mut().zip(Subject::PROGRAMS) {
            *end = source.enter(|| traffic.attach("sink", program))?;
        }
        for (netns, program) in bare.iter().zip(Subject::PROGRAMS) {
            netns.enter(|| traffic.attach(program, INTERFACE))?;
        }
        let director = start(&name, director, binary, dir.path(), setting)?;
        let Setting { pool, transport, .. } = *setting;
        Ok(Self { director, traffic, ends, pool, transport, fresh: 0, source, _bare: bare, _dir: dir })
    }

    /// Xlvs.
    pub(super) const fn director(&self) -> &Director {
        &self.director
    }

    /// Lets a program see every flow, in the order of their numbers.
    pub(super) fn warm_up(&mut self, subject: Subject, flows: u32, frames: u32) -> Result<()> {
        // Twice at least, because the first time a frame may be lost.
        let load = Load { step: u32::from(flows > 1), ..self.load(subject, flows) };
        self.send(subject, &load, frames.max(2 * flows)).map(drop)
    }

    /// Sends frames to a program, the flows in another order than that of the warm-up.
    pub(super) fn measure(&mut self, subject: Subject, flows: u32, frames: u32) -> Result<Figure> {
        let before = self.opened(subject)?;
        let figure = self.send(subject, &self.load(subject, flows), frames)?;
        let figure = Figure { opened: self.opened(subject)? - before, ..figure };
        ensure!(
            figure.opened * 20 < figure.returned,
            "{subject}: {} of {} frames were not on the established path",
            figure.opened,
            figure.returned
        );
        Ok(figure)
    }

    /// Sends frames of which each is the first of its flow, and checks who was sent them.
    pub(super) fn open(&mut self, subject: Subject, frames: u32) -> Result<Figure> {
        let load = Load { first: self.fresh, step: 1, ..self.load(subject, u32::MAX) };
        self.fresh = self.fresh.wrapping_add(frames);
        let figure = self.send(subject, &load, frames)?;
        ensure!(
            figure.lost() * 100 <= figure.sent,
            "{subject}: {} of {} new connections were not forwarded",
            figure.lost(),
            figure.sent
        );
        if let Subject::Xlvs(scheduler) = subject {
            self.pool.check(scheduler, &figure.received).with_context(|| subject.to_string())?;
        }
        Ok(figure)
    }

    /// The status of a scheduler's service.
    pub(super) fn service(&self, scheduler: Scheduler) -> Result<Service> {
        let port = pool::port(scheduler);
        let mut services = self.director.status()?.services.into_iter();
        services.find(|service| service.port == port).context("a service is missing")
    }

    fn send(&mut self, subject: Subject, load: &Load, frames: u32) -> Result<Figure> {
        wait::check_interrupt()?;
        self.traffic.load(load)?;
        let servers = self.pool.len();
        self.traffic.measure(&self.source, frames, servers).with_context(|| subject.to_string())
    }

    fn load(&self, subject: Subject, flows: u32) -> Load {
        Load {
            ifindex: self.ends[subject.place()],
            first: 0,
            flows,
            step: step(flows),
            vip: VIP.octets(),
            to: DIRECTOR_MAC,
            from: pool::mac(0),
            port: subject.scheduler().map_or(PORT, pool::port),
            protocol: (self.transport)(subject.scheduler()),
        }
    }

    /// How many flows a program has seen as new ones.
    fn opened(&self, subject: Subject) -> Result<u64> {
        match subject {
            Subject::Swap => Ok(0),
            Subject::Lru => self.traffic.missed(),
            Subject::Xlvs(scheduler) => Ok(self.service(scheduler)?.connections),
        }
    }
}

/// Visiting flows so far apart shows no two near ones together, as memory laid out by arrival would like.
fn step(flows: u32) -> u32 {
    let golden = u64::from(flows) * 618 / 1000;
    (golden as u32..flows).find(|&step| gcd(step, flows) == 1).unwrap_or(0)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A namespace for `program` at the other end of a veth pair from the source, with the addresses of a director.
fn connect(name: &str, source: &Netns, program: &str) -> Result<Netns> {
    let netns = Netns::create(&format!("{name}-{program}"))?;
    source.ip(&format!(
        "link add {program} type veth peer name {INTERFACE} address {} netns {}",
        text(DIRECTOR_MAC),
        netns.name()
    ))?;
    source.ip(&format!("link set {program} up"))?;
    netns.ip(&format!("addr add 10.99.0.2/16 dev {INTERFACE}"))?;
    netns.ip(&format!("addr add {VIP}/32 dev {INTERFACE}"))?;
    netns.ip(&format!("link set {INTERFACE} up"))?;
    Ok(netns)
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Makes the real servers known to `netns`.
fn introduce(netns: &Netns, pool: Pool, dir: &Path) -> Result<()> {
    let mut commands = String::new();
    for number in 0..pool.len() as u16 {
        let (address, mac) = (pool::address(number), text(pool::mac(number)));
        writeln!(commands, "neigh add {address} lladdr {mac} dev {INTERFACE} nud permanent")?;
    }
    let file = dir.join("neighbours");
    fs::write(&file, commands)?;
    netns.ip(&format!("-batch {}", file.display())).map(drop)
}

fn start(name: &str, netns: Netns, binary: &Path, dir: &Path, setting: &Setting<'_>) -> Result<Director> {
    let dir = dir.join("director");
    fs::create_dir(&dir)?;
    introduce(&netns, setting.pool, &dir)?;
    let pins = Path::new(BPFFS).join(name);
    let mut director = Director::new(netns, binary.to_owned(), vec![INTERFACE.to_owned()], &dir, pins);
    director.set_options(&["--flow-slots", &setting.flow_slots.to_string()]);
    let service = |&scheduler: &Scheduler| {
        setting.pool.service(VIP, (setting.transport)(Some(scheduler)), scheduler).to_string()
    };
    director.start(&setting.schedulers.iter().map(service).collect::<String>())?;
    let status = director.wait_status("all real servers to be up", ELIGIBLE_BOUND, |status| {
        status.services.iter().flat_map(|service| &service.servers).all(|server| server.state == "up")
    })?;
    ensure!(status.mode == "native", "xlvs is attached in {} mode", status.mode);
    Ok(director)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_visits_every_flow_once() {
        for flows in [1, 2, 3, 7, 10, 100, 10_000, 65_536] {
            let step = step(flows);
            let mut seen = vec![false; flows as usize];
            let mut flow = 0;
            for _ in 0..flows {
                assert!(!std::mem::replace(&mut seen[flow as usize], true), "{flows} flows, step {step}");
                flow = (flow + step) % flows;
            }
        }
    }
}
