//! Which adverts count for a router.

use super::*;
use crate::config::model::vrrp::Family;

fn refusals(instance: &VrrpInstance, event: Event) -> Vec<Action> {
    let now = Instant::now();
    does(&mut backup(now, instance), now, event)
}

fn refused(reason: Refusal) -> Vec<Action> {
    vec![Action::Refused { source: ip(HIGHER), reason }]
}

#[test]
fn version_2_refuses_another_interval() {
    let v2 = with(|instance| instance.version = Version::V2);
    let event = |interval| {
        heard_with(HIGHER, 200, |advert| {
            advert.version = Version::V2;
            advert.interval = interval;
        })
    };
    assert_eq!(refusals(&v2, event(SECOND)), []);
    assert_eq!(refusals(&v2, event(SECOND * 2)), refused(Refusal::Interval));
}

#[test]
fn an_advert_of_other_addresses_changes_nothing() {
    let two = with(|instance| instance.virtual_addresses.push(owned("192.0.2.101")));
    let event = |addresses: &[&str]| {
        heard_with(HIGHER, 200, |advert| {
            advert.addresses = addresses.iter().map(|address| ip(address)).collect();
        })
    };
    assert_eq!(refusals(&two, event(&[VIP, "192.0.2.101"])), []);
    assert_eq!(refusals(&two, event(&["192.0.2.101", VIP])), [], "their order does not count");
    assert_eq!(refusals(&two, event(&[VIP])), refused(Refusal::AddressCount));
    assert_eq!(refusals(&two, event(&[VIP, VIP])), refused(Refusal::Addresses));
    assert_eq!(refusals(&two, event(&[VIP, "192.0.2.102"])), refused(Refusal::Addresses));
}

#[test]
fn excluded_addresses_and_those_of_the_other_family_are_not_in_adverts() {
    let more = with(|instance| {
        instance.excluded_addresses.push(owned("192.0.2.101"));
        instance.virtual_addresses.push(owned("2001:db8::100"));
        instance.family = Family::V4;
    });
    assert_eq!(refusals(&more, heard(HIGHER, 200)), []);
}

#[test]
fn a_known_master_may_change_its_addresses_if_so_configured() {
    let now = Instant::now();
    let lenient = with(|instance| instance.skip_check_addresses = true);
    let mut machine = backup(now, &lenient);
    let other = heard_with(HIGHER, 200, |advert| advert.addresses[0] = ip("192.0.2.101"));
    assert_eq!(does(&mut machine, now, other.clone()), refused(Refusal::Addresses));
    does(&mut machine, now, heard(HIGHER, 200));
    assert_eq!(does(&mut machine, now, other), []);
    let fewer = heard_with(HIGHER, 200, |advert| advert.addresses.clear());
    assert_eq!(does(&mut machine, now, fewer), refused(Refusal::AddressCount));
    let another = heard_with(LOWER, 200, |advert| advert.addresses[0] = ip("192.0.2.101"));
    assert!(matches!(
        does(&mut machine, now, another)[..],
        [Action::Refused { reason: Refusal::Addresses, .. }]
    ));
}

#[test]
fn what_is_not_for_this_router_is_refused_and_counted() {
    let now = Instant::now();
    let mut machine = backup(
        now,
        &with(|instance| {
            instance.transport = Transport::Unicast { peers: vec![ip(LOWER)], ttl: 255, only_peers: true };
        }),
    );
    for (event, reason) in [
        (heard(OWN, 200), Refusal::Own),
        (heard(HIGHER, 200), Refusal::NotAPeer),
        (heard_with(LOWER, 200, |advert| advert.vrid = 52), Refusal::VirtualRouter),
        (heard_with(LOWER, 200, |advert| advert.version = Version::V2), Refusal::Version),
        (heard_with(LOWER, 200, |advert| advert.interval = Duration::ZERO), Refusal::Interval),
        (Event::Refused { source: None, reason: Refusal::Truncated }, Refusal::Truncated),
    ] {
        let before = machine.next_deadline();
        machine.handle(now + SECOND, event);
        assert_eq!((machine.refused()[&reason], machine.next_deadline()), (1, before), "{reason}");
    }
    machine.handle(now + SECOND, heard(LOWER, 200));
    assert_eq!((machine.adverts(), machine.master()), ((0, 1), Some(ip(LOWER))));
}
