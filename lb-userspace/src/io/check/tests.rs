//! Checks against real sockets on the loopback interface.

mod credentials;
mod http;
mod http_tls;
mod names;
mod programs;
mod sharing;
mod vip;
mod words;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc::Receiver;

use super::*;
use crate::config::model::check::Endpoint;

pub(super) const FAST: Settings = Settings {
    delay_loop: Duration::from_millis(20),
    retry: 1,
    delay_before_retry: Duration::from_millis(10),
    timeout: Duration::from_secs(5),
    warmup: Duration::ZERO,
    steps: 1,
    pace: crate::health::Pace::Loop,
    manner: crate::health::Manner::Usual,
};

pub(super) fn spec(id: u32, address: SocketAddr) -> CheckSpec {
    of(id, Probe::Tcp(endpoint(address)))
}

fn of(id: u32, probe: Probe) -> CheckSpec {
    CheckSpec { id, probe: Arc::new(probe), settings: FAST, log_all_failures: false, is_resting: false }
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint {
        connect_ip: address.ip(),
        connect_port: address.port(),
        bindto: None,
        bind_if: None,
        bind_port: None,
        fwmark: 0,
    }
}

/// Checks that know no way to any server.
fn start() -> (Checks, Receiver<Ruling>) {
    Checks::start(watch::channel(Resolutions::new()).1).unwrap()
}

fn set(checks: &Checks, specs: Vec<CheckSpec>) {
    checks.set(specs, &VrrpGlobals::default());
}

async fn next(verdicts: &mut Receiver<Ruling>) -> (u32, Verdict) {
    let waited = tokio::time::timeout(Duration::from_secs(10), verdicts.recv()).await;
    let Ruling { check, verdict, .. } = waited.expect("no verdict within 10 s").expect("the checks ended");
    (check, verdict)
}

pub(super) fn down(reason: &str) -> Verdict {
    Verdict::Down { reason: reason.into() }
}

/// A port that answers with a reset: bound, so nobody else gets it, but nobody listens.
pub(super) fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[tokio::test]
async fn accepted_is_up_and_refused_is_down() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (_closed, refused) = refusing();
    let (checks, mut verdicts) = start();
    set(&checks, vec![spec(1, listener.local_addr().unwrap()), spec(2, refused)]);
    let mut said = [next(&mut verdicts).await, next(&mut verdicts).await];
    said.sort_by_key(|(id, _)| *id);
    assert_eq!(said, [(1, Verdict::Up), (2, down("connection refused"))]);
}

#[tokio::test]
async fn a_server_that_begins_to_listen_comes_back() {
    let (closed, address) = refusing();
    let (checks, mut verdicts) = start();
    set(&checks, vec![spec(7, address)]);
    assert_eq!(next(&mut verdicts).await, (7, down("connection refused")));
    let listener = closed.listen(16).unwrap();
    assert_eq!(next(&mut verdicts).await, (7, Verdict::Up));
    drop(listener);
    assert_eq!(next(&mut verdicts).await, (7, down("connection refused")));
}

#[tokio::test]
async fn ipv6_and_a_local_address_to_bind_to() {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.unwrap();
    let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let to = endpoint(v4.local_addr().unwrap());
    let from =
        |last: [u8; 4]| Probe::Tcp(Endpoint { bindto: Some(Ipv4Addr::from(last).into()), ..to.clone() });
    let (bound, wrong) = (of(2, from([127, 0, 0, 9])), of(3, from([192, 0, 2, 1])));
    let (checks, mut verdicts) = start();
    set(&checks, vec![spec(1, listener.local_addr().unwrap()), bound, wrong]);
    let mut said = [next(&mut verdicts).await, next(&mut verdicts).await];
    said.sort_by_key(|(id, _)| *id);
    assert_eq!(
        said,
        [(1, Verdict::Up), (2, Verdict::Up)],
        "an address that is elsewhere says nothing of a server"
    );
    loop {
        let (_stream, peer) = v4.accept().await.unwrap();
        if peer.ip() == Ipv4Addr::new(127, 0, 0, 9) {
            break;
        }
    }
}

#[tokio::test]
async fn a_full_backlog_times_out() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut slow = spec(4, address);
    slow.settings.timeout = Duration::from_millis(50);
    let late = || (4, down("timed out after 0.05 s"));
    let filling = fill(address).await;
    let (checks, mut verdicts) = start();
    set(&checks, vec![slow]);
    assert_eq!(next(&mut verdicts).await, late());
    drop(filling);
    loop {
        tokio::select! {
            accepted = listener.accept() => drop(accepted.unwrap()),
            said = next(&mut verdicts) => break assert_eq!(said, (4, Verdict::Up)),
        }
    }
    let _filling = fill(address).await;
    assert_eq!(next(&mut verdicts).await, late(), "one that was up is waited for as long");
}

/// Connections that nobody accepts fill the queue; the kernel then drops further SYNs.
async fn fill(address: SocketAddr) -> Vec<tokio::net::TcpStream> {
    let mut filling = Vec::new();
    loop {
        let connect = tokio::net::TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(300), connect).await {
            Ok(stream) => filling.push(stream.unwrap()),
            Err(_) => return filling,
        }
    }
}

#[tokio::test]
async fn replacing_the_set_keeps_what_is_unchanged() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (_closed, refused) = refusing();
    let up = listener.local_addr().unwrap();
    let (checks, mut verdicts) = start();
    set(&checks, vec![spec(1, up)]);
    assert_eq!(next(&mut verdicts).await, (1, Verdict::Up));
    // Id 1 with other timing says nothing again; the new id speaks.
    let mut slower = spec(1, up);
    slower.settings.delay_loop = Duration::from_millis(30);
    set(&checks, vec![slower.clone(), spec(2, refused)]);
    assert_eq!(next(&mut verdicts).await, (2, down("connection refused")));
    // Another target under the same id starts over, without retries.
    set(&checks, vec![spec(1, refused), spec(2, refused)]);
    assert_eq!(next(&mut verdicts).await, (1, down("connection refused")));
    // Without checks nothing is said, and dropping the handle ends the task.
    set(&checks, Vec::new());
    drop(checks);
    let ended = tokio::time::timeout(Duration::from_secs(10), verdicts.recv()).await;
    assert_eq!(ended.expect("the task ends with its handle"), None);
}

#[tokio::test]
async fn more_checks_than_probes_and_queue_places() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    // Room for all that are under way at once.
    let listener = socket.listen(4096).unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
    });
    let (checks, mut verdicts) = start();
    let count = 10_000;
    // Each with another timing, so that none is another's.
    // A machine that is busy may need long for so many connections.
    let settings = |id| Settings {
        delay_loop: Duration::from_secs(600 + u64::from(id)),
        timeout: Duration::from_mins(2),
        ..FAST
    };
    let spec = |id| CheckSpec { settings: settings(id), ..spec(id, address) };
    set(&checks, (0..count).map(spec).collect());
    let mut said = std::collections::BTreeSet::new();
    while said.len() < count as usize {
        let (id, verdict) = next(&mut verdicts).await;
        assert_eq!(verdict, Verdict::Up);
        assert!(said.insert(id), "check {id} spoke twice");
    }
    accepting.abort();
}
