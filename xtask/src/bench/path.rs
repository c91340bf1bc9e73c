//! `cargo xtask bench path`: nanoseconds of the program alone for a frame of a flow that exists, by `BPF_PROG_TEST_RUN`:
//! no veth, no driver, one flow whose rows are in the nearest cache.
//!
//! The kernel runs a program many times on one frame, and what a run did to the frame the next one sees. So the real
//! servers have the director's own MAC address: what xlvs has rewritten is a frame to the director again, and is rewritten
//! once more, with a TTL that is one lower. It begins with 255 and is looked at in the end, as is the action: no run
//! can have left early. What the kernel does between two runs is in every figure: the swap itself takes next to nothing,
//! and what another program costs is what it takes more. The bare programs have the same frame, which has one address as
//! source and destination.

use anyhow::{Result, ensure};
use clap::Args;
use lb_common::checksum;
use lb_common::sched::Scheduler;
use lb_tests::wait;
use serde_json::json;

use super::alone::{Alone, Ran};
use super::document::{Better, Document, Measurement};
use super::pool::{self, Pool};
use super::rig::{DIRECTOR_MAC, PORT, Rig, Setting, VIP};
use super::spread::Spread;
use super::subject::{Beside, Program, Schedulers, Subject};
use super::traffic::FRAME;

/// The action that sends a frame back.
const XDP_TX: u32 = 3;
/// Runs on one frame, so that its TTL lasts.
const RUNS: u8 = 200;
/// What a frame begins with.
const TTL: u8 = 255;
/// Where it is in a frame.
const TTL_AT: usize = 22;
const CLIENT: [u8; 4] = [100, 64, 0, 1];
const SLOTS: u32 = 1 << 20;

/// Arguments of `cargo xtask bench path`.
#[derive(Args)]
pub(super) struct Arguments {
    /// Rounds; the median of them is shown
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Frames in each measurement, each of which is seen 200 times
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(10..))]
    frames: u32,
    /// Schedulers, or `all`
    #[arg(long, value_name = "NAME,...", default_value = "rr")]
    schedulers: Schedulers,
    #[command(flatten)]
    beside: Beside,
}

/// Measures and prints the table.
pub(super) fn main(arguments: &Arguments, document: &mut Document) -> Result<()> {
    let programs = Program::all(&arguments.beside, &[])?;
    let pool = Pool::of(1);
    let setting = Setting { mac: |_| DIRECTOR_MAC, ..Setting::usual(&arguments.schedulers.0, pool, SLOTS) };
    let rig = Rig::alike(&programs, setting)?;
    let subjects = Subject::of(&programs, &arguments.schedulers.0);
    let alone: Vec<Alone> = subjects.iter().map(|subject| rig.alone(subject)).collect::<Result<_>>()?;
    let mut figures = vec![Vec::new(); subjects.len()];
    for round in 0..arguments.rounds as usize {
        for turn in 0..subjects.len() {
            let row = (round + turn) % subjects.len();
            wait::check_interrupt()?;
            figures[row].push(measure(&alone[row], &subjects[row], arguments.frames)?);
        }
    }
    let setup = json!({ "rounds": arguments.rounds, "frames": arguments.frames });
    document.add(table(&subjects, &figures, arguments.rounds).with(setup));
    Ok(())
}

/// Nanoseconds of a run: the mean of the middle half of all frames, each of which is told in whole ones.
fn measure(alone: &Alone, subject: &Subject, frames: u32) -> Result<f64> {
    let frame = frame(subject.scheduler);
    // The flow's first packet, and what the cache lacks.
    alone.run(&frame, &[RUNS.into(), RUNS.into()])?;
    let ran = alone.run(&frame, &vec![RUNS.into(); frames as usize])?;
    let lower = if subject.scheduler.is_some() { RUNS } else { 0 };
    for Ran { action, frame, .. } in &ran {
        ensure!(*action == XDP_TX, "{subject}: action {action}, and the frame {frame:02x?}");
        ensure!(frame[TTL_AT] == TTL - lower, "{subject}: the TTL is {}, not {}", frame[TTL_AT], TTL - lower);
        ensure!(frame[..6] == DIRECTOR_MAC, "{subject}: the frame goes to {:02x?}", &frame[..6]);
    }
    let mut times: Vec<f64> = ran.iter().map(|ran| ran.time.as_nanos() as f64).collect();
    times.sort_by(f64::total_cmp);
    let middle = &times[times.len() / 4..times.len() - times.len() / 4];
    Ok(middle.iter().sum::<f64>() / middle.len() as f64)
}

/// A datagram of one flow to the service of a scheduler.
fn frame(scheduler: Option<Scheduler>) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    let port = scheduler.map_or(PORT, pool::port);
    let mut ip = [0x45, 0, 0, 46, 0, 0, 0x40, 0, TTL, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    ip[12..16].copy_from_slice(&CLIENT);
    ip[16..20].copy_from_slice(&VIP.octets());
    let check = checksum::internet(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&check);
    frame[..6].copy_from_slice(&DIRECTOR_MAC);
    frame[6..12].copy_from_slice(&DIRECTOR_MAC);
    frame[12] = 8;
    frame[14..34].copy_from_slice(&ip);
    frame[34..36].copy_from_slice(&1024_u16.to_be_bytes());
    frame[36..38].copy_from_slice(&port.to_be_bytes());
    frame[39] = 26;
    frame
}

/// Prints what was measured; ratios are to the bare lookup, the floor being too near to the clock's resolution.
fn table(subjects: &[Subject], figures: &[Vec<f64>], rounds: u32) -> Measurement {
    let title = "the program alone, one warm flow";
    println!("\nmedians of {rounds} rounds; ratios are taken within a round\n");
    println!("{title:<36} ns/frame [{:>6} {:>6} {:>6}]  above the floor  to LRU", "least", "median", "most");
    let mut measurement = Measurement::new("path", title, "ns/frame", Better::Less);
    let lru = subjects.iter().position(|subject| subject.program == Program::Lru);
    for (subject, own) in subjects.iter().zip(figures) {
        let spread = Spread::of(own.iter().copied());
        let ratio =
            lru.map(|lru| Spread::of(own.iter().zip(&figures[lru]).map(|(own, lru)| own / lru)).median);
        let above = Spread::of(own.iter().zip(&figures[0]).map(|(own, floor)| own - floor)).median;
        println!(
            "  {:<34}          [{:>6.1} {:>6.1} {:>6.1}]  {above:>15.1}  {:>6.2}",
            subject.to_string(),
            spread.least,
            spread.median,
            spread.most,
            ratio.unwrap_or(f64::NAN)
        );
        let details = json!({ "program": subject.program.name(), "above_floor": above, "rounds": own });
        measurement = measurement.row(subject.to_string(), spread, ratio, details);
    }
    measurement
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_is_what_a_client_sends() {
        let frame = frame(Some(Scheduler::Rr));
        assert_eq!(checksum::internet(&frame[14..34]), 0, "with its checksum a header sums up to nothing");
        assert_eq!(frame[TTL_AT], TTL);
        assert_eq!(u16::from_be_bytes([frame[36], frame[37]]), pool::port(Scheduler::Rr));
    }
}
