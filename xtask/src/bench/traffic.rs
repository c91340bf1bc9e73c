//! Drives the generator and reads what came back: the bench's BPF object from outside.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use aya::Ebpf;
use aya::maps::{Array, Map, MapData, PerCpuArray};
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp, XdpMode};
use lb_tests::wait;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Bytes of a frame, the least Ethernet allows (without the frame check sequence).
pub(super) const FRAME: usize = 60;
/// Frames in one system call: some ten milliseconds, so that an interval ends about when it should.
const CALL: u32 = 1 << 17;
/// Frames that the generator hands over at once.
const BATCH: u32 = 64;
/// How long a frame may be under way after the generator has ended.
const SETTLING: Duration = Duration::from_millis(100);

/// What the generator sends, and so what the sink expects.
pub(super) struct Load {
    /// The interface to send into.
    pub(super) ifindex: u32,
    /// Number of flows.
    pub(super) flows: u32,
    /// From one flow to the next.
    pub(super) step: u32,
    /// Destination address.
    pub(super) vip: [u8; 4],
    /// Destination MAC address, and the source of what comes back.
    pub(super) to: [u8; 6],
    /// Source MAC address, and the destination of what comes back.
    pub(super) from: [u8; 6],
}

/// One measurement.
#[derive(Clone, Copy)]
pub(super) struct Figure {
    /// How long the generator ran.
    pub(super) elapsed: Duration,
    /// Frames it sent.
    pub(super) sent: u64,
    /// Frames that came back right.
    pub(super) returned: u64,
    /// Frames that the program under test took for a flow's first.
    pub(super) opened: u64,
}

impl Figure {
    /// Million packets that came back in a second.
    pub(super) fn mpps(&self) -> f64 {
        self.returned as f64 / self.elapsed.as_secs_f64() / 1e6
    }

    /// Frames that did not come back.
    pub(super) const fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.returned)
    }
}

/// The loaded object.
pub(super) struct Traffic {
    ebpf: Ebpf,
}

impl Traffic {
    /// Loads the object's programs.
    pub(super) fn new(ebpf: Ebpf) -> Result<Self> {
        let mut traffic = Self { ebpf };
        for name in ["generate", "sink", "swap", "lru"] {
            traffic.program(name)?.load().with_context(|| format!("the kernel refuses {name}"))?;
        }
        Ok(traffic)
    }

    /// Attaches a program natively in the namespace of the calling thread; says the interface's index there.
    pub(super) fn attach(&mut self, program: &str, interface: &str) -> Result<u32> {
        self.program(program)?
            .attach(interface, XdpMode::Driver)
            .with_context(|| format!("{program} on {interface}"))?;
        Ok(nix::net::if_::if_nametoindex(interface)?)
    }

    /// Sets what is sent from now on, beginning with the first flow.
    pub(super) fn load(&self, load: &Load) -> Result<()> {
        let mut row = [0; 28];
        let fields: [&[u8]; 6] = [
            &load.ifindex.to_ne_bytes(),
            &load.flows.to_ne_bytes(),
            &load.step.to_ne_bytes(),
            &load.vip,
            &load.to,
            &load.from,
        ];
        row.copy_from_slice(&fields.concat());
        Array::<_, [u8; 28]>::try_from(self.map("load")?)?.set(0, row, 0)?;
        Ok(Array::<_, u32>::try_from(self.map("next")?)?.set(0, 0, 0)?)
    }

    /// Sends from the calling thread's namespace, on one CPU.
    pub(super) fn send(&mut self, frames: u32) -> Result<()> {
        stay_on_one_cpu()?;
        self.call(frames)
    }

    /// Sends for `interval` as [`Self::send`] does, and counts what comes back meanwhile.
    pub(super) fn measure(&mut self, interval: Duration) -> Result<Figure> {
        stay_on_one_cpu()?;
        let [right_before, wrong_before] = self.arrived()?;
        let started = Instant::now();
        let mut sent = 0;
        while started.elapsed() < interval {
            wait::check_interrupt()?;
            self.call(CALL)?;
            sent += u64::from(CALL);
        }
        let elapsed = started.elapsed();
        let [right, wrong] = self.settled(right_before + wrong_before + sent)?;
        let (returned, wrong) = (right - right_before, wrong - wrong_before);
        ensure!(wrong == 0, "{wrong} frames came back wrong and {returned} right");
        ensure!(returned > 0, "nothing came back");
        Ok(Figure { elapsed, sent, returned, opened: 0 })
    }

    /// Frames that the bare program with a table had not seen before.
    pub(super) fn missed(&self) -> Result<u64> {
        Ok(PerCpuArray::<_, u64>::try_from(self.map("missed")?)?.get(&0, 0)?.iter().sum())
    }

    fn call(&mut self, frames: u32) -> Result<()> {
        // The generator overwrites every byte: a frame that was sent is used again as it came back.
        let frame = [0; FRAME];
        self.program("generate")?.test_run(TestRunOptions {
            data_in: Some(&frame),
            repeat: frames,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::new()
        })?;
        Ok(())
    }

    /// Frames that came back right and wrong in all, once `expected` have or none is under way any more.
    fn settled(&self, expected: u64) -> Result<[u64; 2]> {
        let end = Instant::now() + SETTLING;
        loop {
            let arrived = self.arrived()?;
            if arrived[0] + arrived[1] >= expected || Instant::now() >= end {
                return Ok(arrived);
            }
            std::thread::yield_now();
        }
    }

    /// Frames that came back right and wrong in all.
    fn arrived(&self) -> Result<[u64; 2]> {
        let rows = PerCpuArray::<_, [u64; 2]>::try_from(self.map("arrived")?)?.get(&0, 0)?;
        Ok(rows.iter().fold([0; 2], |sum, row| [sum[0] + row[0], sum[1] + row[1]]))
    }

    fn program(&mut self, name: &str) -> Result<&mut Xdp> {
        let program = self.ebpf.program_mut(name);
        Ok(program.with_context(|| format!("the object has no program {name}"))?.try_into()?)
    }

    fn map(&self, name: &str) -> Result<Map> {
        let Some(Map::Array(data) | Map::PerCpuArray(data)) = self.ebpf.map(name) else {
            bail!("the object has no map {name}")
        };
        Ok(Map::from_map_data(MapData::from_id(data.info()?.id())?)?)
    }
}

/// Keeps the calling thread on the last CPU it may use: the veth's work follows the generator there.
fn stay_on_one_cpu() -> Result<()> {
    let this = Pid::from_raw(0);
    let allowed = sched_getaffinity(this)?;
    let last = (0..CpuSet::count()).rev().find(|&cpu| allowed.is_set(cpu).unwrap_or(false));
    let mut one = CpuSet::new();
    one.set(last.context("this thread may use no CPU")?)?;
    sched_setaffinity(this, &one).context("keeping the generator on one CPU")
}
