//! Drives the generator and reads what came back: the bench's BPF object from outside.

use std::net::Ipv4Addr;
use std::sync::mpsc;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, PerCpuValues};
use aya::programs::{Program, ProgramInfo, TestRun as _, TestRunAttrs, TestRunOptions, Xdp, XdpMode};
use aya::util::nr_cpus;
use aya::{Ebpf, EbpfLoader};
use lb_tests::config::Protocol;
use lb_tests::frame::Mac;
use lb_tests::netns::Netns;
use lb_tests::process::come_first;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::load::{Load, ROW, Segment};
use super::turns::Turns;
use crate::workspace;

/// Bytes of a frame, the least Ethernet allows (without the frame check sequence).
pub(super) const FRAME: usize = 60;
/// Frames that the generator hands over at once.
const BATCH: u32 = 64;
/// How often the sink's count is read.
const SAMPLING: Duration = Duration::from_millis(2);
/// How long a frame may be under way after the generator has ended.
const SETTLING: Duration = Duration::from_millis(100);

/// One measurement.
#[derive(Clone)]
pub(super) struct Figure {
    /// Million packets that came back in a second in which generators had their CPUs.
    pub(super) mpps: f64,
    /// Frames sent.
    pub(super) sent: u64,
    /// Frames that came back right.
    pub(super) returned: u64,
    /// Frames that the program under test took for a flow's first, where it can be asked.
    pub(super) opened: Option<u64>,
    /// The part of the time in which other programs had a generator's CPU, where it can be told.
    pub(super) taken: Option<f64>,
    /// Frames that came back right, by the number of their real server.
    pub(super) received: Vec<u64>,
}

impl Figure {
    /// Frames that did not come back.
    pub(super) const fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.returned)
    }
}

/// The sink's count at a moment.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    returned: u64,
    /// For how long a generator's CPU was taken in all, where it can be told.
    taken: Option<Duration>,
}

/// The loaded object.
pub(super) struct Traffic {
    ebpf: Ebpf,
    /// Those that generate.
    cpus: Vec<usize>,
}

