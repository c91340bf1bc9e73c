//! `xlvs doctor` on drivers that no namespace has: each fault is made, found, mended by the command that is told, and gone.
//!
//! For the emulated machine of `cargo xtask test --guest`, with the cards of `lb_tests::cards` and Linux 6.1.

mod patient;

use anyhow::{Result, ensure};
use lb_tests::cards::{E1000E, VIRTIO, VIRTIO_FIXED, VMXNET3};

use crate::patient::{Patient, stop};

#[test]
#[ignore = "wants the cards of `cargo xtask test --guest`"]
fn virtio_merges_and_has_too_few_or_too_many_queues() -> Result<()> {
    let patient = Patient::with(&[(&VIRTIO, "eth1")])?;
    patient.run("ethtool -K eth1 rx-gro-hw off; ethtool -L eth1 combined 2")?;
    patient.has("eth1", &[], "it is healthy")?;

    patient.run("ethtool -K eth1 rx-gro-hw on")?;
    patient.heals("eth1", "gro-hw", &[])?;
    patient.run("ethtool -L eth1 combined 1")?;
    patient.heals("eth1", "queues", &[])?;
    patient.run("ethtool -L eth1 combined 4")?;
    patient.heals("eth1", "xdp-queues", &[])?;

    patient.run("ethtool -K eth1 rx-gro-hw on")?;
    let xlvs = patient.runs("run --iface eth1 --mode native")?.expect("its driver takes a program");
    patient.has("eth1", &[], "it merges no more, whatever it tells")?;
    stop(xlvs)?;
    patient.run("ethtool -L eth1 combined 4")?;
    let xlvs = patient.runs("run --iface eth1 --mode native")?.expect("its driver takes a program");
    patient.has("eth1", &[], "what it counts is not what receives")?;
    ensure!(patient.run("ethtool -L eth1 combined 2").is_err(), "the driver refuses it now");
    stop(xlvs)
}

#[test]
#[ignore = "wants the cards of `cargo xtask test --guest`"]
fn virtio_whose_host_lets_it_switch_off_nothing_is_for_generic_mode() -> Result<()> {
    let patient = Patient::with(&[(&VIRTIO_FIXED, "eth1")])?;
    patient.has("eth1", &["gro-hw", "xdp-queues"], "as its host made it")?;
    let finding = patient.finding("eth1", "xdp-queues")?;
    ensure!(finding.mend.is_none(), "only its host can: {finding:?}");
    ensure!(patient.runs("run --iface eth1 --mode native")?.is_err(), "its driver refuses a program");
    stop(patient.runs_as_told("eth1", "gro-hw", &[])?)
}

#[test]
#[ignore = "wants the cards of `cargo xtask test --guest`"]
fn a_card_without_native_xdp_takes_tags_off() -> Result<()> {
    let patient = Patient::with(&[(&E1000E, "eth1")])?;
    patient.run("ethtool -K eth1 rxvlan on")?;
    patient.has("eth1", &["native-xdp"], "no VLAN is there to be told apart")?;
    patient.ip("link add link eth1 name eth1.7 type vlan id 7")?;
    patient.heals("eth1", "vlan-stripping", &["native-xdp"])?;
    ensure!(patient.runs("run --iface eth1 --mode native")?.is_err(), "its driver has no native XDP");
    stop(patient.runs_as_told("eth1", "native-xdp", &[])?)
}

#[test]
#[ignore = "wants the cards of `cargo xtask test --guest`"]
fn a_card_merges_segments_and_takes_tags_off() -> Result<()> {
    let patient = Patient::with(&[(&VMXNET3, "eth1")])?;
    patient.run("ethtool -K eth1 lro on; ethtool -K eth1 rxvlan on")?;
    patient.has("eth1", &["lro", "native-xdp"], "no VLAN is there to be told apart")?;
    patient.heals("eth1", "lro", &["native-xdp"])?;
    patient.run("ethtool -K eth1 lro on")?;
    let xlvs = patient.runs_as_told("eth1", "native-xdp", &[])?;
    let is_on = "ethtool -k eth1 | grep -q 'large-receive-offload: on'";
    ensure!(patient.run(is_on).is_err(), "the kernel switches it off for generic mode");
    // A VLAN would have switched it off before.
    patient.ip("link add link eth1 name eth1.7 type vlan id 7")?;
    patient.heals("eth1", "vlan-stripping", &[])?;
    stop(xlvs)
}

