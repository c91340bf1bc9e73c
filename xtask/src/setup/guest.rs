//! The kernel that the guest boots and the programs that boot it; neither the kernel nor busybox is installed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::apt::Apt;
use crate::{command, workspace};

/// Each program and the Debian package that brings it.
const PROGRAMS: [(&str, &str); 5] = [
    ("cpio", "cpio"),
    ("depmod", "kmod"),
    ("modprobe", "kmod"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("xz", "xz-utils"),
];
const PURPOSE: &str = "the guest";
/// Depends on the kernel that the distribution has now.
const KERNEL: &str = "linux-image-amd64";

/// What a guest is made of.
pub(crate) struct Parts {
    /// Holds `boot` and `lib/modules` of one kernel.
    pub(crate) kernel: PathBuf,
    /// The same kernel as it is in memory: emulation would take ten seconds to unpack it.
    pub(crate) image: PathBuf,
    /// The kernel's version, as it calls itself.
    pub(crate) version: String,
    /// A busybox that needs no library.
    pub(crate) busybox: PathBuf,
}

/// Installs the programs that are missing, and fetches a kernel and a busybox once.
pub(crate) fn ensure() -> Result<Parts> {
    let mut apt = Apt::default();
    apt.provide(&PROGRAMS, PURPOSE)?;
    let directory = workspace::guest_directory();
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let (kernel, busybox) = (directory.join("kernel"), directory.join("busybox"));
    if !kernel.exists() {
        let listed = apt.depends(KERNEL)?;
        let package = image(&listed).with_context(|| format!("{KERNEL} depends on no kernel: {listed}"))?;
        apt.unpack(package, &kernel, PURPOSE)?;
    }
    if !busybox.exists() {
        apt.unpack("busybox-static", &busybox, PURPOSE)?;
    }
    let modules = kernel.join("lib/modules");
    let entry = fs::read_dir(&modules).ok().and_then(|mut entries| entries.next()?.ok());
    let version = entry.with_context(|| format!("no kernel in {}: remove it", kernel.display()))?.file_name();
    let version = version.to_string_lossy().into_owned();
    if !modules.join(&version).join("modules.dep.bin").exists() {
        command::output(
            command::clean(command::find("depmod").context("no depmod")?)
                .arg("-b")
                .arg(&kernel)
                .arg(&version),
        )?;
    }
    let image = directory.join(format!("vmlinux-{version}"));
    if !image.exists() {
        unpack(&kernel.join("boot").join(format!("vmlinuz-{version}")), &image)?;
    }
    Ok(Parts { kernel, image, version, busybox: busybox.join("bin/busybox") })
}

/// Unpacks a kernel that boots by itself.
fn unpack(packed: &Path, image: &Path) -> Result<()> {
    let kernel = fs::read(packed).with_context(|| format!("cannot read {}", packed.display()))?;
    let payload = payload(&kernel).with_context(|| format!("{} has no payload", packed.display()))?;
    let beside = tempfile::tempdir_in(workspace::guest_directory())?;
    let (from, to) = (beside.path().join("image.xz"), beside.path().join("image"));
    fs::write(&from, payload)?;
    // Behind the stream stands its length.
    let mut xz = command::clean("xz");
    command::run(xz.args(["-dc", "--single-stream"]).arg(&from).stdout(File::create(&to)?))?;
    Ok(fs::rename(to, image)?)
}

/// Where the compressed kernel lies (Documentation/x86/boot.rst: `setup_sects`, `payload_offset`, `payload_length`).
fn payload(kernel: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| Some(u32::from_le_bytes(kernel.get(at..at + 4)?.try_into().ok()?) as usize);
    let start = (usize::from(*kernel.get(0x1f1)?) + 1) * 512 + word(0x248)?;
    kernel.get(start..start + word(0x24c)?)
}

/// The kernel's package in what `apt-cache depends` prints.
fn image(depends: &str) -> Option<&str> {
    depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .filter(|name| name.starts_with("linux-image-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_what_the_metapackage_depends_on() {
        let depends = "linux-image-amd64\n  Depends: linux-image-6.1.0-56-amd64\n  Suggests: linux-doc\n";
        assert_eq!(image(depends), Some("linux-image-6.1.0-56-amd64"));
        assert_eq!(image("linux-image-amd64\n"), None);
    }

    #[test]
    fn the_payload_lies_where_the_header_says() {
        let mut kernel = vec![0; 1100];
        kernel[0x1f1] = 1;
        kernel[0x248] = 8;
        kernel[0x24c] = 3;
        kernel[1032..1035].copy_from_slice(b"abc");
        assert_eq!(payload(&kernel), Some(&b"abc"[..]));
        assert_eq!(payload(&kernel[..1034]), None);
        assert_eq!(payload(&[]), None);
    }
}
