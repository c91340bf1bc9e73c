//! The bench's rig: a namespace with the generator and the sinks, and one for each program under test.
//!
//! ```text
//!   source: generate --> swap, lru or xlvs ----veth---- test0 with the program under test : its namespace
//!           sink     <--                        <-- XDP_TX --
//! ```

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::EbpfLoader;
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::director::Director;
use lb_tests::netns::{self, Netns};
use lb_tests::wait;
use tempfile::TempDir;

use super::traffic::{Figure, Load, Traffic};

/// The most flows that every table of the programs under test has room for.
pub(super) const MAX_FLOWS: u32 = 1_000_000;

/// Where frames are sent to, in every namespace of a program under test.
const VIP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 100);
/// Port of the virtual service, the one that the generator writes.
const PORT: u16 = 80;
/// The real server, which is only a neighbour entry.
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 11);
/// Its MAC address, and for the bare programs that of the generator: where frames must come back to.
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x11];
/// The MAC address of the interface under test.
const DIRECTOR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x22];
/// The interface under test, in its namespace.
const INTERFACE: &str = "test0";
/// Slots of xlvs's flow table, four for each flow so that few buckets overflow.
const FLOW_SLOTS: &str = "4194304";
const ELIGIBLE_BOUND: Duration = Duration::from_secs(10);
const BPFFS: &str = "/sys/fs/bpf";

/// A program under test.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// Two MAC addresses change places.
    Swap,
    /// One lookup in an `LRU_HASH`, then the same.
    Lru,
    /// The binary.
    Xlvs,
}

impl Subject {
    pub(super) const ALL: [Self; 3] = [Self::Swap, Self::Lru, Self::Xlvs];
    /// What the others are compared with.
    pub(super) const FLOOR: Self = Self::Swap;

    /// What the table calls it.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Swap => "MAC swap, XDP_TX (the floor)",
            Self::Lru => "one LRU_HASH lookup, XDP_TX",
            Self::Xlvs => "xlvs, direct routing, XDP_TX",
        }
    }

    /// The name of its interface in the source's namespace, and of a bare program.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Swap => "swap",
            Self::Lru => "lru",
            Self::Xlvs => "xlvs",
        }
    }
}

/// Everything that is set up once; taken down when it goes out of scope.
pub(super) struct Rig {
    // Fields drop in this order: the daemon, programs, namespaces, files.
    director: Director,
    traffic: Traffic,
    /// Interface indexes of the source's ends, in the order of [`Subject::ALL`].
    ends: [u32; Subject::ALL.len()],
    source: Netns,
    _bare: [Netns; 2],
    _dir: TempDir,
}

impl Rig {
    /// Makes the namespaces, attaches the bare programs of `object` and starts `binary`.
    pub(super) fn new(object: &Path, binary: &Path) -> Result<Self> {
        netns::remove_leftovers(Path::new(BPFFS), &std::env::temp_dir())?;
        let name = netns::unique_name();
        let dir = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir()?;
        let source = Netns::create(&format!("{name}-source"))?;
        let bare = [connect(&name, &source, Subject::Swap)?, connect(&name, &source, Subject::Lru)?];
        let director = connect(&name, &source, Subject::Xlvs)?;

        let ebpf =
            EbpfLoader::new().load_file(object).with_context(|| format!("loading {}", object.display()))?;
        let mut traffic = Traffic::new(ebpf)?;
        let mut ends = [0; Subject::ALL.len()];
        for subject in Subject::ALL {
            ends[subject as usize] = source.enter(|| traffic.attach("sink", subject.name()))?;
        }
        for (netns, subject) in bare.iter().zip([Subject::Swap, Subject::Lru]) {
            netns.enter(|| traffic.attach(subject.name(), INTERFACE))?;
        }
        let director = start(&name, director, binary, dir.path())?;
        Ok(Self { director, traffic, ends, source, _bare: bare, _dir: dir })
    }

    /// Lets a program see every flow, in the order of their numbers.
    pub(super) fn warm_up(&mut self, subject: Subject, flows: u32, frames: u32) -> Result<()> {
        self.traffic.load(&Load { step: u32::from(flows > 1), ..self.load_of(subject, flows) })?;
        // Twice at least, because the first time a frame may be lost.
        self.traffic.measure(&self.source, frames.max(2 * flows)).context(subject.title())?;
        Ok(())
    }

    /// Sends frames to a program, the flows in another order than that of the warm-up.
    pub(super) fn measure(&mut self, subject: Subject, flows: u32, frames: u32) -> Result<Figure> {
        wait::check_interrupt()?;
        self.traffic.load(&self.load_of(subject, flows))?;
        let before = self.opened(subject)?;
        let figure = self.traffic.measure(&self.source, frames).context(subject.title())?;
        let figure = Figure { opened: self.opened(subject)? - before, ..figure };
        ensure!(
            figure.opened * 20 < figure.returned,
            "{}: {} of {} frames were not on the established path",
            subject.title(),
            figure.opened,
            figure.returned
        );
        Ok(figure)
    }

    fn load_of(&self, subject: Subject, flows: u32) -> Load {
        Load {
            ifindex: self.ends[subject as usize],
            flows,
            step: step(flows),
            vip: VIP.octets(),
            to: DIRECTOR_MAC,
            from: SERVER_MAC,
        }
    }

    /// How many flows a program has seen as new ones.
    fn opened(&self, subject: Subject) -> Result<u64> {
        match subject {
            Subject::Swap => Ok(0),
            Subject::Lru => self.traffic.missed(),
            Subject::Xlvs => Ok(self.director.status()?.service()?.connections),
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

/// A namespace for `subject` at the other end of a veth pair from the source, with the addresses of a director.
fn connect(name: &str, source: &Netns, subject: Subject) -> Result<Netns> {
    let own = subject.name();
    let netns = Netns::create(&format!("{name}-{own}"))?;
    source.ip(&format!(
        "link add {own} type veth peer name {INTERFACE} address {} netns {}",
        text(DIRECTOR_MAC),
        netns.name()
    ))?;
    source.ip(&format!("link set {own} up"))?;
    netns.ip(&format!("addr add 10.99.0.2/24 dev {INTERFACE}"))?;
    netns.ip(&format!("addr add {VIP}/32 dev {INTERFACE}"))?;
    netns.ip(&format!("link set {INTERFACE} up"))?;
    netns.ip(&format!("neigh add {SERVER} lladdr {} dev {INTERFACE} nud permanent", text(SERVER_MAC)))?;
    Ok(netns)
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn start(name: &str, netns: Netns, binary: &Path, dir: &Path) -> Result<Director> {
    let dir = dir.join("director");
    fs::create_dir(&dir)?;
    let pins = Path::new(BPFFS).join(name);
    let mut director = Director::new(netns, binary.to_owned(), vec![INTERFACE.to_owned()], &dir, pins);
    director.set_options(&["--flow-slots", FLOW_SLOTS]);
    let service = VirtualServer::new(VIP, PORT, Protocol::Udp, "rr").unchecked(SERVER, 1);
    director.start(&service.to_string())?;
    let status = director.wait_status("an eligible real server", ELIGIBLE_BOUND, |status| {
        status.server(SERVER).is_ok_and(|server| server.eligible)
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
