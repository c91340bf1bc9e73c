//! Questions to the kernel, one at a time, over a socket of their own so that events cannot crowd out answers.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt;
use rtnetlink::packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::packet_route::neighbour::{
    NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState as Nud,
};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use tokio::task::JoinHandle;

use super::facts::{LinkDetail, Neighbour, Route, Snapshot};
use super::{Error, decode};
use crate::io::links::Link;

/// The kernel answers in microseconds; longer means that the answer was lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// Of `linux/if_link.h`: the namespace a question is about (Linux 4.20).
const IFLA_TARGET_NETNSID: u16 = 46;

/// A socket for questions.
pub(crate) struct Requests {
    handle: rtnetlink::Handle,
    connection: JoinHandle<()>,
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Requests {
    /// Opens the socket, in the network namespace of the calling thread.
    pub(crate) fn open() -> Result<Self, Error> {
        let (connection, handle, _) = rtnetlink::new_connection()
            .map_err(|source| Error::Socket { what: "open a netlink socket", source })?;
        Ok(Self { handle, connection: tokio::spawn(connection) })
    }

    /// The same, but the kernel filters what it lists: where a routing daemon runs there may be a million routes.
    pub(crate) fn open_filtering() -> Result<Self, Error> {
        let (connection, handle, _) = rtnetlink::new_connection_with_strict_check()
            .map_err(|source| Error::Socket { what: "open a netlink socket", source })?;
        Ok(Self { handle, connection: tokio::spawn(connection) })
    }

    /// All links and all neighbours.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(Snapshot { links: self.links().await?, neighbours: patiently(self.neighbours()).await? })
    }

    /// All links of the namespace.
    pub(crate) async fn links(&self) -> Result<Vec<Link>, Error> {
        patiently(self.dump_links()).await
    }

    async fn dump_links(&self) -> Result<Vec<Link>, Error> {
        let mut links = Vec::new();
        let mut replies = std::pin::pin!(self.handle.link().get().execute());
        while let Some(reply) = replies.next().await {
            let message = reply.map_err(|error| Error::from_reply("list links", error))?;
            links.extend(decode::link(&message));
        }
        Ok(links)
    }

    /// All links of the namespace with what stands above, below and on them.
    pub(crate) async fn link_details(&self) -> Result<Vec<LinkDetail>, Error> {
        let pick = |answer| match answer {
            RouteNetlinkMessage::NewLink(message) => decode::link_detail(&message),
            _ => None,
        };
        let question = RouteNetlinkMessage::GetLink(LinkMessage::default());
        patiently(self.list("list links", question, pick)).await
    }