impl Traffic {
    /// Loads the object's programs, to generate on so many CPUs at once.
    pub(super) fn new(cpus: usize) -> Result<Self> {
        let allowed = allowed_cpus()?;
        ensure!(allowed.len() >= cpus, "--cpus {cpus}: there are {} here", allowed.len());
        let cpus = allowed.into_iter().rev().take(cpus).collect();
        let object = workspace::bench_object();
        let ebpf =
            EbpfLoader::new().load_file(&object).with_context(|| format!("loading {}", object.display()))?;
        let mut traffic = Self { ebpf, cpus };
        for name in ["generate", "sink", "swap", "lru", "relay", "hand_on"] {
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

    /// How many CPUs generate at once.
    pub(super) const fn cpus(&self) -> usize {
        self.cpus.len()
    }

    /// What the kernel says of a program.
    pub(super) fn info(&self, program: &str) -> Result<ProgramInfo> {
        let program =
            self.ebpf.program(program).with_context(|| format!("the object has no program {program}"))?;
        Ok(program.info()?)
    }

    /// Sets what is sent from now on: every CPU has flows of its own, as network cards deal them out.
    pub(super) fn load(&self, load: &Load) -> Result<()> {
        Array::<_, [u8; ROW]>::try_from(self.map("load")?)?.set(0, load.row(), 0)?;
        let mut rows = vec![[0; 4]; nr_cpus().map_err(|(_, error)| error)?];
        for (&cpu, part) in self.cpus.iter().zip(load.parts(self.cpus() as u32)) {
            rows[cpu] = part;
        }
        let mut parts = PerCpuArray::<_, [u32; 4]>::try_from(self.map("part")?)?;
        Ok(parts.set(0, PerCpuValues::try_from(rows)?, 0)?)
    }

    /// Makes a port of a switch hand on what others send to a host, from the namespace of the calling thread.
    pub(super) fn hand_on(&mut self, port: &str, host: Mac) -> Result<()> {
        let port = self.attach("hand_on", port)?;
        let ports = self.ebpf.map_mut("ports").context("the object has no map ports")?;
        Ok(HashMap::<_, Mac, u32>::try_from(ports)?.insert(host, port, 0)?)
    }

    /// How many frames were.
    pub(super) fn handed(&self) -> Result<u64> {
        self.sum("handed")
    }

    /// Sets what `relay` sends on, and where.
    pub(super) fn relay(&self, vip: Ipv4Addr, to: Mac) -> Result<()> {
        self.load(&Load {
            ifindex: 0,
            first: 0,
            flows: 1,
            is_in_order: true,
            vip: vip.octets(),
            to,
            from: [0; 6],
            port: 0,
            ports: 1,
            protocol: Protocol::Udp,
            segment: Segment::Going,
            is_translated: false,
        })
    }

    /// Sends `frames` frames from each CPU in the namespace `source`, and counts what comes back, to the first so many
    /// real servers each by itself.
    ///
    /// A call takes milliseconds to begin and to end, in which the kernel changes code and waits for all CPUs. So the
    /// count is read meanwhile, and the rate is that between the first and the last twentieth, while all of them send.
    pub(super) fn measure(&mut self, source: &Netns, frames: u32, servers: usize) -> Result<Figure> {
        let received_before = self.received(servers)?;
        let before = self.arrived_by_cpu()?;
        let [right_before, wrong_before] = sum_of(&before);
        let generator = self.generator()?;
        let (tell, told) = mpsc::channel();
        let this = &*self;
        let samples = thread::scope(|scope| {
            let generate = |cpu| {
                let tell = tell.clone();
                scope.spawn(move || {
                    source.join()?;
                    keep_to(cpu)?;
                    // A receiver that is gone has failed, and is asked for why.
                    let _ = tell.send(Turns::of_this_thread(cpu)?);
                    send(generator, frames)
                })
            };
            let sending: Vec<_> = self.cpus.iter().map(|&cpu| generate(cpu)).collect();
            drop(tell);
            let sampling = scope.spawn(move || {
                come_first()?;
                // Fewer where one has failed.
                let turns: Vec<Turns> = told.iter().take(sending.len()).collect();
                let mut samples = Vec::new();
                while !sending.iter().any(ScopedJoinHandle::is_finished) {
                    samples.extend(this.sample(&turns, &before)?);
                    thread::sleep(SAMPLING);
                }
                anyhow::Ok((samples, sending))
            });
            let (samples, sending) = joined(sampling)?;
            sending.into_iter().try_for_each(joined)?;
            anyhow::Ok(samples)
        })?;
        let sent = u64::from(frames) * self.cpus() as u64;
        let [right, wrong] = self.settled(right_before + wrong_before + sent)?;
        let (returned, wrong) = (right - right_before, wrong - wrong_before);
        ensure!(wrong == 0, "{wrong} frames came back wrong and {returned} right");
        ensure!(returned > 0, "nothing came back");
        let (mpps, taken) =
            rate(&samples, returned).context("too few frames to measure with: give more by --frames")?;
        let received = self.received(servers)?;
        let received = received.iter().zip(received_before).map(|(after, before)| after - before).collect();
        Ok(Figure { mpps, sent, returned, opened: None, taken, received })
    }

    /// What has come back now, unless a generator has not begun, or has ended.
    fn sample(&self, turns: &[Turns], before: &[[u64; 2]]) -> Result<Option<Sample>> {
        let (at, arrived) = (Instant::now(), self.arrived_by_cpu()?);
        if self.cpus.iter().any(|&cpu| arrived[cpu] == before[cpu]) {
            return Ok(None);
        }
        let returned = sum_of(&arrived)[0] - sum_of(before)[0];
        let taken = turns.iter().map(Turns::taken).collect::<Result<Option<Vec<Duration>>>>().ok();
        let mean = |taken: Vec<Duration>| taken.iter().sum::<Duration>() / self.cpus() as u32;
        Ok(taken.map(|taken| Sample { at, returned, taken: taken.map(mean) }))
    }

    /// Frames that the bare program with a table had not seen before.
    pub(super) fn missed(&self) -> Result<u64> {
        self.sum("missed")
    }

    /// What all CPUs have counted in a map.
    fn sum(&self, map: &str) -> Result<u64> {
        Ok(PerCpuArray::<_, u64>::try_from(self.map(map)?)?.get(&0, 0)?.iter().sum())
    }

    fn generator(&self) -> Result<&Xdp> {
        match self.ebpf.program("generate") {
            Some(Program::Xdp(program)) => Ok(program),
            _ => bail!("the object has no program generate"),
        }
    }

    /// Frames that came back right and wrong in all, once `expected` have or none is under way any more.
    fn settled(&self, expected: u64) -> Result<[u64; 2]> {
        let end = Instant::now() + SETTLING;
        loop {
            let arrived = self.arrived()?;
            if arrived[0] + arrived[1] >= expected || Instant::now() >= end {
                return Ok(arrived);
            }
            thread::yield_now();
        }
    }

    /// Frames that came back right and wrong in all.
    fn arrived(&self) -> Result<[u64; 2]> {
        Ok(sum_of(&self.arrived_by_cpu()?))
    }

    /// The same for each CPU: a veth's work is that of the CPU that sends.
    fn arrived_by_cpu(&self) -> Result<Vec<[u64; 2]>> {
        Ok(PerCpuArray::<_, [u64; 2]>::try_from(self.map("arrived")?)?.get(&0, 0)?.to_vec())
    }

    /// Frames that came back right in all, for each of the first so many real servers.
    fn received(&self, servers: usize) -> Result<Vec<u64>> {
        let rows = PerCpuArray::<_, u64>::try_from(self.map("received")?)?;
        (0..servers as u32).map(|server| Ok(rows.get(&server, 0)?.iter().sum())).collect()
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

/// What all CPUs have counted.
fn sum_of(rows: &[[u64; 2]]) -> [u64; 2] {
    rows.iter().fold([0; 2], |sum, row| [sum[0] + row[0], sum[1] + row[1]])
}

/// A CPU of those that a thread may use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cpu {
    First,
    Last,
}

/// Keeps the calling thread on one CPU, as [`keep_to`] does.
pub(super) fn take_a_cpu(cpu: Cpu) -> Result<()> {
    let cpus = allowed_cpus()?;
    let taken = if cpu == Cpu::First { cpus.first() } else { cpus.last() };
    keep_to(*taken.context("this thread may use no CPU")?)
}

/// Those that the calling thread may use.
fn allowed_cpus() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false)).collect())
}

