//! Builds the parts of a lab and joins them as its plan says.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::director::Director;
use crate::family::{Family, LAN, NARROW, WAN};
use crate::host::BPFFS;
use crate::netns::Netns;
use crate::plan::{Legs, NARROW_MTU, Offload, Plan};
use crate::server::{RealServer, hide_from_arp};
use crate::switch::Switch;
use crate::trunk::{self, Trunk};

/// The port of the client.
const CLIENT: &str = "client";
pub(crate) const CLIENT_HOST: u8 = 9;
const DIRECTOR_HOST: u8 = 2;
/// The number of the virtual address.
pub(crate) const VIP_HOST: u8 = 100;
const FIRST_SERVER: u8 = 11;
/// Where the way to other networks begins.
const ROUTER_HOST: u8 = 254;
/// The router that has the client behind it.
const EDGE_HOST: u8 = 1;
const USUAL_MTU: usize = 1500;

/// A lab under construction.
pub(crate) struct Wiring<'a> {
    /// The name all namespaces begin with.
    name: &'a str,
    plan: &'a Plan,
    /// What joins them.
    pub(crate) switch: Switch,
}

/// The virtual address in `family`.
pub(crate) fn vip(plan: &Plan, family: Family) -> IpAddr {
    family.host(plan.legs.networks().1, VIP_HOST)
}

impl<'a> Wiring<'a> {
    /// Begins with a switch.
    pub(crate) fn new(name: &'a str, plan: &'a Plan) -> Result<Self> {
        let switch = Switch::create(&format!("{name}-sw"))?;
        let wiring = Self { name, plan, switch };
        let netns = wiring.switch.netns();
        let networks: &[_] = match plan.legs {
            Legs::One | Legs::Routed => &[("lan", LAN)],
            Legs::Two => &[("lan", LAN), ("wan", WAN)],
        };
        if plan.legs != Legs::One {
            wiring.make_router(netns)?;
        }
        for &(bridge, network) in networks {
            wiring.switch.add_bridge(bridge)?;
            if plan.legs != Legs::One {
                wiring.set_addresses(netns, bridge, network, ROUTER_HOST)?;
            }
        }
        Ok(wiring)
    }

    /// The client, and the router between it and the switch where there is one.
    pub(crate) fn client(&mut self) -> Result<(Netns, Option<Netns>)> {
        let client = self.namespace("client")?;
        let edge = match self.plan.legs {
            Legs::One => self.plug("lan", CLIENT, (&client, "net0", LAN, CLIENT_HOST)).map(|()| None)?,
            Legs::Two => self.plug("wan", CLIENT, (&client, "net0", WAN, CLIENT_HOST)).map(|()| None)?,
            Legs::Routed => Some(self.edge(&client)?),
        };
        if self.plan.offload == Offload::Usual {
            // Frames that pass an XDP program lose the note that their checksum is still to be filled in.
            client.run("ethtool", &["-K", "net0", "tx", "off"])?;
        }
        Ok((client, edge))
    }

    /// The director with its cables, one of them perhaps a trunk for `client`.
    pub(crate) fn director(&mut self, client: &Netns, dir: &Path) -> Result<(Director, Option<Trunk>)> {
        let netns = self.namespace("director")?;
        let legs: &[_] = match self.plan.legs {
            Legs::One | Legs::Routed => &[("lan", "lan0", LAN)],
            Legs::Two => &[("wan", "wan0", WAN), ("lan", "lan0", LAN)],
        };
        let mut trunk = None;
        for &(bridge, interface, network) in legs {
            let port = format!("dir-{interface}");
            if self.plan.tags.is_some() {
                ensure!(self.plan.legs == Legs::One, "only a lab with one network has tags");
                trunk =
                    Some(self.trunk(bridge, &port, (&netns, interface, network, DIRECTOR_HOST), client)?);
            } else {
                self.plug(bridge, &port, (&netns, interface, network, DIRECTOR_HOST))?;
                self.switch.poll(&port)?;
                // The program at the port has turned it on.
                self.set_offload(self.switch.netns(), &port)?;
            }
        }
        for &family in self.plan.families {
            let vip = family.alone(vip(self.plan, family));
            // Its own packets come from its own address, as with an address that a virtual router has brought.
            let unpreferred = if family == Family::V6 { "preferred_lft 0" } else { "" };
            netns.ip(&format!("addr add {vip} dev {} {unpreferred}", legs[0].1))?;
            if self.plan.legs == Legs::Routed {
                set_gateway(&netns, family, LAN, ROUTER_HOST)?;
            }
        }
        let interfaces = legs.iter().map(|(_, interface, _)| (*interface).to_owned()).collect();
        let dir = dir.join("director");
        fs::create_dir(&dir)?;
        let pins = Path::new(BPFFS).join(self.name);
        Ok((Director::new(netns, self.plan.binary.clone(), interfaces, &dir, pins), trunk))
    }

    /// Real server `index`, from 0, with nginx running.
    pub(crate) fn server(&self, index: usize, dir: &Path) -> Result<RealServer> {
        let index = u8::try_from(index).context("number of real servers")?;
        let own = format!("rs{}", index + 1);
        let netns = self.namespace(&own)?;
        hide_from_arp(&netns)?;
        self.plug("lan", &own, (&netns, "net0", LAN, FIRST_SERVER + index))?;
        for &family in self.plan.families {
            if self.plan.legs != Legs::One {
                set_gateway(&netns, family, LAN, ROUTER_HOST)?;
            }
            let vip = family.alone(vip(self.plan, family));
            // Neighbours are told of addresses of the link they ask on only, so nobody learns it from here.
            netns.ip(&format!("addr add {vip} dev lo {}", undetected(family)))?;
        }
        RealServer::start_new(&own, FIRST_SERVER + index, netns, dir)
    }

