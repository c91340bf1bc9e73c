//! Other ways to balance that the kernel has, each in a namespace of its own with one interface, as the director is.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use lb_common::sched::Scheduler;
use lb_tests::config::Protocol;
use lb_tests::netns::Netns;
use lb_tests::process;

use super::pool::{self, Pool};
use super::rig::{INTERFACE, PORT, VIP};

/// How many connections the kernel's connection tracking remembers in each namespace.
const MOST: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

/// What xlvs is measured beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Peer {
    /// The kernel's forwarding: a route to one real server for the virtual address, no balancing
    Forward,
    /// Destination NAT by nftables, real servers by turns, with the kernel's connection tracking
    Nft,
    /// The kernel's IPVS, direct routing, round robin
    Ipvs,
}

/// How peers share new connections among the real servers.
pub(super) enum Sharing {
    /// All to the first one.
    First,
    /// As this scheduler does.
    As(Scheduler),
}

/// How long a peer remembers a silent flow, as far as it can be told.
///
/// IPVS cannot be told how long it remembers a SYN that nobody answered, which is 60 s: however short the memory, all
/// connections of a measurement stay in its table. That has as many buckets as the module was told by `conn_tab_bits`:
/// 2^20 in the guest, 4096 where nobody said.
#[derive(Clone, Copy)]
pub(super) enum Memory {
    /// Longer than a measurement takes.
    Long,
    /// A second.
    Short,
}

impl Peer {
    /// Its name on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Nft => "nft",
            Self::Ipvs => "ipvs",
        }
    }

    /// What the tables call it.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Forward => "kernel forwarding, one server",
            Self::Nft => "nftables DNAT, by turns",
            Self::Ipvs => "IPVS rr",
        }
    }

    /// Who must be sent how much.
    pub(super) const fn sharing(self) -> Sharing {
        match self {
            Self::Forward => Sharing::First,
            Self::Nft | Self::Ipvs => Sharing::As(Scheduler::Rr),
        }
    }

    /// Whether it writes the real server's address into packets.
    pub(super) const fn is_translating(self) -> bool {
        matches!(self, Self::Nft)
    }

    /// Fails where it takes no segments of connections that it did not see opened.
    pub(super) fn check_segments(self, protocol: Protocol) -> Result<()> {
        ensure!(
            self != Self::Nft || protocol == Protocol::Udp,
            "--peer nft: connection tracking refuses segments of connections that nobody answered; leave out --protocol tcp"
        );
        Ok(())
    }

    /// Fails where so many flows at once are too much for it, once it has started, since that loads connection tracking;
    /// `option` is what says how many there are.
    pub(super) fn check_room(self, flows: u32, option: &str) -> Result<()> {
        if self != Self::Nft {
            return Ok(());
        }
        let text = fs::read_to_string(MOST).with_context(|| format!("--peer nft: {MOST}"))?;
        let most: u32 = text.trim().parse().with_context(|| format!("{MOST}: {text}"))?;
        ensure!(
            flows <= most,
            "--peer nft: {flows} flows, and connection tracking remembers {most}: give fewer by {option}, or raise \
             net.netfilter.nf_conntrack_max (and /sys/module/nf_conntrack/parameters/hashsize to a quarter of it)"
        );
        Ok(())
    }

    /// Sets it up in a namespace whose interface is up and knows the real servers.
    pub(super) fn start(
        self,
        netns: &Netns,
        pool: Pool,
        protocol: Protocol,
        memory: Memory,
        dir: &Path,
    ) -> Result<()> {
        // Frames from the generator come in by NAPI, which a veth has with an XDP program or with GRO.
        netns.run("ethtool", &["-K", INTERFACE, "gro", "on"])?;
        for scope in ["all", INTERFACE] {
            netns.sysctl(&format!("ipv4/conf/{scope}/send_redirects"), "0")?;
        }
        netns.sysctl("ipv4/ip_forward", "1")?;
        match self {
            Self::Forward => {
                netns.ip(&format!("route add {VIP}/32 via {} dev {INTERFACE}", pool::address(0))).map(drop)
            }
            Self::Nft => nft(netns, pool, protocol, memory, dir),
            Self::Ipvs => ipvs(netns, pool, protocol, memory, dir),
        }
    }
}

