//! What the interfaces are, and what is on them.

use std::collections::BTreeMap;

use aya::programs::{loaded_links, loaded_programs};

use super::{ethtool::Ethtool, netdev::Netdev};
use crate::{
    doctor::facts::{Below, Bond, Interface, Program},
    io::{
        links::driver,
        netlink::{Error, Requests, facts::LinkDetail},
        sysctl,
    },
};

/// The settings of `net.ipv4.conf` that are looked at.
const SETTINGS: [&str; 2] = ["rp_filter", "arp_ignore"];

/// All interfaces there are. What is not told of some is not there.
pub(super) async fn interfaces(requests: &Requests) -> Result<Vec<Interface>, Error> {
    let mut details = requests.link_details().await?;
    details.sort_by_key(|detail| detail.link.index);
    let addresses = requests.addresses().await?;
    let (mut netdev, mut ethtool) = (Netdev::open().ok(), Ethtool::open().ok());
    let mut interfaces = Vec::new();
    for detail in &details {
        let link = &detail.link;
        let index = link.index;
        let own = addresses.iter().filter(|address| address.index == index);
        let standing = |is_on: &dyn Fn(&LinkDetail) -> bool| {
            details.iter().filter(|other| is_on(other)).map(|other| other.link.name.clone()).collect()
        };
        let (offloads, fixed) = match &mut ethtool {
            Some(ethtool) => ethtool.offloads(&link.name).await,
            None => <_>::default(),
        };
        interfaces.push(Interface {
            name: link.name.clone(),
            index,
            carrier: link.carrier,
            mac: link.mac,
            mtu: link.mtu,
            kind: link.kind.clone(),
            driver: driver(&link.name),
            below: below(requests, detail, &details).await,
            ports: standing(&|other| other.controller == Some(index)),
            vlans: standing(&|other| {
                let is_vlan = other.link.kind.as_deref() == Some("vlan");
                is_vlan && other.elsewhere.is_none() && other.below == Some(index)
            }),
            program: detail.program.map(|id| program(id, detail.is_generic)),
            xdp: match &mut netdev {
                Some(netdev) => netdev.xdp(index).await,
                None => None,
            },
            offloads,
            fixed,
            queues: match &mut ethtool {
                Some(ethtool) => ethtool.queues(&link.name).await,
                None => None,
            },
            bond: detail.bond.clone().map(|[mode, policy]| Bond { mode, policy }),
            settings: settings(&link.name),
            addresses: own.map(|address| (address.address, address.prefix)).collect(),
        });
    }
    Ok(interfaces)
}

async fn below(requests: &Requests, detail: &LinkDetail, all: &[LinkDetail]) -> Option<Below> {
    let index = detail.below?;
    let below = match detail.elsewhere {
        // Who may not look there is told nothing.
        Some(namespace) => requests.link_elsewhere(namespace, index).await.ok().flatten(),
        None => all.iter().find(|other| other.link.index == index).cloned(),
    };
    Some(Below {
        is_here: detail.elsewhere.is_none(),
        has_program: below.as_ref().map(|below| below.program.is_some()),
        name: below.map(|below| below.link.name),
    })
}

fn program(id: u32, is_generic: Option<bool>) -> Program {
    let known = loaded_programs().filter_map(Result::ok).find(|known| known.id() == id);
    let links = loaded_links().filter_map(Result::ok).filter(|link| link.program_id() == id);
    Program {
        id,
        name: known.and_then(|known| known.name_as_str().map(str::to_owned)),
        links: links.map(|link| link.id()).collect(),
        is_generic,
    }
}

/// As the kernel has it in force: the greater of that for all and its own.
fn settings(interface: &str) -> BTreeMap<String, i64> {
    let value = |setting: &&str| {
        let own = sysctl::get("ipv4", interface, setting).ok()?;
        let all = sysctl::get("ipv4", "all", setting).unwrap_or(0);
        Some(((*setting).to_owned(), own.max(all)))
    };
    SETTINGS.iter().filter_map(value).collect()
}
