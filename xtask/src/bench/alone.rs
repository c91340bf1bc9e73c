//! A loaded program that is run on frames by itself, as if they came in by its interface.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::programs::{ProgramInfo, TestRun as _, TestRunOptions, Xdp, loaded_programs};
use aya_obj::programs::XdpAttachType;
use lb_tests::netns::Netns;

use super::traffic::{Cpu, FRAME, take_a_cpu};

/// A program and where it is attached.
pub(super) struct Alone<'a> {
    program: Xdp,
    netns: &'a Netns,
    interface: &'static str,
}

/// What came of a frame.
pub(super) struct Ran {
    /// The last run's.
    pub(super) action: u32,
    /// After the last run.
    pub(super) frame: [u8; FRAME],
    /// The mean of one run.
    pub(super) time: Duration,
}

impl<'a> Alone<'a> {
    /// The program of this description, which is attached there.
    pub(super) fn new(info: ProgramInfo, netns: &'a Netns, interface: &'static str) -> Result<Self> {
        let program = Xdp::from_program_info(info, "alone".into(), XdpAttachType::Interface)?;
        Ok(Self { program, netns, interface })
    }

    /// The same by the kernel's number.
    pub(super) fn numbered(id: u64, netns: &'a Netns, interface: &'static str) -> Result<Self> {
        let mut programs = loaded_programs().filter_map(Result::ok);
        let info =
            programs.find(|info| u64::from(info.id()) == id).with_context(|| format!("no program {id}"))?;
        Self::new(info, netns, interface)
    }

    /// Runs it on the frame anew for each number, so many times as that says, on one CPU.
    pub(super) fn run(&self, frame: &[u8; FRAME], repeats: &[u32]) -> Result<Vec<Ran>> {
        self.netns.enter(|| {
            take_a_cpu(Cpu::Last)?;
            let index = nix::net::if_::if_nametoindex(self.interface)?;
            // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
            let words = [0, FRAME as u32, 0, index, 0, 0].map(u32::to_ne_bytes);
            let context = words.concat();
            repeats.iter().map(|&repeat| self.once(frame, &context, repeat)).collect()
        })
    }

    fn once(&self, frame: &[u8; FRAME], context: &[u8], repeat: u32) -> Result<Ran> {
        let mut after = [0; FRAME];
        let result = self.program.test_run(TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut after),
            ctx_in: Some(context),
            repeat,
            ..TestRunOptions::new()
        })?;
        Ok(Ran { action: result.return_value, frame: after, time: result.duration })
    }
}