fn nft(netns: &Netns, pool: Pool, protocol: Protocol, memory: Memory, dir: &Path) -> Result<()> {
    let file = dir.join("rules.nft");
    fs::write(&file, rules(&pool.busy(Scheduler::Rr), protocol)?)?;
    netns.run("nft", &["-f", &file.display().to_string()]).context("--peer nft: is nftables installed?")?;
    // The generator leaves TCP's checksum out, which no other program looks at.
    netns.sysctl("netfilter/nf_conntrack_checksum", "0")?;
    let seconds = match memory {
        Memory::Long => "600",
        Memory::Short => "1",
    };
    for state in ["udp_timeout", "tcp_timeout_syn_sent"] {
        netns.sysctl(&format!("netfilter/nf_conntrack_{state}"), seconds)?;
    }
    Ok(())
}

/// A table that sends new connections to real servers by turns.
fn rules(servers: &[(u16, u16)], protocol: Protocol) -> Result<String> {
    let protocol = match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    let mut turns = String::new();
    for (turn, &(number, _)) in servers.iter().enumerate() {
        write!(turns, "{}{turn} : {}", if turn > 0 { ", " } else { "" }, pool::address(number))?;
    }
    Ok(format!(
        "table ip bench {{\n  chain prerouting {{\n    type nat hook prerouting priority dstnat\n    \
         ip daddr {VIP} {protocol} dport {PORT} dnat to numgen inc mod {} map {{ {turns} }}\n  }}\n}}\n",
        servers.len()
    ))
}

fn ipvs(netns: &Netns, pool: Pool, protocol: Protocol, memory: Memory, dir: &Path) -> Result<()> {
    // Where it is a module, the first command loads it.
    netns.run("ipvsadm", &["-L", "-n"]).context(
        "--peer ipvs: this kernel has no IPVS (CONFIG_IP_VS, module ip_vs), or ipvsadm is missing; \
         leave it out, or measure under a kernel that has it",
    )?;
    // Of connections of TCP, of those that are closing, and of flows of datagrams; long enough as they are.
    if matches!(memory, Memory::Short) {
        netns.run("ipvsadm", &["--set", "1", "1", "1"])?;
    }
    netns.ip(&format!("addr add {VIP}/32 dev {INTERFACE}"))?;
    let service = match protocol {
        Protocol::Tcp => format!("-t {VIP}:{PORT}"),
        Protocol::Udp => format!("-u {VIP}:{PORT}"),
    };
    let mut commands = format!("-A {service} -s rr\n");
    for (number, weight) in pool.busy(Scheduler::Rr) {
        writeln!(commands, "-a {service} -r {}:{PORT} -g -w {weight}", pool::address(number))?;
    }
    let file = dir.join("services");
    fs::write(&file, commands)?;
    process::output(netns.command("ipvsadm")?.arg("-R").stdin(fs::File::open(&file)?)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_has_its_turn() {
        let rules = rules(&[(0, 1), (1, 2), (300, 3)], Protocol::Udp).expect("a string takes all");
        assert!(rules.contains("udp dport 80 dnat to numgen inc mod 3"), "{rules}");
        assert!(rules.contains("{ 0 : 10.99.1.0, 1 : 10.99.1.1, 2 : 10.99.2.44 }"), "{rules}");
    }

    #[test]
    fn segments_that_nobody_answered_are_not_for_connection_tracking() {
        assert!(Peer::Nft.check_segments(Protocol::Tcp).is_err());
        assert!(Peer::Nft.check_segments(Protocol::Udp).is_ok());
        assert!(Peer::Ipvs.check_segments(Protocol::Tcp).is_ok());
    }
}
