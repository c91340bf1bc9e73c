//! A real server is drained while a connection goes on, and gets its weight back.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lb_tests::client::tally;
use lb_tests::config::{Protocol, VirtualServer};
use lb_tests::status::Server;
use lb_tests::tcp_echo::TcpEcho;
use lb_tests::{Lab, Plan, process::Running, with_lab};
use serde::Deserialize;

const PORT: u16 = 7000;
const BOUND: Duration = Duration::from_secs(20);

/// What `--json` prints.
#[derive(Debug, Deserialize)]
struct Report {
    weight: u16,
    draining: bool,
    flows_at_start: u32,
    flows_left: u32,
}

fn xlvs(lab: &Lab, command: &str, port: u16, last: u8, arguments: &[&str]) -> Result<Output> {
    let (vip, server) = (lab.vip(), Ipv4Addr::new(10, 77, 0, last));
    let mut call = lab.director.subcommand(command)?;
    call.arg(format!("{vip}:{port}")).arg(format!("{server}:{port}")).args(arguments);
    lab.director.finished(call)
}

fn report(output: &Output) -> Result<Report> {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).with_context(|| format!("no report: {output:?}"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn first(lab: &Lab) -> Result<Server> {
    Ok(lab.director.status()?.server(lab.servers[0].address)?.clone())
}

/// A connection over which something was said.
fn talk(lab: &Lab) -> Result<TcpStream> {
    let service = SocketAddrV4::new(lab.vip(), PORT);
    let mut stream =
        lab.client().netns().enter(|| Ok(TcpStream::connect_timeout(&service.into(), BOUND)?))?;
    stream.set_read_timeout(Some(BOUND))?;
    say(&mut stream)?;
    Ok(stream)
}

fn say(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(b"echo")?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    ensure!(&answer == b"echo", "it answers {answer:?}");
    Ok(())
}

#[test]
fn a_connection_goes_on_while_its_server_is_drained() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT);
        let _echoes: Vec<_> =
            lab.servers.iter().map(|server| TcpEcho::start(server.netns(), any)).collect::<Result<_>>()?;
        let service = VirtualServer::new(lab.vip(), PORT, Protocol::Tcp, "wrr");
        let weighed = [(0, 3), (1, 1)];
        let service = weighed
            .iter()
            .fold(service, |service, &(index, weight)| service.unchecked(lab.servers[index].address, weight));
        lab.balance(&service, 2)?;
        let mut old = talk(lab)?;
        assert_eq!(first(lab)?.active_connections, 1, "the first connection is the first server's");

        let left = xlvs(lab, "drain", PORT, 11, &["--wait", "1", "--json"])?;
        assert_eq!(left.status.code(), Some(3), "{left:?}");
        let Report { weight, draining, flows_at_start, flows_left } = report(&left)?;
        assert_eq!((weight, draining, flows_at_start, flows_left), (3, true, 1, 1));
        let server = first(lab)?;
        assert_eq!(
            (server.weight, server.draining, server.by_hand, server.eligible),
            (0, Some(3), true, false)
        );
        let text = lab.director.subcommand("status")?;
        let text = String::from_utf8(lab.director.finished(text)?.stdout)?;
        ensure!(text.contains("by hand  draining, weight 3 before"), "{text}");

        let others: Vec<_> = (0..4).map(|_| talk(lab)).collect::<Result<_>>()?;
        assert_eq!(first(lab)?.connections, 1, "new connections are the other's");
        say(&mut old)?;

        let mut waiting = lab.director.subcommand("drain")?;
        let (vip, server) = (lab.vip(), lab.servers[0].address);
        waiting.arg(format!("{vip}:{PORT}")).arg(format!("{server}:{PORT}")).arg("--wait");
        let mut waiting = Running::start("xlvs drain", &mut waiting)?;
        // It has looked and waits: what it asks for is answered before.
        for _ in 0..4 {
            say(&mut old)?;
            first(lab)?;
        }
        ensure!(waiting.exited()?.is_none(), "a connection is there");
        drop(old);
        let status = waiting.ended("when the connection was over", BOUND)?;
        ensure!(status.success(), "{status}");
        assert_eq!(first(lab)?.active_connections, 0);
        drop(others);

        let back = xlvs(lab, "undrain", PORT, 11, &["--json"])?;
        let Report { weight, draining, .. } = report(&back)?;
        assert_eq!((weight, draining), (3, false), "{back:?}");
        let server = first(lab)?;
        assert_eq!((server.weight, server.draining, server.by_hand), (3, None, false));
        let again = xlvs(lab, "undrain", PORT, 11, &[])?;
        assert_eq!(again.status.code(), Some(1));
        ensure!(said(&again).contains("10.77.0.11:7000 is not drained: its weight is 3"), "{again:?}");
        let unknown = xlvs(lab, "drain", PORT, 19, &[])?;
        ensure!(said(&unknown).contains("it has: 10.77.0.11:7000, 10.77.0.12:7000"), "{unknown:?}");
        let unknown = xlvs(lab, "drain", 81, 11, &[])?;
        ensure!(said(&unknown).contains("there are: 10.77.0.100 7000 TCP"), "{unknown:?}");
        Ok(())
    })
}

#[test]
fn a_drained_server_lives_with_checks_and_reloads() -> Result<()> {
    with_lab(&Plan::servers(2), |lab| {
        let plain = lab.http("rr");
        let (one, two) = (lab.servers[0].address, lab.servers[1].address);
        let file = move |weight| plain.clone().checked(one, weight).checked(two, 1).to_string();
        lab.director.start(&file(2))?;
        lab.wait_eligible(2)?;
        ensure!(xlvs(lab, "drain", 80, 11, &[])?.status.success());
        let names = |lab: &Lab| Ok::<_, anyhow::Error>(tally(&lab.client().sequence(lab.service(), 4)?));
        assert_eq!(names(lab)?.into_iter().collect::<Vec<_>>(), [("rs2".to_owned(), 4)]);

        let same = lab.director.reload(&format!("! a comment\n{}", file(2)))?;
        ensure!(same.status.success(), "{same:?}");
        assert_eq!(first(lab)?.draining, Some(2), "the file says what it said");
        lab.servers[0].stop()?;
        lab.director.wait_status("the server to be down", BOUND, |status| {
            status.server(one).is_ok_and(|server| server.state == "down" && server.draining == Some(2))
        })?;
        ensure!(xlvs(lab, "undrain", 80, 11, &[])?.status.success(), "one that is down can be undrained");
        ensure!(xlvs(lab, "drain", 80, 11, &[])?.status.success(), "and drained");
        lab.servers[0].start()?;
        lab.director.wait_status("the server to be up", BOUND, |status| {
            status.server(one).is_ok_and(|server| server.state == "up" && server.weight == 0)
        })?;
        ensure!(lab.director.reload(&file(5))?.status.success());
        let server = first(lab)?;
        assert_eq!((server.weight, server.draining, server.by_hand), (5, None, false), "the file changed it");
        Ok(())
    })
}
