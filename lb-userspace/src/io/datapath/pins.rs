//! Names of maps on the BPF file system.

use std::path::Path;

use anyhow::Context as _;
use aya::maps::MapData;
use tracing::warn;

/// Removes a pin, if it is there.
pub(super) fn remove(pin: &Path) {
    match std::fs::remove_file(pin) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => warn!("{}: {error}", pin.display()),
        _ => {}
    }
}

/// Pins a map in the place of an older one of the same name, which disappears in the same moment.
pub(super) fn pin_over(map: &MapData, pins: &Path, name: &str) -> anyhow::Result<()> {
    let (new, pin) = (pins.join(format!("new_{name}")), pins.join(name));
    remove(&new);
    map.pin(&new).with_context(|| format!("pinning {}", pin.display()))?;
    std::fs::rename(&new, &pin).with_context(|| format!("pinning {}", pin.display()))
}
