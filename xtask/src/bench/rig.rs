//! The bench's rig: a namespace with the generator and the sink, one more for each program under test.

use std::ops::ControlFlow;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, Map, MapData, PerCpuArray};
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader};
use lb_tests::netns::{Netns, unique_name};
use lb_tests::process::Running;
use lb_tests::wait;
use nix::sys::signal::Signal;
use tempfile::TempDir;

/// Where frames are sent to, in every namespace of a program under test.
const VIP: [u8; 4] = [10, 99, 0, 100];
/// The MAC address of xlvs's real server, and for the other programs that of the generator.
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x11];
/// The MAC address of the interface under test.
const DIRECTOR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x22];
const FRAME: usize = 60;
/// Flows of xlvs's table: enough that buckets of the largest run have room.
const FLOW_SLOTS: &str = "4194304";
const BOUND: Duration = Duration::from_secs(10);

/// A program under test.
#[derive(Clone, Copy)]
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

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Swap => "MAC swap, XDP_TX (the floor)",
            Self::Lru => "one LRU_HASH lookup, XDP_TX",
            Self::Xlvs => "xlvs, service and flow table, XDP_TX",
        }
    }

    const fn short(self) -> &'static str {
        match self {
            Self::Swap => "swap",
            Self::Lru => "lru",
            Self::Xlvs => "xlvs",
        }
    }
}

/// Everything that is set up once.
pub(super) struct Rig {
    // Fields drop in this order: the daemon, then programs, then namespaces, then files.
    _daemon: Stopping,
    ebpf: Ebpf,
    /// Interface indexes of the generator's ends, in the order of [`Subject::ALL`].
    ends: Vec<u32>,
    source: Netns,
    _subjects: Vec<Netns>,
    _dir: TempDir,
}

impl Rig {
    pub(super) fn new(object: &Path, binary: &Path) -> Result<Self> {
        let name = unique_name();
        let dir = tempfile::tempdir()?;
        let source = Netns::create(&format!("{name}-source"))?;
        let mut subjects = Vec::new();
        for subject in Subject::ALL {
            subjects.push(connect(&name, &source, subject)?);
        }
        let mut ebpf =
            EbpfLoader::new().load_file(object).with_context(|| format!("loading {}", object.display()))?;
        for program in ["generate", "sink", "swap", "lru"] {
            xdp(&mut ebpf, program)?.load().with_context(|| format!("the kernel refuses {program}"))?;
        }
        let mut ends = Vec::new();
        for subject in Subject::ALL {
            ends.push(source.enter(|| attach(&mut ebpf, "sink", subject.short()))?);
        }
        subjects[0].enter(|| attach(&mut ebpf, "swap", "test0"))?;
        subjects[1].enter(|| attach(&mut ebpf, "lru", "test0"))?;
        let daemon = start(&name, &subjects[2], binary, dir.path())?;
        Ok(Self { _daemon: daemon, ebpf, ends, source, _subjects: subjects, _dir: dir })
    }

    /// Sends `frames` frames of `flows` flows to a program; the rate is that of the frames that came back right.
    pub(super) fn measure(&mut self, subject: Subject, flows: u32, frames: u32) -> Result<super::Figure> {
        self.set_load(self.ends[subject as usize], flows)?;
        let before = self.arrived()?;
        let generator = xdp(&mut self.ebpf, "generate")?;
        let elapsed = self.source.enter(|| generate(generator, frames))?;
        let after = self.arrived()?;
        let (right, wrong) = (after[0] - before[0], after[1] - before[1]);
        ensure!(right > 0, "{}: nothing came back", subject.title());
        ensure!(
            wrong * 1000 < right,
            "{}: {wrong} frames came back wrong and {right} right",
            subject.title()
        );
        Ok(super::Figure {
            rate: right as f64 / elapsed.as_secs_f64() / 1e6,
            loss: 1.0 - right as f64 / f64::from(frames),
        })
    }

    fn set_load(&self, ifindex: u32, flows: u32) -> Result<()> {
        let mut load = [0; 24];
        load[..4].copy_from_slice(&ifindex.to_ne_bytes());
        load[4..8].copy_from_slice(&flows.to_ne_bytes());
        load[8..12].copy_from_slice(&VIP);
        load[12..18].copy_from_slice(&DIRECTOR_MAC);
        load[18..24].copy_from_slice(&SERVER_MAC);
        Array::<_, [u8; 24]>::try_from(self.map("load")?)?.set(0, load, 0)?;
        Ok(())
    }

