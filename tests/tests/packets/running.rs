//! A director that runs on the loopback, and is reloaded.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use lb_common::{
    layout::{Lease, NextHop},
    sched::Scheduler,
};
use lb_tests::netns;
use xlvs::{
    control::{Action, Director, Way},
    io::datapath::{Datapath, Prepared, Settings},
    plan::{Allocation, Difference, Wanted},
};

use crate::{
    bench::{self, DIRECTOR, action, attach_routers, attached_program, mac, rip, row, service},
    frame::{Frame, Packet},
};

const VIP: [u8; 4] = [10, 0, 0, 100];
const CLIENT: [u8; 4] = [192, 0, 2, 7];
/// Every server that any of the configurations has.
pub(crate) const SERVERS: [u8; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

fn bytes(packet: &Packet) -> Vec<u8> {
    let from = [2, 0, 0, 0, 9, 9];
    Frame { to: DIRECTOR, from, tags: Vec::new(), ethertype: 0x0800, payload: packet.bytes() }.bytes()
}

/// A segment of a client's connection to port 80.
pub(crate) fn tcp(client: u16, flags: u8) -> Vec<u8> {
    bytes(&Packet::tcp((CLIENT, client), (VIP, 80), flags))
}

/// A client's datagram to port 53.
pub(crate) fn udp(client: u16) -> Vec<u8> {
    udp_to(53, client)
}

/// A client's datagram.
pub(crate) fn udp_to(port: u16, client: u16) -> Vec<u8> {
    bytes(&Packet::udp((CLIENT, client), (VIP, port)))
}

/// TCP on port 80 with these servers of weight 1.
pub(crate) fn http(scheduler: Scheduler, servers: &[u8]) -> Wanted {
    let servers: Vec<_> = servers.iter().map(|&last| (last, 1)).collect();
    service(6, 80, scheduler, &servers)
}

/// The same with a real server of thresholds, for which a program has a part of its own.
pub(crate) fn limited(mut service: Wanted) -> Wanted {
    service.servers_mut()[0].thresholds = [1000, 0];
    service
}

/// A director in a network namespace of the thread's own.
pub(crate) struct Running {
    pub(crate) datapath: Datapath,
    pub(crate) director: Director,
}

/// What leads from what runs to other services.
pub(crate) struct Plan {
    pub(crate) director: Director,
    pub(crate) difference: Difference,
    pub(crate) allocation: Allocation,
    pub(crate) actions: Vec<Action>,
}

impl Running {
    /// One whose servers are all reachable.
    pub(crate) fn start(services: &[Wanted], routers: &[Lease]) -> Self {
        bench::namespace().expect("a namespace");
        let up = Command::new("ip").args("link set lo up".split(' ')).status().expect("ip");
        assert!(up.success());
        let (datapath, director) = attach_routers(&pins(), services, routers).expect("it attaches");
        Self { datapath, director }
    }

    /// What `services` need beside what runs.
    pub(crate) fn plan(&self, services: &[Wanted]) -> Plan {
        let way = |last| (rip(last), Way::Through(NextHop { mac: mac(last), port: 0 }));
        let ways: BTreeMap<_, _> = SERVERS.map(way).into();
        let difference = Difference::between(&self.director.services, services.to_vec());
        let allocation = self.datapath.allocation().assign_beside(&difference).expect("small");
        let mut director = self.director.clone();
        let next = director.reload(&difference, &allocation, &ways);
        let actions = director.adopt(&difference, next);
        Plan { director, difference, allocation, actions }
    }

    /// Why `services` need another program, if they do.
    pub(crate) fn lacks(&self, services: &[Wanted]) -> Option<&'static str> {
        let Plan { difference, allocation, .. } = self.plan(services);
        self.datapath.fits(self.datapath.settings(), &difference, &allocation).err()
    }

    /// Makes the services those, in place.
    pub(crate) fn change(&mut self, services: &[Wanted]) {
        let settings = self.datapath.settings().clone();
        let Plan { director, difference, allocation, actions } = self.plan(services);
        assert_eq!(self.datapath.fits(&settings, &difference, &allocation), Ok(()));
        self.datapath.change(settings, &difference, allocation, &actions).expect("in place");
        self.director = director;
    }

    /// Makes the services those by another program.
    pub(crate) fn replace(&mut self, settings: Settings, services: &[Wanted]) -> anyhow::Result<()> {
        let Plan { director, difference, allocation, .. } = self.plan(services);
        assert!(self.datapath.fits(&settings, &difference, &allocation).is_err(), "it must be worth it");
        let mut prepared = Prepared::beside(&self.datapath, settings, services, allocation)?;
        director.everything().iter().for_each(|action| prepared.apply(action));
        prepared.attach_over(&mut self.datapath)?;
        self.director = director;
        Ok(())
    }

    /// The server that gets a frame.
    pub(crate) fn to(&mut self, frame: &[u8]) -> Option<u8> {
        let program = attached_program(&mut self.datapath).expect("loaded");
        match bench::run(program, frame).expect("the program runs") {
            (action::TX, out) => Some(out[5]),
            (action::PASS, _) => None,
            other => panic!("{other:?}"),
        }
    }

    /// The number that the kernel gave to the program.
    pub(crate) fn program_id(&mut self) -> u32 {
        attached_program(&mut self.datapath).expect("loaded").info().expect("its number").id()
    }

    /// Takes everything away.
    pub(crate) fn stop(mut self) {
        self.datapath.stop();
    }

    /// Active and inactive connections of a server of port 80.
    pub(crate) fn load(&self, last: u8) -> (u32, u32) {
        let load = self.datapath.load(row(&self.director, 80, 6, last).expect("a row"));
        (load.active, load.inactive)
    }

    /// Connections that a server of port 80 has got.
    pub(crate) fn connections(&self, last: u8) -> u64 {
        let row = row(&self.director, 80, 6, last).expect("a row");
        self.datapath.stats(row).expect("a row").connections
    }
}

/// What it has pinned.
pub(crate) fn pinned_names(running: &Running) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(&running.datapath.settings().pins).expect("pins");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    names
}

/// A directory for pins of its own.
pub(crate) fn pins() -> PathBuf {
    Path::new("/sys/fs/bpf").join(netns::unique_name())
}
