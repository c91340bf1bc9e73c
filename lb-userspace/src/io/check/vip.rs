//! `vip_check`: what goes to the virtual address is sent to the MAC address of one real server, as the packets of clients are.

mod filter;
mod packets;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;

use self::packets::{Packets, Receiving};
use super::probe::{Failure, Seconds, text};
use crate::config::model::check::{VipProbe, VipTarget};
use crate::config::model::vrrp::Family;
use crate::health::Input;
use crate::io::nexthop::{Resolution, Resolutions};
use crate::vip_probe::{Answer, Kind, Question};

/// A port to find out from which address something is sent to a host; nothing is sent.
const DISCARD: u16 = 9;

/// What all probes of this kind share: the ways to real servers, and the packet sockets.
pub(super) struct Direct {
    ways: watch::Receiver<Resolutions>,
    /// Of both families, opened when they are needed first.
    receiving: Mutex<[Option<Receiving>; 2]>,
}

impl Direct {
    pub(super) fn new(ways: watch::Receiver<Resolutions>) -> Self {
        Self { ways, receiving: Mutex::default() }
    }

    fn packets(&self, family: Family) -> io::Result<Arc<Packets>> {
        let mut receiving = self.receiving.lock().unwrap_or_else(PoisonError::into_inner);
        let one = match family {
            Family::V4 => &mut receiving[0],
            Family::V6 => &mut receiving[1],
        };
        if let Some(packets) = one.as_ref().and_then(Receiving::packets) {
            return Ok(packets);
        }
        let opened = Receiving::start(family)?;
        let packets = opened.packets();
        *one = Some(opened);
        packets.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

/// Asks for one of the addresses. Where the way to the server is not known, nothing is; this host needs no way to itself.
pub(super) async fn probe(
    vip: &VipProbe,
    step: usize,
    limit: Duration,
    direct: &Direct,
) -> Result<Input, Failure> {
    let Some(target) = vip.targets.get(step) else { return Ok(Input::Passed) };
    let way = direct.ways.borrow().get(&vip.server).cloned();
    let (mac, link) = match way {
        Some(Resolution::Local) => return Ok(Input::Passed),
        Some(Resolution::Resolved { mac, ifindex }) => (mac, ifindex),
        Some(Resolution::Unresolved { .. }) | None => return Ok(Input::Inconclusive),
    };
    let host = |error: io::Error| Failure::Host(text(&error));
    let own = own_address(vip.server).map_err(host)?;
    if own == target.address {
        let reason =
            format!("the way to {} has no address of this host but {own}, the virtual one", vip.server);
        return Err(Failure::Host(reason));
    }
    // Until the end no connection of this host gets the port.
    let (_reserved, kind) = match target.port {
        Some(to) => {
            let (socket, from) = reserve(own).map_err(host)?;
            (Some(socket), Kind::Syn { from, to })
        }
        None => (None, Kind::Echo),
    };
    let question = Question { own, vip: target.address, kind, number: rand::random() };
    let packets = direct.packets(Family::of(own)).map_err(host)?;
    judge(target, packets.ask(question, (link, mac), limit).await.map_err(host)?, limit)
}

fn judge(target: &VipTarget, answer: Option<Answer>, limit: Duration) -> Result<Input, Failure> {
    let VipTarget { address, port } = target;
    let what = port.map_or_else(|| address.to_string(), |port| format!("{address} port {port}"));
    let bits = Family::of(*address).width();
    let advice = format!("is the address on its lo? (ip addr add {address}/{bits} dev lo)");
    Err(match answer {
        Some(Answer::Serves) => return Ok(Input::Passed),
        Some(Answer::Refused) => format!("connection refused on {what}").into(),
        Some(Answer::PassedOn { by }) => format!("{by} passes on what goes to {address}: {advice}").into(),
        Some(Answer::Unreachable { by }) => format!("{by} says that {what} is unreachable: {advice}").into(),
        None => format!("it does not answer for {what} within {}: {advice}", Seconds(limit)).into(),
    })
}

/// The address from which this host speaks to the server, which answers to it without a detour.
fn own_address(server: IpAddr) -> io::Result<IpAddr> {
    let any = match server {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((server, DISCARD))?;
    Ok(socket.local_addr()?.ip())
}

/// A port of `own` that nobody else gets as long as the socket is there.
fn reserve(own: IpAddr) -> io::Result<(Socket, u16)> {
    let socket =
        Socket::new(Domain::for_address((own, 0).into()), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::new(own, 0).into())?;
    let port = socket.local_addr()?.as_socket().map(|address| address.port());
    port.map(|port| (socket, port)).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_is_nobody_elses() {
        let own = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (_socket, port) = reserve(own).unwrap();
        let (_other, another) = reserve(own).unwrap();
        assert_ne!(port, another);
        assert!(std::net::TcpListener::bind((own, port)).is_err());
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        let said = |target: VipTarget, answer| match judge(&target, answer, Duration::from_secs(2)) {
            Err(Failure::Server(reason)) => reason,
            other => panic!("{other:?}"),
        };
        let web = VipTarget { address: [10, 0, 0, 100].into(), port: Some(80) };
        let six = VipTarget { address: "fd00::100".parse().unwrap(), port: None };
        let by = IpAddr::from([10, 0, 0, 11]);
        assert_eq!(
            said(web, None),
            "it does not answer for 10.0.0.100 port 80 within 2 s: is the address on its lo? (ip addr add 10.0.0.100/32 dev lo)"
        );
        assert_eq!(
            said(six, None),
            "it does not answer for fd00::100 within 2 s: is the address on its lo? (ip addr add fd00::100/128 dev lo)"
        );
        assert_eq!(said(web, Some(Answer::Refused)), "connection refused on 10.0.0.100 port 80");
        assert!(
            said(web, Some(Answer::PassedOn { by }))
                .starts_with("10.0.0.11 passes on what goes to 10.0.0.100: ")
        );
        assert!(
            said(web, Some(Answer::Unreachable { by }))
                .starts_with("10.0.0.11 says that 10.0.0.100 port 80 is")
        );
        assert_eq!(judge(&web, Some(Answer::Serves), Duration::ZERO), Ok(Input::Passed));
    }
}
