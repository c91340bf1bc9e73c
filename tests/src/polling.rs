//! Makes the other end of a director's veth take frames at once.
//!
//! A frame that leaves a veth by `XDP_TX` or `XDP_REDIRECT` wakes its peer only if the peer runs an XDP program too
//! (drivers/net/veth.c). A real network card needs nothing of the kind. The program used is xlvs's own, without an
//! interface: it passes everything.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    programs::{Xdp, XdpMode},
};

use crate::netns::Netns;

/// A program that passes everything, on some interfaces for as long as this lives.
#[derive(Debug)]
pub(crate) struct Polling {
    _program: Ebpf,
}

impl Polling {
    /// Attaches to `ports` in `netns`.
    pub(crate) fn start(netns: &Netns, ports: &[String]) -> Result<Self> {
        let object = object();
        netns.enter(|| {
            let mut ebpf =
                Ebpf::load_file(&object).with_context(|| format!("loading {}", object.display()))?;
            let program: &mut Xdp =
                ebpf.program_mut("xlvs").context("the object has no program xlvs")?.try_into()?;
            program.load()?;
            for port in ports {
                program.attach(port, XdpMode::Driver).with_context(|| format!("attaching to {port}"))?;
            }
            Ok(Self { _program: ebpf })
        })
    }
}

/// Where `cargo xtask build` leaves the program.
fn object() -> PathBuf {
    std::env::var_os("XLVS_BPF_OBJECT").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bpf/bpfel-unknown-none/release/xlvs-bpf"),
        PathBuf::from,
    )
}