#[test]
#[ignore = "wants the cards of `cargo xtask test --guest`"]
fn a_dummy_has_no_native_xdp() -> Result<()> {
    let patient = Patient::with(&[])?;
    patient.ip("link add eth1 type dummy")?;
    patient.ip("link set dev eth1 up")?;
    stop(patient.runs_as_told("eth1", "native-xdp", &[])?)
}

/// The doctor and the kernel are of one mind about every mode, and what is told makes a bond that takes a program.
#[test]
#[ignore = "wants the cards of `cargo xtask test --guest`"]
fn bonds_take_a_program_in_native_mode_in_some_modes() -> Result<()> {
    const MODES: [(&str, bool); 9] = [
        ("balance-rr", true),
        ("active-backup", true),
        ("balance-xor", true),
        ("802.3ad", true),
        ("balance-xor xmit_hash_policy vlan+srcmac", false),
        ("802.3ad xmit_hash_policy vlan+srcmac", false),
        ("broadcast", false),
        ("balance-tlb", false),
        ("balance-alb", false),
    ];
    let patient = Patient::with(&[(&VIRTIO, "eth1")])?;
    for (mode, takes) in MODES {
        patient.run("ethtool -K eth1 rx-gro-hw off; ethtool -L eth1 combined 2")?;
        patient.ip(&format!("link add bond0 type bond miimon 100 mode {mode}"))?;
        patient
            .run("ip link set dev eth1 down; ip link set dev eth1 master bond0; ip link set dev bond0 up")?;
        if takes {
            patient.has("bond0", &[], mode)?;
        } else {
            let refused = patient.runs("run --iface bond0 --mode native")?;
            ensure!(refused.is_err(), "{mode}: the kernel refuses a program");
            patient.heals("bond0", "bond-mode", &[])?;
        }
        patient.run("ethtool -K eth1 rx-gro-hw on")?;
        let xlvs = patient.runs("run --iface bond0 --mode native")?.expect("the kernel takes a program");
        patient.has("bond0", &[], "the port merges no more, and counts other queues")?;
        stop(xlvs)?;
        patient.ip("link del bond0")?;
    }
    Ok(())
}

#[test]
#[ignore = "wants the cards of `cargo xtask test --guest`"]
fn the_ports_of_a_bond_are_looked_at() -> Result<()> {
    let patient = Patient::with(&[(&VIRTIO, "eth1"), (&E1000E, "eth2")])?;
    patient.run("ethtool -K eth1 rx-gro-hw on; ethtool -L eth1 combined 1; ethtool -K eth2 rxvlan on")?;
    patient.ip("link add bond0 type bond miimon 100 mode active-backup")?;
    patient.ip("link set dev bond0 up")?;
    for port in ["eth1", "eth2"] {
        patient.run(&format!("ip link set dev {port} down; ip link set dev {port} master bond0"))?;
    }
    patient.ip("link add link bond0 name bond0.7 type vlan id 7")?;
    patient.has("bond0", &["bond-port", "gro-hw", "queues", "vlan-stripping"], "all at once")?;
    patient.heals("bond0", "gro-hw", &["bond-port", "queues", "vlan-stripping"])?;
    patient.heals("bond0", "queues", &["bond-port", "vlan-stripping"])?;
    patient.heals("bond0", "vlan-stripping", &["bond-port"])?;
    ensure!(patient.runs("run --iface bond0 --mode native")?.is_err(), "a port refuses a program");
    // In generic mode on the bond the ports go on merging.
    let xlvs = patient.runs_as_told("bond0", "bond-port", &["gro", "gro"])?;
    patient.run("ethtool -K eth1 gro off; ethtool -K eth2 gro off")?;
    patient.has("bond0", &[], "nothing merges below the bond")?;
    stop(xlvs)
}