/// Keeps the calling thread on a CPU, before all others there: a veth's work follows who sends to that CPU. It lasts as long as the
/// thread.
fn keep_to(cpu: usize) -> Result<()> {
    let mut one = CpuSet::new();
    one.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &one).context("keeping a thread on one CPU")?;
    come_first()
}

/// What a thread returned.
fn joined<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Sends from the calling thread.
fn send(generator: &Xdp, frames: u32) -> Result<()> {
    // The generator overwrites every byte: a frame that was sent is used again as it came back.
    let frame = [0; FRAME];
    generator.test_run(TestRunOptions {
        data_in: Some(&frame),
        repeat: frames,
        attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
        ..TestRunOptions::new()
    })?;
    Ok(())
}

/// Million frames in a second between the first and the last twentieth of `total`, without the time that was taken from the
/// generator, and what part that was.
fn rate(samples: &[Sample], total: u64) -> Option<(f64, Option<f64>)> {
    let within = |sample: &&Sample| (total / 20..=total - total / 20).contains(&sample.returned);
    let first = samples.iter().find(within)?;
    let last = samples.iter().rev().find(within)?;
    let elapsed = last.at.duration_since(first.at);
    let taken = last.taken.zip(first.taken).map(|(last, first)| last.saturating_sub(first));
    let own = elapsed.saturating_sub(taken.unwrap_or_default()).as_secs_f64();
    let returned = last.returned - first.returned;
    let part = taken.map(|_| 1.0 - own / elapsed.as_secs_f64());
    (own > 0.0 && returned > 0).then(|| (returned as f64 / own / 1e6, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_leaves_out_the_beginning_and_the_end() {
        let start = Instant::now();
        let sample = |at, returned, taken| Sample {
            at: start + Duration::from_millis(at),
            returned,
            taken: Some(Duration::from_millis(taken)),
        };
        let samples = [
            sample(0, 0, 1),
            sample(90, 1, 5),
            sample(100, 100, 7),
            sample(110, 600, 7),
            sample(120, 900, 11),
            sample(500, 1000, 300),
        ];
        let (rate, taken) = rate(&samples, 1000).expect("three samples lie within");
        assert!((rate - 0.05).abs() < 1e-9, "{rate}");
        assert!(taken.is_some_and(|taken| (taken - 0.2).abs() < 1e-9), "{taken:?}");
    }

    #[test]
    fn one_count_is_no_rate() {
        let sample = Sample { at: Instant::now(), returned: 500, taken: None };
        let later = Sample { at: sample.at + SAMPLING, ..sample };
        assert!(rate(&[sample], 1000).is_none());
        assert!(rate(&[sample, later], 1000).is_none());
        let more = Sample { returned: 600, ..later };
        assert!(matches!(rate(&[sample, more], 1000), Some((_, None))), "nobody can tell what was taken");
    }
}
