//! How many connections each real server has, as the status tells it while clients come and go.

use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use lb_common::flow::{State, Timeouts};
use lb_tests::client::tally;
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::echo::UdpEcho;
use lb_tests::http::Connection;
use lb_tests::status::Status;
use lb_tests::{Lab, Plan, with_lab};

/// Longer than the collector takes for a pass and a short timeout for its ticks.
const BOUND: Duration = Duration::from_secs(10);

fn open(lab: &Lab, count: usize) -> Result<Vec<TcpStream>> {
    let service = lab.service();
    lab.client().netns().enter(|| {
        (0..count).map(|_| Ok(TcpStream::connect_timeout(&service.into(), Duration::from_secs(5))?)).collect()
    })
}

/// Active and inactive connections of every real server.
fn loads(status: &Status) -> Vec<(u32, u32)> {
    let servers = status.services.iter().flat_map(|service| &service.servers);
    servers.map(|server| (server.active_connections, server.inactive_connections)).collect()
}

fn wait_loads(lab: &Lab, what: &str, expected: &[(u32, u32)]) -> Result<()> {
    lab.director.wait_status(what, BOUND, |status| loads(status) == expected).map(drop)
}

/// Sets timeouts in the running program, as the daemon would.
pub(crate) fn set_timeouts(lab: &Lab, seconds: &[(State, u32)]) -> Result<()> {
    let mut timeouts = Timeouts::default();
    for &(state, seconds) in seconds {
        timeouts.set(state, seconds);
    }
    lab.director.write_row("timeouts", 0, bytemuck::bytes_of(&timeouts))
}

#[test]
fn the_status_counts_connections_as_they_open_close_and_expire() -> Result<()> {
    with_lab(&Plan::servers(3), |lab| {
        let config = lab.http_on_all("rr");
        lab.balance(&config, 3)?;
        let mut connections = open(lab, 30)?;
        wait_loads(lab, "ten active connections each", &[(10, 0); 3])?;

        // The first twelve went to rs3, rs2, rs1, rs3, ...
        drop(connections.drain(..12));
        wait_loads(lab, "four of ten closed", &[(6, 4); 3])?;

        lab.director.kill9()?;
        // The program counts without a daemon.
        drop(connections.drain(..3));
        lab.balance(&config, 3)?;
        wait_loads(lab, "the same connections under another daemon", &[(5, 5); 3])?;
        connections.append(&mut open(lab, 3)?);
        wait_loads(lab, "new ones beside them", &[(6, 5); 3])?;

        set_timeouts(lab, &[(State::FinWait, 1), (State::TimeWait, 1), (State::Close, 1)])?;
        wait_loads(lab, "closed ones to expire", &[(6, 0); 3])?;
        drop(connections);
        wait_loads(lab, "nothing to be left", &[(0, 0); 3])?;
        assert_eq!(lab.director.term()?.code(), Some(0));
        Ok(())
    })
}

#[test]
fn udp_is_inactive_until_it_expires() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let service = SocketAddrV4::new(lab.vip(), 5300);
        let _echoes = lab
            .servers
            .iter()
            .map(|server| UdpEcho::start(server.netns(), service, server.name()))
            .collect::<Result<Vec<_>>>()?;
        let config = VirtualServer::new(lab.vip(), 5300, Protocol::Udp, "rr");
        let config = lab.servers.iter().fold(config, |config, server| config.unchecked(server.address, 1));
        lab.balance(&config, 2)?;
        lab.client().datagrams(service, 8)?;
        wait_loads(lab, "four flows each", &[(0, 4); 2])?;
        set_timeouts(lab, &[(State::Udp, 1)])?;
        wait_loads(lab, "them to expire", &[(0, 0); 2])
    })
}

#[test]
fn after_twenty_thousand_short_connections_nothing_is_left_and_all_were_counted() -> Result<()> {
    const CLIENTS: usize = 4;
    const THREADS_EACH: usize = 4;
    const CONNECTIONS: usize = 20_000;
    with_lab(&Plan::servers(3), |lab| {
        let clients: Vec<_> = (20..).take(CLIENTS).map(|host| Ipv4Addr::new(10, 77, 0, host)).collect();
        for address in &clients {
            lab.client().netns().ip(&format!("addr add {address}/24 dev net0"))?;
        }
        lab.balance(&lab.http_on_all("wlc"), 3)?;
        let service = lab.service();
        let share = CONNECTIONS / CLIENTS / THREADS_EACH;
        let answers = lab.client().on_threads(clients.repeat(THREADS_EACH), |client| {
            let ask = |number: usize| {
                let mut connection = Connection::open_from(client, service)?;
                connection.request("/")?;
                connection.answer().with_context(|| format!("request {number} of {client}"))
            };
            (0..share).map(ask).collect::<Result<Vec<_>>>()
        })?;
        let answered = tally(&answers.concat());
        assert_eq!(answered.values().sum::<usize>(), CONNECTIONS);

        set_timeouts(lab, &[(State::FinWait, 1), (State::TimeWait, 1), (State::Close, 1)])?;
        wait_loads(lab, "nothing to be left", &[(0, 0); 3])?;
        let status = lab.director.status()?;
        assert_eq!(status.service()?.connections, CONNECTIONS as u64);
        for server in &lab.servers {
            let (counted, served) = (status.server(server.address)?.connections, server.nginx().served());
            assert_eq!(counted, served as u64, "{}", server.name());
            assert_eq!(answered.get(server.name()), Some(&served), "{answered:?}");
        }
        Ok(())
    })
}