    fn namespace(&self, own: &str) -> Result<Netns> {
        let netns = Netns::create(&format!("{}-{own}", self.name))?;
        if self.plan.families.contains(&Family::V6) {
            netns.allow_ipv6()?;
        }
        Ok(netns)
    }

    /// Puts an interface with the addresses of a host into a namespace, its peer `port` on `bridge`.
    fn plug(&self, bridge: &str, port: &str, end: (&Netns, &str, u8, u8)) -> Result<()> {
        let (netns, interface, network, host) = end;
        let addresses: Vec<_> =
            self.plan.families.iter().map(|family| family.on_link(network, host)).collect();
        self.switch.plug(bridge, port, netns, interface, &addresses)?;
        for (netns, interface) in [(self.switch.netns(), port), (netns, interface)] {
            if let Some(mtu) = self.plan.mtu {
                netns.ip(&format!("link set {interface} mtu {mtu}"))?;
            }
            self.set_offload(netns, interface)?;
        }
        Ok(())
    }

    /// The same with a trunk in between.
    fn trunk(&self, bridge: &str, port: &str, end: (&Netns, &str, u8, u8), client: &Netns) -> Result<Trunk> {
        let (netns, interface, network, host) = end;
        let tags = self.plan.tags.context("a trunk has tags")?;
        let own = self.namespace("trunk")?;
        // It is no host.
        own.sysctl("ipv6/conf/default/disable_ipv6", "1")?;
        self.switch.plug(bridge, port, &own, trunk::OUTSIDE, &[])?;
        own.ip(&format!(
            "link add {} type veth peer name {interface} netns {}",
            trunk::INSIDE,
            netns.name()
        ))?;
        let mtu = self.plan.mtu.unwrap_or(USUAL_MTU) + trunk::TAGS;
        for (netns, interface) in [(&own, trunk::INSIDE), (netns, interface)] {
            netns.ip(&format!("link set {interface} mtu {mtu} up"))?;
            self.set_offload(netns, interface)?;
        }
        self.set_offload(self.switch.netns(), port)?;
        self.set_offload(&own, trunk::OUTSIDE)?;
        self.set_addresses(netns, interface, network, host)?;
        Trunk::start(own, tags, client.mac("net0")?)
    }

    /// The router between the client and the narrow link.
    fn edge(&self, client: &Netns) -> Result<Netns> {
        let (edge, switch) = (self.namespace("edge")?, self.switch.netns());
        self.make_router(&edge)?;
        let links = [
            ((client, "net0", WAN, CLIENT_HOST), (&edge, "far0", WAN, ROUTER_HOST), USUAL_MTU),
            ((&edge, "near0", NARROW, EDGE_HOST), (switch, "narrow0", NARROW, ROUTER_HOST), NARROW_MTU),
        ];
        for (one, other, mtu) in links {
            let [(netns, interface, ..), (peer, end, ..)] = [one, other];
            netns.ip(&format!("link add {interface} type veth peer name {end} netns {}", peer.name()))?;
            for (netns, interface, network, host) in [one, other] {
                netns.ip(&format!("link set {interface} mtu {mtu} up"))?;
                self.set_offload(netns, interface)?;
                self.set_addresses(netns, interface, network, host)?;
            }
        }
        for &family in self.plan.families {
            set_gateway(client, family, WAN, ROUTER_HOST)?;
            set_gateway(&edge, family, NARROW, ROUTER_HOST)?;
            let way = format!("{} via {}", family.on_link(WAN, 0), family.host(NARROW, EDGE_HOST));
            switch.ip(&format!("{} route add {way}", family.option()))?;
        }
        Ok(edge)
    }

    fn make_router(&self, netns: &Netns) -> Result<()> {
        for family in self.plan.families {
            match family {
                Family::V4 => netns.sysctl("ipv4/ip_forward", "1")?,
                Family::V6 => {
                    netns.allow_ipv6()?;
                    netns.sysctl("ipv6/conf/all/forwarding", "1")?;
                }
            }
        }
        Ok(())
    }

    fn set_addresses(&self, netns: &Netns, interface: &str, network: u8, host: u8) -> Result<()> {
        for family in self.plan.families {
            netns.ip(&format!("addr add {} dev {interface}", family.on_link(network, host)))?;
        }
        Ok(())
    }

    fn set_offload(&self, netns: &Netns, interface: &str) -> Result<()> {
        if self.plan.offload == Offload::Off {
            let off = ["-K", interface, "tx", "off", "tso", "off", "gso", "off", "gro", "off"];
            netns.run("ethtool", &off)?;
        }
        Ok(())
    }
}

fn set_gateway(netns: &Netns, family: Family, network: u8, host: u8) -> Result<()> {
    let gateway = family.host(network, host);
    netns.ip(&format!("{} route add default via {gateway}", family.option())).map(drop)
}

/// An address that others have too is taken without asking for it.
fn undetected(family: Family) -> &'static str {
    match family {
        Family::V4 => "",
        Family::V6 => "nodad",
    }
}
