//! How many queues there are: for what comes, and for what a program sends.

use super::facts::{Facts, Interface, Queues};
use super::{Check, Mend, Said, Severity, native};

pub(super) const CHECKS: &[Check<Interface>] =
    &[("queues", few), ("xdp-queues", shared), ("xdp-queues", refused)];

/// Of hardware: what is made in software takes frames on any processor.
fn few(interface: &Interface, facts: &Facts) -> Said {
    let (queues, cpus) = (receiving(interface, facts)?, facts.host.cpus);
    let most = match interface.driver.as_deref() {
        _ if facts.is_generic => queues.most,
        // Without any to spare it waits whatever is done here.
        Some("virtio_net") if queues.most > facts.host.possible => queues.most - facts.host.possible,
        _ if wants_half(interface, facts) => half(queues),
        _ => queues.most,
    };
    let (now, wanted) = (queues.now, most.min(cpus));
    let text = format!("{now} of {cpus} processors take its frames, and it can have {} queues", queues.most);
    let is_few = interface.kind.is_none() && now < wanted;
    is_few.then(|| (Severity::Warning, text, Some(set(interface, queues, wanted))))
}

/// A virtio card wants a queue for each processor there may be, beside those that receive. Without them processors wait for
/// each other.
fn shared(interface: &Interface, facts: &Facts) -> Said {
    let (queues, possible) = (receiving(interface, facts)?, facts.host.possible);
    if facts.is_generic || !is_virtio(interface) || queues.now + possible <= queues.most {
        return None;
    }
    let text = format!(
        "with {} queues of {} no queue is left for each of {possible} processors to send by, so that they wait for each other",
        queues.now, queues.most
    );
    let Some(left) = to_send(queues, facts) else {
        let wanted = facts.host.cpus + possible;
        let text = format!("{text}: its host is to give it {wanted} queues");
        return Some((Severity::Warning, text, None));
    };
    Some((Severity::Warning, text, Some(set(interface, queues, left))))
}

/// Others refuse a program without as many queues to spare.
pub(super) fn refused(interface: &Interface, facts: &Facts) -> Said {
    let (queues, driver) = (interface.queues?, interface.driver.as_deref()?);
    if facts.is_generic || !wants_half(interface, facts) || queues.now <= half(queues) {
        return None;
    }
    let text = format!(
        "its driver, {driver}, takes a program only if at most half of the queues that it can have, {}, are in use, and {} are",
        queues.most, queues.now
    );
    if half(queues) == 0 {
        let text = format!("{text}; the slow way is left");
        return Some((Severity::Fault, text, Some(native::generic_by(interface, facts))));
    }
    Some((Severity::Fault, text, Some(set(interface, queues, half(queues)))))
}

/// Whether its driver takes a program only with as many queues to spare as are in use. One of ena tells the kernel that it has
/// no native XDP while they are too many; one of gve may really have none.
fn wants_half(interface: &Interface, facts: &Facts) -> bool {
    match interface.driver.as_deref() {
        Some("ena") => true,
        Some("gve") => !native::is_lacking(interface, facts),
        _ => false,
    }
}

/// Its queues, where they are those that receive: a virtio card with a program counts those that it sends by among them, and
/// changes none of them.
fn receiving(interface: &Interface, facts: &Facts) -> Option<Queues> {
    let is_mixed = is_virtio(interface) && native::has_program(interface, facts);
    interface.queues.filter(|_| !is_mixed)
}

fn is_virtio(interface: &Interface) -> bool {
    interface.driver.as_deref() == Some("virtio_net")
}

/// How many may receive at a virtio card while each processor has another one to send by, if that is enough.
fn to_send(queues: Queues, facts: &Facts) -> Option<u32> {
    let left = queues.most.checked_sub(facts.host.possible)?;
    (left >= facts.host.cpus).then_some(facts.host.cpus)
}

const fn half(queues: Queues) -> u32 {
    queues.most / 2
}

fn set(interface: &Interface, queues: Queues, number: u32) -> Mend {
    let Interface { name, driver, .. } = interface;
    // With a program gve wants as many that send as receive.
    let sending = if driver.as_deref() == Some("gve") { format!(" tx {number}") } else { String::new() };
    Mend::here(format!("ethtool -L {name} {} {number}{sending}", queues.kind))
}
