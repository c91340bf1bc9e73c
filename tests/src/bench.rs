//! The real program with maps of its own, run on single frames by `BPF_PROG_TEST_RUN`.

use std::{net::IpAddr, process::Command};

use anyhow::Context as _;
use aya::{
    TestRun as _,
    programs::{Program, TestRunOptions},
};
use lb_common::{
    counters::{Counter, Counters},
    layout::{Address, NextHop, Stats},
    sched::Scheduler,
};
use xlvs::{
    control::{Director, Event, Way},
    io::{
        datapath::{Mode, Prepared, Settings},
        links::{Carrier, Link},
    },
    plan::{ServiceKey, Wanted, WantedServer},
};

/// The MAC address of the interface that frames come in by.
pub const DIRECTOR: [u8; 6] = [0x02, 0, 0, 0, 0, 0xd1];
/// The MAC address of the other interface.
pub const OTHER_PORT: [u8; 6] = [0x02, 0, 0, 0, 0, 0xd2];

/// XDP actions by their numbers.
pub mod action {
    /// Drop.
    pub const DROP: u32 = 1;
    /// To the stack.
    pub const PASS: u32 = 2;
    /// Out of the same interface.
    pub const TX: u32 = 3;
    /// Out of another interface.
    pub const REDIRECT: u32 = 4;
}

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// XDP action.
    pub action: u32,
    /// The counters that went up, each by how much.
    pub counted: Vec<(&'static str, u64)>,
    /// The frame afterwards.
    pub frame: Vec<u8>,
}

/// A director on the bench: no interface, no daemon.
pub struct Bench {
    prepared: Prepared,
    /// The director's own view, for events.
    pub director: Director,
}

/// A service for [`Bench::new`]: last octet of its VIP 10.0.0.x, port, protocol, and servers by last octet and weight.
pub fn service(protocol: u8, port: u16, scheduler: Scheduler, servers: &[(u8, u16)]) -> Wanted {
    let server = |&(last, weight): &(u8, u16)| WantedServer {
        rip: rip(last),
        weight,
        inhibit_on_failure: false,
        checks: vec![u32::from(last)],
    };
    let key = ServiceKey { vip: Address::v4([10, 0, 0, 100]), protocol, port };
    Wanted { key, scheduler, servers: servers.iter().map(server).collect() }
}

/// The RIP with this last octet.
pub fn rip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

/// The MAC address of the real server with this last octet.
pub const fn mac(last: u8) -> [u8; 6] {
    [0x02, 0, 0, 0, 1, last]
}

impl Bench {
    /// Loads the program for `services` in a network namespace of the calling thread's own. Needs root.
    pub fn new(services: &[Wanted]) -> anyhow::Result<Self> {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
            .context("a network namespace cannot be made: run the tests as root")?;
        let made = Command::new("ip").args("link add xlvs-out type veth peer name xlvs-far".split(' ')).status()?;
        anyhow::ensure!(made.success(), "no veth pair could be made");
        let index = nix::net::if_::if_nametoindex("xlvs-out")?;
        let settings = Settings {
            pins: std::env::temp_dir(),
            mode: Mode::Native,
            flow_slots: 4096,
            debug: false,
            // Frames of a test run come in by the loopback interface, which has index 1.
            interfaces: vec![link("lo", 1, DIRECTOR), link("xlvs-out", index, OTHER_PORT)],
        };
        let mut prepared = Prepared::new(settings, services)?;
        let director = Director::new(services, &prepared.allocation);
        director.everything().iter().for_each(|action| prepared.apply(action));
        Ok(Self { prepared, director })
    }

    /// Takes an event in, as the daemon would.
    pub fn event(&mut self, event: &Event) {
        for action in self.director.handle(event) {
            self.prepared.apply(&action);
        }
    }

    /// Tells that a real server is reached through a port.
    pub fn resolve(&mut self, last: u8, port: u16) {
        self.event(&Event::Way(rip(last), Way::Through(NextHop { mac: mac(last), port })));
    }

    /// The totals of the program's counters.
    pub fn counters(&self) -> anyhow::Result<Counters> {
        self.prepared.datapath().counters()
    }

    /// The counts of a service's real server.
    pub fn stats(&self, port: u16, protocol: u8, last: u8) -> anyhow::Result<Stats> {
        let key = ServiceKey { vip: Address::v4([10, 0, 0, 100]), protocol, port };
        let server = self.director.services[&key].servers.iter().find(|server| server.rip == rip(last));
        self.prepared.datapath().stats(server.context("no such server")?.row.row)
    }

    /// Runs one frame through the program.
    pub fn run(&self, frame: &[u8]) -> anyhow::Result<Outcome> {
        let before = self.counters()?;
        let mut out = vec![0; frame.len() + 256];
        let Some(Program::Xdp(program)) = self.prepared.ebpf().program("xlvs") else { anyhow::bail!("no program") };
        let options = TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), ..TestRunOptions::new() };
        let result = program.test_run(options)?;
        out.truncate(result.data_size_out as usize);
        let after = self.counters()?;
        let counted = Counter::ALL.iter().map(|counter| (counter.name(), counter.of(&after) - counter.of(&before)));
        Ok(Outcome { action: result.return_value, counted: counted.filter(|&(_, up)| up > 0).collect(), frame: out })
    }

    /// The program and its maps.
    pub const fn prepared(&mut self) -> &mut Prepared {
        &mut self.prepared
    }
}

fn link(name: &str, index: u32, mac: [u8; 6]) -> Link {
    Link { name: name.to_owned(), index, mac: Some(mac), mtu: 1500, carrier: Carrier::Up, kind: None }
}
