//! One rule after the other on one node in virtual time, and then two nodes.

mod announcing;
mod groups;
mod lifetime;
mod random;
mod reload;
mod told;
mod tracking;
mod two_nodes;

use std::net::IpAddr;

use super::*;
use crate::config::Span;
use crate::config::model::vrrp::{
    Checksum, Notify, SyncGroup, Track, Tracks, Version, VirtualAddress, VrrpInstance,
};
use crate::vrrp::wire::Advert;
use crate::vrrp::{GroupId, State};

const OWN: &str = "192.0.2.20";
const PEER: &str = "192.0.2.10";
const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const FIRST: RouterId = RouterId(0);
const OTHER: RouterId = RouterId(1);

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}

fn owned(address: &str) -> VirtualAddress {
    VirtualAddress {
        address: ip(address),
        prefix: None,
        dev: None,
        label: None,
        scope: None,
        broadcast: None,
    }
}

/// Version 3, priority 100, one address, announced once and no more.
fn instance(number: u8) -> VrrpInstance {
    let mut instance = VrrpInstance::new(format!("VI_{number}"), Span::default());
    instance.interface = Some(format!("eth{number}"));
    instance.virtual_router_id = number;
    instance.version = Version::V3;
    instance.virtual_addresses = vec![owned(&format!("203.0.113.{number}"))];
    instance.announcing.repeat = 1;
    instance.announcing.delay = Duration::ZERO;
    instance
}

fn group() -> SyncGroup {
    SyncGroup {
        tracking_weight: false,
        name: "VG".to_owned(),
        members: vec!["VI_1".to_owned(), "VI_2".to_owned()],
        tracks: Tracks::default(),
        notify: Notify::default(),
        smtp_alert: None,
        span: Span::default(),
    }
}

fn track(name: &str, weight: i32) -> Track {
    Track { name: name.to_owned(), weight, reverse: false }
}

/// One router.
fn single() -> Vrrp {
    Vrrp { instances: vec![instance(1)], ..Vrrp::default() }
}

/// Two routers in a group.
fn pair() -> Vrrp {
    Vrrp { instances: vec![instance(1), instance(2)], sync_groups: vec![group()], ..Vrrp::default() }
}

/// An advert as a peer with this configuration sends it.
fn advert(instance: &VrrpInstance, priority: u8) -> Advert {
    Advert {
        version: instance.version,
        vrid: instance.virtual_router_id,
        priority,
        interval: instance.advert_interval,
        addresses: instance.virtual_addresses.iter().map(|owned| owned.address).collect(),
        checksum: Checksum::default(),
    }
}

/// A node whose adverts leave at once.
#[derive(Clone)]
struct Node {
    config: Vrrp,
    numbers: Numbers,
    routers: Routers,
    now: Instant,
}

/// How long the host of every node runs.
const UPTIME: Duration = Duration::from_secs(30);

impl Node {
    /// Nothing is known of its host.
    fn new(config: Vrrp) -> Self {
        Self::booted(config, Instant::now())
    }

    fn booted(config: Vrrp, now: Instant) -> Self {
        let numbers = Numbers::default().assign(&config);
        Self { routers: Routers::new(&config, &numbers, now, UPTIME), config, numbers, now }
    }

    /// Every interface is up and has an address.
    fn up(config: Vrrp) -> Self {
        let mut node = Self::new(config);
        node.bring_up();
        node
    }

    /// Every router has become master.
    fn master(config: Vrrp) -> Self {
        let mut node = Self::up(config);
        node.run(4 * SECOND);
        assert!(node.routers.report().iter().all(|router| router.state == State::Master));
        node
    }

    fn bring_up(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        for (place, instance) in self.config.instances.clone().into_iter().enumerate() {
            let Some(name) = instance.interface else { continue };
            outputs.extend(self.tell(Input::Interface { name, up: true }));
            outputs.extend(self.tell(Input::Source { router: RouterId(place), address: Some(ip(OWN)) }));
        }
        outputs
    }

    fn tell(&mut self, input: Input) -> Vec<Output> {
        self.routers.handle(self.now, input);
        self.drain()
    }

    /// Takes a configuration in place of its own.
    fn reload(&mut self, config: Vrrp) -> Vec<Output> {
        self.numbers = self.numbers.assign(&config);
        self.config = config;
        self.routers.reload(self.now, &self.config, &self.numbers);
        self.drain()
    }

    /// The same with something else in it.
    fn change(&mut self, change: impl FnOnce(&mut Vrrp)) -> Vec<Output> {
        let mut config = self.config.clone();
        change(&mut config);
        self.reload(config)
    }

    fn interface(&mut self, name: &str, up: bool) -> Vec<Output> {
        self.tell(Input::Interface { name: name.to_owned(), up })
    }

    fn hear(&mut self, router: RouterId, priority: u8) -> Vec<Output> {
        let advert = advert(&self.config.instances[router.0], priority);
        self.tell(Input::Heard { router, source: ip(PEER), advert })
    }

    /// Lets time pass, from deadline to deadline.
    fn run(&mut self, time: Duration) -> Vec<Output> {
        let end = self.now + time;
        let mut outputs = Vec::new();
        while let Some(at) = self.routers.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.routers.handle_timeout(self.now);
            outputs.extend(self.drain());
        }
        self.now = end;
        outputs
    }

    /// The node does not run for so long, and then looks at the clock.
    fn freeze(&mut self, time: Duration) -> Vec<Output> {
        self.now += time;
        self.routers.handle_timeout(self.now);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = self.routers.poll_output() {
            match output {
                Output::Advert { router, .. } => self.routers.handle(self.now, Input::Sent(router)),
                // Its address is known, if it comes back.
                Output::Ended(router) => {
                    self.routers.handle(self.now, Input::Source { router, address: Some(ip(OWN)) });
                }
                _ => {}
            }
            outputs.push(output);
        }
        outputs
    }

    fn state(&self, router: RouterId) -> State {
        self.routers.report().into_iter().find(|report| report.router == router).unwrap().state
    }

    fn states(&self) -> Vec<State> {
        self.routers.report().iter().map(|report| report.state).collect()
    }
}

/// The changes of state among outputs, with those of groups as `VG`.
fn changes(outputs: &[Output]) -> Vec<String> {
    let change = |output: &Output| match output {
        Output::Changed { router, to, .. } => Some(format!("{} {to}", router.0)),
        Output::GroupChanged { group: GroupId(0), to } => Some(format!("VG {to}")),
        _ => None,
    };
    outputs.iter().filter_map(change).collect()
}

fn reasons(outputs: &[Output]) -> Vec<&str> {
    let mut reasons = Vec::new();
    for output in outputs {
        if let Output::Changed { reason, .. } = output {
            reasons.push(reason.as_str());
        }
    }
    reasons
}
