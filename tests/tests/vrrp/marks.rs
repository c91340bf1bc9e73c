//! A firewall mark over addresses of several virtual routers: each packet is forwarded by the master of its own address.
//!
//! Every datagram is sent in copies, to each director's MAC address and to those of the virtual routers. What leaves
//! towards the real server is seen on the switch.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use lb_tests::capture::Capture;
use lb_tests::config::VirtualRouter;
use lb_tests::daemon::Daemon;
use lb_tests::forge::datagram;
use lb_tests::frame::{Frame, Mac};
use lb_tests::sender::Sender;
use lb_tests::wait::{self, TAKEOVER};
use lb_tests::{Site, with_site};

use crate::pair::Program::Xlvs;
use crate::pair::{INTERFACE, Pair, VRID};

/// The address of the first virtual router, that of the second, and one that is nobody's.
const ADDRESSES: [Ipv4Addr; 3] =
    [Ipv4Addr::new(10, 77, 0, 100), Ipv4Addr::new(10, 77, 0, 101), Ipv4Addr::new(10, 77, 0, 102)];
const NAMES: [&str; 2] = ["VI_1", "VI_2"];
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 11);
const DNS: u16 = 53;
/// Datagrams that each way must have taken before they are looked at.
const ENOUGH: usize = 20;

/// Of both routers, on a director that is to be master of the first one, of the second one, and of none.
const OF_FIRST: [u8; 2] = [100, 90];
const OF_SECOND: [u8; 2] = [90, 100];
const LOW: [u8; 2] = [80, 80];

/// Where a datagram is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// To the MAC address of a director.
    Own(usize),
    /// To that of a virtual router.
    Virtual(usize),
}

const PLAIN: &[Way] = &[Way::Own(0), Way::Own(1)];
const VIRTUAL: &[Way] = &[Way::Own(0), Way::Own(1), Way::Virtual(0), Way::Virtual(1)];

impl Way {
    fn mac(self, directors: [Mac; 2]) -> Mac {
        match self {
            Self::Own(director) => directors[director],
            Self::Virtual(router) => [0, 0, 0x5e, 0, 1, VRID + router as u8],
        }
    }

    /// The director that forwards a datagram for this address, if one does, while `masters` are those of the routers.
    fn forwarder(self, address: usize, masters: [usize; 2]) -> Option<usize> {
        match (self, masters.get(address)) {
            (Self::Own(director), Some(master)) => (director == *master).then_some(director),
            // Nobody's address is everybody's.
            (Self::Own(director), None) => Some(director),
            (Self::Virtual(router), master) => master.filter(|_| router == address).copied(),
        }
    }
}

/// Both routers with their priorities.
fn config(priorities: [u8; 2], line: Option<&str>) -> String {
    let router = |place: usize| {
        let address = ADDRESSES[place].to_string();
        let router = VirtualRouter::new(INTERFACE, VRID + place as u8, priorities[place], &address);
        line.iter().fold(router.named(NAMES[place]).version3("0.1"), |router, line| router.line(line))
    };
    let [one, two, nobodys] = ADDRESSES;
    let rules = format!(
        "fwmark_rules {{\nmark 1 {{\ndestination {one} {two} {nobodys}\nprotocol UDP\nport {DNS}\n}}\n}}\n"
    );
    let service = "virtual_server fwmark 1 {\nlb_algo rr\nlb_kind DR\n";
    format!("{rules}{}{}{service}real_server {SERVER} {{\n}}\n}}\n", router(0), router(1))
}

/// Two directors and datagrams on every way.
struct Marked {
    pair: Pair,
    capture: Capture,
    daemons: [Daemon; 2],
    ways: &'static [Way],
    server: Mac,
    _sender: Sender,
}

