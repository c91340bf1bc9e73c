//! The driver of an interface, by the ethtool ioctl: netlink does not tell it, and sysfs may show another namespace.

use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const SIOCETHTOOL: libc::c_ulong = 0x8946;
const ETHTOOL_GDRVINFO: u32 = 3;

/// `struct ethtool_drvinfo` of `linux/ethtool.h`, its tail unnamed.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

const _: () = assert!(size_of::<DriverInfo>() == 196);

/// The name of the driver (`virtio_net`, `ixgbe`, `veth`) of an interface in the namespace of the calling thread,
/// if there is such an interface and its driver gives one.
pub fn driver(interface: &str) -> Option<String> {
    let socket = socket()?;
    let mut info = DriverInfo { command: ETHTOOL_GDRVINFO, driver: [0; 32], rest: [0; 160] };
    let mut request = libc::ifreq {
        ifr_name: name(interface)?,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: (&raw mut info).cast() },
    };
    // SAFETY: the request outlives the call, its name ends with a zero byte, and its data pointer is to a live
    // `ethtool_drvinfo` of full size, which is what this command writes.
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if status < 0 {
        return None;
    }
    let length = info.driver.iter().position(|byte| *byte == 0)?;
    String::from_utf8(info.driver[..length].to_vec()).ok().filter(|name| !name.is_empty())
}

fn socket() -> Option<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    // SAFETY: the descriptor is new, valid by the check, and owned by nobody else.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn name(interface: &str) -> Option<[libc::c_char; libc::IFNAMSIZ]> {
    let mut name = [0; libc::IFNAMSIZ];
    if interface.len() >= name.len() {
        return None;
    }
    for (to, from) in name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed();
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_such_interface_has_no_driver() {
        assert_eq!(driver("nosuch-if"), None);
        assert_eq!(driver("a-name-that-is-far-too-long"), None);
    }
}
