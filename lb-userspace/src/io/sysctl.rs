//! Owns reading and writing the kernel's settings of one interface. Refuses to know what they are for.

use std::fs;
use std::io;

/// The present value of a setting such as (`ipv4`, `eth0`, `rp_filter`), in the network namespace of the calling
/// thread.
///
/// # Errors
/// When there is no such interface or setting, or it is not a number.
pub(super) fn get(family: &str, interface: &str, setting: &str) -> io::Result<i64> {
    let text = fs::read_to_string(path(family, interface, setting))?;
    text.trim().parse().map_err(io::Error::other)
}

/// A setting below `/proc/sys/net`, such as `ipv4/ip_forward`, if this namespace shows one that is a number.
pub(super) fn of_net(setting: &str) -> Option<i64> {
    fs::read_to_string(format!("/proc/sys/net/{setting}")).ok()?.trim().parse().ok()
}

/// Changes a setting, if it has another value; the value it had.
///
/// # Errors
/// When there is no such interface or setting, or `/proc/sys` is read-only, as it is in many containers.
pub(super) fn set(family: &str, interface: &str, setting: &str, value: i64) -> io::Result<i64> {
    let before = get(family, interface, setting)?;
    if before != value {
        fs::write(path(family, interface, setting), value.to_string())?;
    }
    Ok(before)
}

fn path(family: &str, interface: &str, setting: &str) -> String {
    format!("/proc/sys/net/{family}/conf/{interface}/{setting}")
}
