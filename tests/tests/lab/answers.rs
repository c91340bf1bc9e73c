//! What a client learns soon, because the program answers: that nobody serves it, that it is too far, that its packets
//! are too long.

use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::ops::ControlFlow;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::lab::Lab;
use lb_tests::{Family, Plan, wait, with_lab};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket, sockopt,
};

/// Time for the first SYN and, a second later, its first repetition: an answer that comes while `connect` still holds the
/// socket is only noted by Linux, and ends the connection when the next one comes.
const SOON: Duration = Duration::from_millis(2500);
const BOUND: Duration = Duration::from_secs(15);
const UDP: u16 = 5300;

/// Connects from the client, and wants to be refused by the program and not by the director's stack.
fn is_refused(lab: &Lab, family: Family) -> Result<()> {
    let service = lab.service_in(family);
    lab.client().netns().enter(|| match TcpStream::connect_timeout(&service, SOON) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        other => Err(anyhow!("expected to be refused: {other:?}")),
    })?;
    let answers = counted(lab, "answer_no_server")?;
    ensure!((1..=2).contains(&answers), "{answers} answers");
    Ok(())
}

/// The count of one of the program's counters.
fn counted(lab: &Lab, name: &str) -> Result<u64> {
    lab.director.status()?.counters.get(name).copied().with_context(|| format!("no counter {name}"))
}

#[test]
fn a_service_without_a_server_refuses() -> Result<()> {
    without_a_server_it_refuses(Family::V4)
}

#[test]
fn an_ipv6_service_without_a_server_refuses() -> Result<()> {
    without_a_server_it_refuses(Family::V6)
}

fn without_a_server_it_refuses(family: Family) -> Result<()> {
    with_lab(&Plan::servers(1).dual_stack(), |lab| {
        let service = lab.service_in(family);
        lab.balance(&lab.http_in(family, "rr"), 1)?;
        lab.client().who(service)?;
        lab.servers[0].stop()?;
        lab.wait_eligible(0)?;
        is_refused(lab, family)?;
        lab.servers[0].start()?;
        lab.wait_eligible(1)?;
        lab.client().who(service)?;
        Ok(())
    })
}

#[test]
fn a_service_whose_server_has_no_weight_refuses() -> Result<()> {
    with_lab(&Plan::servers(1), |lab| {
        lab.balance(&lab.http("wrr").checked(lab.servers[0].address, 0), 0)?;
        is_refused(lab, Family::V4)
    })
}

#[test]
fn a_datagram_that_nobody_takes_is_refused() -> Result<()> {
    a_datagram_is_refused(Family::V4)
}

#[test]
fn a_datagram_over_ipv6_that_nobody_takes_is_refused() -> Result<()> {
    a_datagram_is_refused(Family::V6)
}

fn a_datagram_is_refused(family: Family) -> Result<()> {
    with_lab(&Plan::servers(1).dual_stack(), |lab| {
        let config = VirtualServer::new(lab.vip_in(family), UDP, Protocol::Udp, "rr");
        lab.balance(&config.unchecked(lab.servers[0].address_in(family), 0), 0)?;
        let service = SocketAddr::new(lab.vip_in(family), UDP);
        lab.client().netns().enter(|| {
            let socket = UdpSocket::bind(family.unspecified())?;
            socket.set_read_timeout(Some(SOON))?;
            socket.connect(service)?;
            // The quote is shorter than the longer one, and the client finds its socket all the same.
            for length in [3, 1452] {
                socket.send(&vec![0; length])?;
                let error = socket.recv(&mut [0; 64]).expect_err("nobody serves");
                ensure!(error.kind() == io::ErrorKind::ConnectionRefused, "{length} bytes: {error}");
            }
            Ok(())
        })
    })
}

#[test]
fn a_client_that_is_too_far_learns_so() -> Result<()> {
    too_far(Family::V4)
}

#[test]
fn an_ipv6_client_that_is_too_far_learns_so() -> Result<()> {
    too_far(Family::V6)
}

fn too_far(family: Family) -> Result<()> {
    with_lab(&Plan::servers(1).dual_stack(), |lab| {
        lab.balance(&lab.http_in(family, "rr"), 1)?;
        let service = SockaddrStorage::from(lab.service_in(family));
        lab.client().netns().enter(|| {
            let open = |family| socket(family, SockType::Stream, SockFlag::empty(), None);
            let client = match family {
                Family::V4 => {
                    let client = open(AddressFamily::Inet)?;
                    setsockopt(&client, sockopt::Ipv4Ttl, &1)?;
                    client
                }
                Family::V6 => {
                    let client = open(AddressFamily::Inet6)?;
                    setsockopt(&client, sockopt::Ipv6Ttl, &1)?;
                    client
                }
            };
            let error = connect(client.as_raw_fd(), &service);
            ensure!(error == Err(Errno::EHOSTUNREACH), "{error:?}");
            Ok(())
        })?;
        let answers = counted(lab, "answer_ttl")?;
        ensure!((1..=2).contains(&answers), "{answers} answers");
        Ok(())
    })
}

#[test]
fn a_client_learns_the_mtu_behind_the_director() -> Result<()> {
    the_mtu_behind_the_director(Family::V4)
}

#[test]
fn an_ipv6_client_learns_the_mtu_behind_the_director() -> Result<()> {
    the_mtu_behind_the_director(Family::V6)
}

fn the_mtu_behind_the_director(family: Family) -> Result<()> {
    with_lab(&Plan::servers(1).two_legs().dual_stack(), |lab| {
        lab.balance(&lab.udp_in(family, UDP, "rr"), 1)?;
        lab.director.netns().ip("link set dev lan0 mtu 1400")?;
        let service = SocketAddr::new(lab.vip_in(family), UDP);
        let route = format!("route get {}", lab.vip_in(family));
        wait::until("the client to know the MTU", BOUND, || {
            // Linux forbids that datagrams be fragmented on their way, as long as it finds out the path's MTU.
            lab.client()
                .netns()
                .enter(|| Ok(UdpSocket::bind(family.unspecified())?.send_to(&[0; 1452], service)?))?;
            let route = lab.client().netns().ip(&route)?;
            Ok(if route.contains("mtu 1400") { ControlFlow::Break(()) } else { ControlFlow::Continue(route) })
        })?;
        ensure!(counted(lab, "answer_too_big")? > 0);
        Ok(())
    })
}