impl Marked {
    fn start(site: &mut Site, line: Option<&str>, ways: &'static [Way]) -> Result<Self> {
        let pair = Pair::plug(site)?;
        let server = site.host("rs1", INTERFACE, &[&format!("{SERVER}/24")])?;
        let daemons = [
            Xlvs.start(&pair.first, &config(OF_FIRST, line))?,
            Xlvs.start(&pair.second, &config(OF_SECOND, line))?,
        ];
        let capture = pair.capture(site)?;
        let (own, directors) = (pair.other.mac()?, [pair.first.mac()?, pair.second.mac()?]);
        let sender = Sender::start(pair.other.netns(), INTERFACE, Duration::from_millis(5), move |_| {
            let all = (0..ADDRESSES.len()).flat_map(|address| ways.iter().map(move |way| (address, *way)));
            let frame = |(address, way): (usize, Way)| {
                let source = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 66), port(address, way, ways));
                let target = SocketAddrV4::new(ADDRESSES[address], DNS);
                datagram(way.mac(directors), own, source, target, b"who")
            };
            all.map(frame).collect()
        })?;
        let server = server.mac()?;
        Ok(Self { pair, capture, daemons, ways, server, _sender: sender })
    }

    /// Waits until these directors are masters of the two routers.
    fn wait_masters(&self, masters: [usize; 2]) -> Result<()> {
        wait::until(&format!("{masters:?} to be masters"), TAKEOVER, || {
            let state = |router: usize| self.daemons[masters[router]].instance(NAMES[router]);
            let states = [state(0)?.state, state(1)?.state];
            let is_so = states.iter().all(|state| state == "MASTER");
            Ok(if is_so { ControlFlow::Break(()) } else { ControlFlow::Continue(format!("{states:?}")) })
        })
    }

    /// Every way of every address was taken by the director that is to forward, and by no other.
    fn ensure_forwarded(&self, masters: [usize; 2]) -> Result<()> {
        let since = SystemTime::now();
        let all = (0..ADDRESSES.len()).flat_map(|address| self.ways.iter().map(move |way| (address, *way)));
        let expected: BTreeSet<_> =
            all.filter_map(|(address, way)| Some((address, way, way.forwarder(address, masters)?))).collect();
        let what = format!("{ENOUGH} datagrams on each of {expected:?}");
        let counts = wait::until(&what, TAKEOVER, || {
            let counts = self.forwarded(since)?;
            let are_there = expected.iter().all(|way| counts.get(way).is_some_and(|count| *count >= ENOUGH));
            Ok(if are_there {
                ControlFlow::Break(counts)
            } else {
                ControlFlow::Continue(format!("{counts:?}"))
            })
        })?;
        ensure!(counts.keys().copied().collect::<BTreeSet<_>>() == expected, "{counts:?}, not {expected:?}");
        Ok(())
    }

    /// How many datagrams of each address and way each director has forwarded.
    fn forwarded(&self, since: SystemTime) -> Result<BTreeMap<(usize, Way, usize), usize>> {
        let mut counts = BTreeMap::new();
        let frames = self.capture.frames()?;
        for frame in frames.iter().filter(|frame| frame.at > since) {
            let Some((address, way)) = self.flow(frame) else { continue };
            let director = usize::from(frame.is_from(&self.pair.second));
            *counts.entry((address, way, director)).or_default() += 1;
        }
        Ok(counts)
    }

    /// Which address and way a frame to the real server had.
    fn flow(&self, frame: &Frame) -> Option<(usize, Way)> {
        let packet = frame.packet().filter(|_| frame.destination_mac() == Some(self.server))?;
        let address = ADDRESSES.iter().position(|own| IpAddr::V4(*own) == packet.destination)?;
        let source = u16::from_be_bytes(packet.payload.get(..2)?.try_into().ok()?);
        let way = self.ways.iter().find(|way| port(address, **way, self.ways) == source)?;
        Some((address, *way))
    }
}

/// By which a datagram's way is known again.
fn port(address: usize, way: Way, ways: &[Way]) -> u16 {
    let place = ways.iter().position(|other| *other == way).unwrap_or_default();
    (20_000 + 10 * address + place) as u16
}

/// Each director forwards for its own router, then the second for both, then again each for its own.
fn each_forwards_its_own(line: Option<&str>, ways: &'static [Way]) -> Result<()> {
    with_site(|site| {
        let mut marked = Marked::start(site, line, ways)?;
        marked.wait_masters([0, 1])?;
        marked.ensure_forwarded([0, 1])?;

        marked.daemons[0].reload(&config(LOW, line))?;
        marked.wait_masters([1, 1])?;
        marked.ensure_forwarded([1, 1])?;

        marked.daemons[0].reload(&config(OF_FIRST, line))?;
        marked.wait_masters([0, 1])?;
        marked.ensure_forwarded([0, 1])
    })
}

#[test]
fn each_director_forwards_what_is_for_its_own_virtual_router() -> Result<()> {
    each_forwards_its_own(None, PLAIN)
}

#[test]
fn with_virtual_mac_addresses_none_is_taken_for_the_address_of_another_router() -> Result<()> {
    each_forwards_its_own(Some("use_vmac"), VIRTUAL)
}