    /// A link in another namespace, which this one knows by that number.
    pub(crate) async fn link_elsewhere(
        &self,
        namespace: i32,
        index: u32,
    ) -> Result<Option<LinkDetail>, Error> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        let number = DefaultNla::new(IFLA_TARGET_NETNSID, namespace.to_ne_bytes().to_vec());
        message.attributes.push(LinkAttribute::Other(number));
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetLink(message));
        request.header.flags = NLM_F_REQUEST;
        match patiently(self.ask("show a link of another namespace", request)).await? {
            Some(RouteNetlinkMessage::NewLink(message)) => Ok(decode::link_detail(&message)),
            _ => Ok(None),
        }
    }

    async fn neighbours(&self) -> Result<Vec<Neighbour>, Error> {
        let mut neighbours = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let request = self.handle.neighbours().get().set_address_family(family);
            let mut replies = std::pin::pin!(request.execute());
            while let Some(reply) = replies.next().await {
                let message = reply.map_err(|error| Error::from_reply("list neighbours", error))?;
                neighbours.extend(decode::neighbour(&message));
            }
        }
        Ok(neighbours)
    }

    /// How the kernel would send to `destination` now.
    pub(crate) async fn route(&self, destination: IpAddr) -> Result<Route, Error> {
        const WHAT: &str = "look up a route";
        let mut message = RouteMessage::default();
        message.header.address_family = family(destination);
        message.header.destination_prefix_length = if destination.is_ipv4() { 32 } else { 128 };
        message.attributes.push(RouteAttribute::Destination(destination.into()));
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetRoute(message));
        request.header.flags = NLM_F_REQUEST;
        match patiently(self.ask(WHAT, request)).await {
            Ok(Some(RouteNetlinkMessage::NewRoute(message))) => Ok(decode::route(destination, &message)),
            Ok(_) => Err(Error::Unexpected(WHAT)),
            Err(error) => error.errno().and_then(decode::no_route).ok_or(error),
        }
    }

    /// Makes the kernel find the neighbour as if a packet were sent to it, and says what it knows then.
    pub(crate) async fn solicit(&self, ifindex: u32, neighbour: IpAddr) -> Result<Option<Neighbour>, Error> {
        let mut message = entry(ifindex, neighbour);
        message.header.state = Nud::None;
        message.header.flags = NeighbourFlags::Use;
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewNeighbour(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;
        patiently(self.ask("resolve a neighbour", request)).await?;
        self.neighbour(ifindex, neighbour).await
    }

    /// One entry of the neighbour table. Not every change of it is an event: a new entry that needs no resolution
    /// and the start of a resolution are not.
    async fn neighbour(&self, ifindex: u32, neighbour: IpAddr) -> Result<Option<Neighbour>, Error> {
        let message = entry(ifindex, neighbour);
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetNeighbour(message));
        request.header.flags = NLM_F_REQUEST;
        match patiently(self.ask("show a neighbour", request)).await {
            Ok(Some(RouteNetlinkMessage::NewNeighbour(message))) => Ok(decode::neighbour(&message)),
            Ok(_) => Ok(None),
            Err(error) if error.errno() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One question; the answer, or nothing if the kernel just says yes.
    pub(super) async fn ask(
        &self,
        what: &'static str,
        request: NetlinkMessage<RouteNetlinkMessage>,
    ) -> Result<Option<RouteNetlinkMessage>, Error> {
        let mut handle = self.handle.clone();
        let mut replies = handle.request(request).map_err(|error| Error::from_reply(what, error))?;
        let mut answer = None;
        while let Some(reply) = replies.next().await {
            match reply.payload {
                NetlinkPayload::InnerMessage(message) => answer = Some(message),
                NetlinkPayload::Error(message) if message.code.is_some() => {
                    return Err(Error::refused(what, &message));
                }
                _ => {}
            }
        }
        if answer.is_none() && self.connection.is_finished() {
            return Err(Error::Unexpected(what));
        }
        Ok(answer)
    }

    /// All answers to a question that lists, as far as `pick` takes them.
    pub(super) async fn list<T>(
        &self,
        what: &'static str,
        question: RouteNetlinkMessage,
        pick: impl Fn(RouteNetlinkMessage) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let mut request = NetlinkMessage::from(question);
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut handle = self.handle.clone();
        let mut replies = handle.request(request).map_err(|error| Error::from_reply(what, error))?;
        let mut facts = Vec::new();
        while let Some(reply) = replies.next().await {
            match reply.payload {
                NetlinkPayload::InnerMessage(message) => facts.extend(pick(message)),
                NetlinkPayload::Error(message) if message.code.is_some() => {
                    return Err(Error::refused(what, &message));
                }
                _ => {}
            }
        }
        if self.connection.is_finished() {
            return Err(Error::Unexpected(what));
        }
        Ok(facts)
    }
}

pub(super) async fn patiently<T>(question: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(PATIENCE, question).await.unwrap_or(Err(Error::Silent))
}

pub(super) fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn entry(ifindex: u32, neighbour: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(neighbour);
    message.header.ifindex = ifindex;
    message.attributes.push(NeighbourAttribute::Destination(neighbour.into()));
    message
}
