//! The network cards that the emulated machine of `cargo xtask test --guest` has, so that drivers are met that no namespace has.

/// Processors of that machine.
pub const CPUS: u8 = 2;

/// A network card with nobody behind it.
#[derive(Debug, Clone, Copy)]
pub struct Card {
    /// What `cargo xtask guest --nic` is told, but for its address.
    pub model: &'static str,
    /// By this it is known.
    pub mac: &'static str,
    /// Its driver.
    pub driver: &'static str,
}

/// A virtio card with queues enough for both of the processors to receive and to send by.
pub const VIRTIO: Card =
    Card { model: "virtio-net-pci,queues=4", mac: "02:00:00:00:00:01", driver: "virtio_net" };
/// One whose host does not let it switch off what it merges.
pub const VIRTIO_FIXED: Card =
    Card { model: "virtio-net-pci,ctrl_guest_offloads=off", mac: "02:00:00:00:00:02", driver: "virtio_net" };
/// A card that takes tags off, and whose driver has no native XDP.
pub const E1000E: Card = Card { model: "e1000e", mac: "02:00:00:00:00:03", driver: "e1000e" };
/// A card that merges segments.
pub const VMXNET3: Card = Card { model: "vmxnet3", mac: "02:00:00:00:00:04", driver: "vmxnet3" };

/// All there are.
pub const ALL: [Card; 4] = [VIRTIO, VIRTIO_FIXED, E1000E, VMXNET3];
