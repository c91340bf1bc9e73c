//! Puts the program on interfaces and takes it off: pinned links, native mode unless told otherwise.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use aya::programs::{
    ProgramError, Xdp, XdpMode,
    links::{FdLink, PinnedLink},
    xdp::{XdpError, XdpLink},
};
use lb_common::layout::{MAX_PORTS, Port};
use tracing::{debug, info, warn};

use crate::io::links::Link;

/// How the program is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// In the driver.
    #[default]
    Native,
    /// In the stack, for interfaces whose driver cannot: slow.
    Generic,
}

impl Mode {
    const fn to_xdp(self) -> XdpMode {
        match self {
            Self::Native => XdpMode::Driver,
            Self::Generic => XdpMode::Skb,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

/// The program on one interface; it stays there while the pin exists.
#[derive(Debug)]
pub(super) struct Attached {
    pin: PathBuf,
    _link: FdLink,
}

impl Attached {
    /// Attaches to `link`, or replaces the program in the link an earlier daemon pinned there, without a gap.
    pub(super) fn new(program: &mut Xdp, link: &Link, mode: Mode, pins: &Path) -> anyhow::Result<Self> {
        let pin = pins.join(pin_name(link, mode));
        if let Ok(old) = PinnedLink::from_pin(&pin) {
            match replace(program, old) {
                Ok(link) => return Ok(Self { pin, _link: link }),
                Err(error) => {
                    warn!("{}: the link of an earlier run is not used: {error:#}", pin.display());
                    std::fs::remove_file(&pin).with_context(|| format!("removing {}", pin.display()))?;
                }
            }
        }
        let id = program
            .attach_to_if_index(link.index, mode.to_xdp())
            .map_err(|error| refusal(link, mode, &error))?;
        let fd: FdLink =
            program.take_link(id)?.try_into().context("the kernel has no BPF links for XDP (Linux 5.9)")?;
        let pinned = fd.pin(&pin).with_context(|| format!("pinning {}", pin.display()))?;
        debug!(interface = %link.name, %mode, "attached");
        Ok(Self { pin, _link: pinned.into() })
    }

    /// Takes the program off the interface.
    pub(super) fn detach(self) {
        if let Err(error) = std::fs::remove_file(&self.pin) {
            warn!("{}: {error}", self.pin.display());
        }
    }

    pub(super) fn pin(&self) -> &Path {
        &self.pin
    }
}

/// One name for each interface as it is and each mode: what was left by another is never taken for it.
fn pin_name(link: &Link, mode: Mode) -> String {
    // bpffs keeps names with a dot for itself.
    format!("link_{}_{}_{mode}", link.name.replace('.', "_"), link.index)
}

fn replace(program: &mut Xdp, old: PinnedLink) -> anyhow::Result<FdLink> {
    let id = program.attach_to_link(XdpLink::try_from(FdLink::from(old))?)?;
    Ok(program.take_link(id)?.try_into()?)
}

/// Why the kernel did not take the program, and what to change.
fn refusal(link: &Link, mode: Mode, error: &ProgramError) -> anyhow::Error {
    let name = &link.name;
    let detail = match error {
        ProgramError::SyscallError(error) => error.io_error.to_string(),
        ProgramError::XdpError(XdpError::NetlinkError(error)) => error.to_string(),
        other => other.to_string(),
    };
    let code = match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        ProgramError::XdpError(XdpError::NetlinkError(error)) => error.raw_os_error(),
        _ => None,
    };
    match (code, mode) {
        (Some(libc::EBUSY), _) => anyhow::anyhow!(
            "{name}: another XDP program is attached; see `bpftool net`, and take it off with `ip link set dev {name} xdp off`"
        ),
        (Some(libc::EOPNOTSUPP), Mode::Native) => anyhow::anyhow!(
            "{name}: its driver has no native XDP; use an interface whose driver has, or insist on the slow path with --mode generic"
        ),
        (_, Mode::Native) => anyhow::anyhow!(
            "{name}: the driver refuses native XDP ({detail}); lower the MTU ({} now), switch LRO off (`ethtool -K {name} lro off`), \
             leave spare queues (`ethtool -L {name}`), or insist on the slow path with --mode generic",
            link.mtu
        ),
        (_, Mode::Generic) => anyhow::anyhow!("{name}: the kernel refuses generic XDP: {detail}"),
    }
}

/// Removes the links in `pins` that are not `in_use`: interfaces the configuration no longer names.
pub(super) fn drop_others(pins: &Path, in_use: &[Attached]) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(pins).with_context(|| format!("reading {}", pins.display()))? {
        let path = entry?.path();
        let is_link = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("link_"));
        if is_link && in_use.iter().all(|attached| attached.pin() != path) {
            info!("detaching {}", path.display());
            std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

/// What the program knows of the interfaces. In generic mode the stack may hand it several segments bundled into one packet,
/// which it cannot tell from a packet that is too long.
pub(super) fn ports(interfaces: &[Link], mode: Mode) -> anyhow::Result<[Port; MAX_PORTS]> {
    let mut ports = [Port::NONE; MAX_PORTS];
    for (port, link) in ports.iter_mut().zip(interfaces) {
        let mac = link.mac.with_context(|| format!("{}: is not an Ethernet interface", link.name))?;
        let mtu = match mode {
            Mode::Native if link.mtu != 0 => u16::try_from(link.mtu).unwrap_or(u16::MAX),
            _ => u16::MAX,
        };
        *port = Port { ifindex: link.index, mac, mtu, ..Port::NONE };
    }
    Ok(ports)
}
