//! Collects what `xlvs doctor` judges: asks the kernel and the neighbours, and changes nothing.

mod ethtool;
mod host;
mod interfaces;
mod neighbours;
mod netdev;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use self::neighbours::Asking;
use super::{
    links::Carrier,
    netlink::{Requests, facts::Route},
};
use crate::doctor::facts::{Answer, Facts, Interface, Server, VirtualAddress, Way};
use crate::doctor::wanted::Wanted;

/// The kernel gives a neighbour up that does not answer for three seconds.
const PATIENCE: Duration = Duration::from_millis(3500);
/// Between two looks at a neighbour.
const LOOK: Duration = Duration::from_millis(100);

/// What there is now, in the network namespace of the calling thread; `pins` is the directory of pinned maps.
///
/// # Errors
/// Netlink does not work at all.
pub async fn facts(wanted: &Wanted, pins: &Path) -> anyhow::Result<Facts> {
    let host = host::host(pins);
    let requests = Requests::open()?;
    let interfaces = interfaces::interfaces(&requests).await.context("looking at the interfaces")?;
    let mut unasked = Vec::new();
    let (named, is_generic) = (wanted.interfaces.clone(), wanted.is_generic);
    let mut facts = Facts { host, named, interfaces, is_generic, ..Facts::default() };
    let ways = wanted.servers.iter().map(|address| way(&requests, *address, &facts.interfaces));
    let ways = join_all(ways);
    let asked: Vec<IpAddr> = wanted.addresses.keys().copied().collect();
    let (ways, answers) = tokio::join!(ways, answers(&facts, &asked, &mut unasked));
    let mut unseen: Vec<String> = facts.used().filter_map(nameless).collect();
    for (address, way) in wanted.servers.iter().zip(ways) {
        match way {
            Ok(way) => facts.servers.push(Server { address: *address, way }),
            Err(why) => unseen.push(format!("the way to the real server {address}: {why}")),
        }
    }
    let held = |address: IpAddr| {
        let has = |interface: &&Interface| interface.addresses.iter().any(|(own, _)| *own == address);
        facts.interfaces.iter().find(has).map(|interface| interface.name.clone())
    };
    let addresses = wanted.addresses.iter().map(|(address, instance)| VirtualAddress {
        address: *address,
        instance: instance.clone(),
        held: held(*address),
        is_asked: places(&facts).any(|place| can_ask(place, *address)) && unasked.is_empty(),
        answers: answers
            .iter()
            .filter(|(said, _)| said == address)
            .map(|(_, answer)| answer.clone())
            .collect(),
    });
    facts.addresses = addresses.collect();
    unseen.extend(unasked);
    facts.unseen = unseen;
    Ok(facts)
}

/// That a program is there whose name is not told, so that it may be xlvs's or not.
fn nameless(interface: &Interface) -> Option<String> {
    let program = interface.program.as_ref().filter(|program| program.name.is_none())?;
    Some(format!(
        "the XDP program on {} with the number {}: its name is not told",
        interface.name, program.id
    ))
}

/// The interfaces by which neighbours can be asked: those of the director, and their VLANs.
fn places(facts: &Facts) -> impl Iterator<Item = &Interface> {
    let is_on = |place: &&Interface| {
        let of_used = facts.used().any(|used| used.vlans.contains(&place.name));
        of_used || facts.named.contains(&place.name)
    };
    let can_speak = |place: &&Interface| place.carrier == Carrier::Up && place.mac.is_some();
    facts.interfaces.iter().filter(is_on).filter(can_speak)
}

fn can_ask(place: &Interface, address: IpAddr) -> bool {
    address.is_ipv4() || own(place).is_some()
}

/// The host's own address on a link: a link-local one rather than another.
fn own(place: &Interface) -> Option<Ipv6Addr> {
    let all = place.addresses.iter().filter_map(|(address, _)| match address {
        IpAddr::V6(v6) => Some(*v6),
        IpAddr::V4(_) => None,
    });
    all.max_by_key(Ipv6Addr::is_unicast_link_local)
}

/// Who says that he has one of the addresses. What cannot be asked is noted in `unseen`.
async fn answers(
    facts: &Facts,
    addresses: &[IpAddr],
    unseen: &mut Vec<String>,
) -> BTreeSet<(IpAddr, Answer)> {
    let asks = places(facts).filter(|_| !addresses.is_empty()).map(|place| {
        let asking = Asking { index: place.index, mac: place.mac.unwrap_or_default(), own: own(place) };
        let addresses = addresses.to_vec();
        async move { (place, tokio::task::spawn_blocking(move || neighbours::ask(&asking, &addresses)).await) }
    });
    let mut found = BTreeSet::new();
    for (place, asked) in join_all(asks).await {
        let name = &place.name;
        match asked {
            Ok(Ok(told)) => {
                let answer = |mac| Answer { interface: name.clone(), mac };
                found.extend(told.into_iter().map(|(address, mac)| (address, answer(mac))));
            }
            Ok(Err(error)) => unseen.push(format!("who has the virtual addresses on {name}: {error}")),
            Err(error) => unseen.push(format!("who has the virtual addresses on {name}: {error}")),
        }
    }
    found
}

/// The way to a real server, or why it is not known.
async fn way(requests: &Requests, address: IpAddr, interfaces: &[Interface]) -> Result<Way, String> {
    let (index, neighbour) = match requests.route(address).await.map_err(|error| error.to_string())? {
        Route::Local => return Ok(Way::Local),
        Route::Via { ifindex, neighbour } => (ifindex, neighbour),
        Route::None(why) => return Ok(Way::None { reason: format!("there is no route to it: {why}") }),
    };
    let known = interfaces.iter().find(|interface| interface.index == index);
    let known = known.ok_or_else(|| format!("the interface {index} was not there a moment ago"))?;
    let interface = known.name.clone();
    let mut unknown = None;
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end && known.carrier == Carrier::Up {
        let asked = requests.solicit(index, neighbour).await;
        unknown = asked.as_ref().err().map(ToString::to_string);
        let entry = asked.ok().flatten().filter(|entry| entry.state.is_known());
        if let Some(mac) = entry.and_then(|entry| entry.link_address.try_into().ok()) {
            let is_itself = neighbour == address;
            let way = if is_itself { Way::Neighbour { interface, mac } } else { Way::Gateway { interface } };
            return Ok(way);
        }
        sleep(LOOK).await;
    }
    let who = if neighbour == address { "it".to_owned() } else { format!("its gateway {neighbour}") };
    let protocol = if neighbour.is_ipv4() { "ARP" } else { "neighbour discovery" };
    let reason = format!("{who} does not answer {protocol} on {interface}");
    unknown.map_or(Ok(Way::Silent { interface, reason }), Err)
}
