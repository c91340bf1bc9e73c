//! What VRRP asks the kernel to change, and what of it is there.

use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage};
use rtnetlink::packet_route::address::AddressMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage, MacVlanMode};
use rtnetlink::packet_route::route::{RouteMessage, RouteProtocol};
use rtnetlink::packet_route::rule::RuleMessage;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{LinkMacVlan, LinkUnspec};

use super::facts::{HostAddress, HostRoute, HostRule, Macvlan};
use super::requests::{Requests, patiently};
use super::{Error, VRRP_PROTOCOL, decode, encode};

const FAMILIES: [AddressFamily; 2] = [AddressFamily::Inet, AddressFamily::Inet6];
const NEW: u16 = NLM_F_CREATE | NLM_F_EXCL;

impl Requests {
    /// All addresses of the namespace, in the order of the kernel within each interface.
    pub(crate) async fn addresses(&self) -> Result<Vec<HostAddress>, Error> {
        let question = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let pick = |answer| match answer {
            RouteNetlinkMessage::NewAddress(message) => decode::address(&message),
            _ => None,
        };
        patiently(self.list("list addresses", question, pick)).await
    }

    /// All routes with the protocol number of VRRP.
    pub(crate) async fn vrrp_routes(&self) -> Result<Vec<HostRoute>, Error> {
        let mut routes = Vec::new();
        for family in FAMILIES {
            let mut question = RouteMessage::default();
            question.header.address_family = family;
            question.header.protocol = RouteProtocol::from(VRRP_PROTOCOL);
            let pick = |answer| match answer {
                RouteNetlinkMessage::NewRoute(message) => decode::host_route(&message),
                _ => None,
            };
            let question = RouteNetlinkMessage::GetRoute(question);
            routes.extend(patiently(self.list("list routes", question, pick)).await?);
        }
        Ok(routes)
    }

    /// All rules with the protocol number of VRRP.
    pub(crate) async fn vrrp_rules(&self) -> Result<Vec<HostRule>, Error> {
        let mut rules = Vec::new();
        for family in FAMILIES {
            let mut question = RuleMessage::default();
            question.header.family = family;
            let pick = |answer| match answer {
                RouteNetlinkMessage::NewRule(message) => decode::rule(&message),
                _ => None,
            };
            let question = RouteNetlinkMessage::GetRule(question);
            rules.extend(patiently(self.list("list rules", question, pick)).await?);
        }
        Ok(rules)
    }

    pub(crate) async fn add_address(&self, address: &HostAddress) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewAddress(encode::new_address(address));
        self.change("add the address", message, NEW).await
    }

    pub(crate) async fn remove_address(&self, address: &HostAddress) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelAddress(encode::address(address));
        self.change("remove the address", message, 0).await
    }

    /// An IPv4 route goes before one of something else to the same destination with the same metric, which is in
    /// force again when this one is removed. For IPv6 the kernel would make one route of both, so it is refused.
    pub(crate) async fn add_route(&self, route: &HostRoute) -> Result<(), Error> {
        let flags = if route.destination.0.is_ipv4() { NLM_F_CREATE } else { NEW };
        let message = RouteNetlinkMessage::NewRoute(encode::new_route(route));
        self.change("add the route", message, flags).await
    }

    pub(crate) async fn remove_route(&self, route: &HostRoute) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelRoute(encode::route(route));
        self.change("remove the route", message, 0).await
    }

    pub(crate) async fn add_rule(&self, rule: &HostRule) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewRule(encode::rule(rule));
        self.change("add the rule", message, NEW).await
    }

    pub(crate) async fn remove_rule(&self, rule: &HostRule) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelRule(encode::rule(rule));
        self.change("remove the rule", message, 0).await
    }

    /// The macvlan interface with this name; nothing if there is none or it is of another kind.
    pub(crate) async fn macvlan(&self, name: &str) -> Result<Option<Macvlan>, Error> {
        const WHAT: &str = "show an interface";
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetLink(message));
        request.header.flags = NLM_F_REQUEST;
        match patiently(self.ask(WHAT, request)).await {
            Ok(Some(RouteNetlinkMessage::NewLink(message))) => Ok(decode::macvlan(&message)),
            Ok(_) => Err(Error::Unexpected(WHAT)),
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a macvlan interface that talks to nobody on the same parent; it is down.
    pub(crate) async fn add_macvlan(&self, name: &str, parent: u32, mac: [u8; 6]) -> Result<(), Error> {
        let message = LinkMacVlan::new(name, parent, MacVlanMode::Private).address(mac.to_vec()).build();
        self.change("make the interface", RouteNetlinkMessage::NewLink(message), NEW).await
    }

    /// Switches an interface on.
    pub(crate) async fn set_up(&self, index: u32) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(index).up().build();
        self.change("switch the interface on", RouteNetlinkMessage::SetLink(message), 0).await
    }

    pub(crate) async fn remove_link(&self, index: u32) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.change("remove the interface", RouteNetlinkMessage::DelLink(message), 0).await
    }

    async fn change(
        &self,
        what: &'static str,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<(), Error> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        patiently(self.ask(what, request)).await.map(|_| ())
    }
}