    /// Frames that came back right and wrong.
    fn arrived(&self) -> Result<[u64; 2]> {
        let rows = PerCpuArray::<_, [u64; 2]>::try_from(self.map("arrived")?)?.get(&0, 0)?;
        Ok(rows.iter().fold([0; 2], |sum, row| [sum[0] + row[0], sum[1] + row[1]]))
    }

    fn map(&self, name: &str) -> Result<Map> {
        let Some(Map::Array(data) | Map::PerCpuArray(data)) = self.ebpf.map(name) else {
            anyhow::bail!("the object has no map {name}")
        };
        Ok(Map::from_map_data(MapData::from_id(data.info()?.id())?)?)
    }
}

fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    Ok(ebpf.program_mut(name).with_context(|| format!("the object has no program {name}"))?.try_into()?)
}

/// Attaches a program natively in the namespace of the calling thread; says the interface's index there.
fn attach(ebpf: &mut Ebpf, program: &str, interface: &str) -> Result<u32> {
    xdp(ebpf, program)?
        .attach(interface, XdpMode::Driver)
        .with_context(|| format!("{program} on {interface}"))?;
    Ok(nix::net::if_::if_nametoindex(interface)?)
}

fn generate(generator: &Xdp, frames: u32) -> Result<Duration> {
    let frame = [0; FRAME];
    let started = Instant::now();
    generator.test_run(TestRunOptions {
        data_in: Some(&frame),
        repeat: frames,
        attrs: TestRunAttrs::new().xdp_live_frames(64),
        ..TestRunOptions::new()
    })?;
    Ok(started.elapsed())
}

/// A namespace for `subject` at the other end of a veth pair from the source, with the addresses of a director.
fn connect(name: &str, source: &Netns, subject: Subject) -> Result<Netns> {
    let own = subject.short();
    let netns = Netns::create(&format!("{name}-{own}"))?;
    let mac = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
    source.ip(&format!(
        "link add {own} type veth peer name test0 address {} netns {}",
        mac(DIRECTOR_MAC),
        netns.name()
    ))?;
    source.ip(&format!("link set {own} up"))?;
    netns.ip("addr add 10.99.0.2/24 dev test0")?;
    netns.ip("addr add 10.99.0.100/32 dev test0")?;
    netns.ip("link set test0 up")?;
    netns.ip(&format!("neigh add 10.99.0.11 lladdr {} dev test0 nud permanent", mac(SERVER_MAC)))?;
    Ok(netns)
}

const CONFIG: &str = "virtual_server 10.99.0.100 80 {
    lb_algo rr
    lb_kind DR
    protocol UDP
    real_server 10.99.0.11 80 {
        weight 1
    }
}
";

/// The daemon, stopped as an operator would when the rig goes.
struct Stopping(Running);

impl Drop for Stopping {
    fn drop(&mut self) {
        if let Err(error) = self.0.stop(Signal::SIGTERM, BOUND) {
            eprintln!("{error:#}");
        }
    }
}

fn start(name: &str, netns: &Netns, binary: &Path, dir: &Path) -> Result<Stopping> {
    let config = dir.join("keepalived.conf");
    std::fs::write(&config, CONFIG)?;
    let mut command = netns.command(binary)?;
    command.args(["run", "--iface", "test0", "--log", "warn", "--flow-slots", FLOW_SLOTS, "-f"]).arg(&config);
    command.arg("--state-dir").arg(dir).arg("--pin-dir").arg(Path::new("/sys/fs/bpf").join(name));
    let mut daemon = Stopping(Running::start("xlvs", command.stdout(Stdio::null()).process_group(0))?);
    wait::until("xlvs to forward", BOUND, || {
        if let Some(status) = daemon.0.exited()? {
            anyhow::bail!("xlvs ended: {status}");
        }
        let status = Command::new(binary).args(["status", "--json", "--state-dir"]).arg(dir).output()?;
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        if status["services"][0]["servers"][0]["eligible"] == true {
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(format!("it says {status}")))
    })?;
    Ok(daemon)
}
