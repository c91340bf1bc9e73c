//! The transition table, single rules, random operations with invariants, and several machines on one virtual clock.

mod admission;
mod lab;
mod random;
mod rules;
mod table;
mod together;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::*;
use crate::config::Span;
use crate::config::model::vrrp::{InitialState, Transport, Version, VirtualAddress};

const OWN: &str = "192.0.2.20";
const LOWER: &str = "192.0.2.10";
const HIGHER: &str = "192.0.2.30";
const VIP: &str = "192.0.2.100";
const SECOND: Duration = Duration::from_secs(1);
/// With the interval and priority of [`instance`].
const LEASE: Duration = Duration::from_secs(3);
const SKEW: Duration = Duration::from_micros(609_375);

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

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

/// Version 3, priority 100, one address, one second.
fn instance() -> VrrpInstance {
    let mut instance = VrrpInstance::new("VI_1".into(), Span::default());
    instance.virtual_router_id = 51;
    instance.version = Version::V3;
    instance.virtual_addresses = vec![owned(VIP)];
    instance
}

fn with(change: impl FnOnce(&mut VrrpInstance)) -> VrrpInstance {
    let mut instance = instance();
    change(&mut instance);
    instance
}

/// An advert that fits [`instance`].
fn advert(priority: u8) -> Advert {
    Advert {
        version: Version::V3,
        vrid: 51,
        priority,
        interval: SECOND,
        addresses: vec![ip(VIP)],
        checksum: Checksum::WithPseudoHeader,
    }
}

fn heard(source: &str, priority: u8) -> Event {
    Event::Heard { source: ip(source), advert: advert(priority) }
}

fn heard_with(source: &str, priority: u8, change: impl FnOnce(&mut Advert)) -> Event {
    let mut advert = advert(priority);
    change(&mut advert);
    Event::Heard { source: ip(source), advert }
}

fn drain(machine: &mut Machine) -> Vec<Action> {
    std::iter::from_fn(|| machine.poll_action()).collect()
}

/// Started at `now` with nothing left to poll.
fn backup(now: Instant, instance: &VrrpInstance) -> Machine {
    let mut machine = Machine::new(instance);
    machine.handle(now, Event::Source(Some(ip(OWN))));
    machine.handle(now, Event::Start);
    drain(&mut machine);
    machine
}

/// A master whose first advert left at the time that is returned, with nothing left to poll.
fn master(now: Instant, instance: &VrrpInstance) -> (Machine, Instant) {
    let mut machine = backup(now, instance);
    let mut at = now;
    if machine.state() == State::Backup {
        at = machine.next_deadline().unwrap();
        machine.handle_timeout(at);
    }
    assert_eq!(machine.state(), State::Master);
    drain(&mut machine);
    machine.handle(at, Event::Sent);
    drain(&mut machine);
    (machine, at)
}

/// Handles one event and returns what it leads to.
fn does(machine: &mut Machine, now: Instant, event: Event) -> Vec<Action> {
    machine.handle(now, event);
    drain(machine)
}

/// Lets time pass, every timer in its moment and every advert sent, and returns what is to be done and when.
fn until(machine: &mut Machine, from: Instant, to: Instant) -> Vec<(Duration, Action)> {
    let mut actions = Vec::new();
    while let Some(at) = machine.next_deadline().filter(|&at| at <= to) {
        machine.handle_timeout(at);
        while let Some(action) = machine.poll_action() {
            if matches!(action, Action::Advert { .. }) {
                machine.handle(at, Event::Sent);
            }
            actions.push((at - from, action));
        }
    }
    actions
}
