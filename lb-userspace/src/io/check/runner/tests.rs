//! Many connections that are looked at together. The machines' clock is the test's.

use std::io::ErrorKind;
use std::iter::from_fn;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, SockRef, Socket, Type};
use tokio::sync::watch;

use super::super::tests::{FAST, down, spec};
use super::*;
use crate::config::model::vrrp::VrrpGlobals;
use crate::health::Settings;
use crate::io::check::Credentials;
use crate::io::command::Programs;
use crate::io::nexthop::Resolutions;

const CHECKS: u32 = 300;
/// Fewer probes than that may be under way.
const ROOM: usize = 200;
/// Longer than any rest.
const ROUND: Duration = Duration::from_secs(1000);

fn runner() -> Runner {
    let ways = watch::channel(Resolutions::new()).1;
    let mut runner = Runner::new(Arc::new(Account::default()), Direct::new(ways));
    runner.lanes[0] = Lane::new(ROOM);
    runner
}

fn wanted(address: SocketAddr, ids: impl Iterator<Item = u32>) -> Wanted {
    // Each with another timing, so that none is another's.
    let settings = |id| Settings {
        delay_loop: Duration::from_mins(10) + Duration::from_millis(id),
        timeout: Duration::from_mins(2),
        retry: 0,
        ..FAST
    };
    Wanted {
        programs: Programs::new(&VrrpGlobals::default()),
        credentials: Credentials::none().unwrap(),
        specs: ids.map(|id| CheckSpec { settings: settings(id.into()), ..spec(id, address) }).collect(),
    }
}

/// An address where nobody else comes to listen.
fn listen() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 77, 1), 0)).into()).unwrap();
    socket.listen(4096).unwrap();
    socket.into()
}

/// Waits until so many have come, and nobody else.
fn accept(listener: &TcpListener, count: usize) {
    SockRef::from(listener).set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for number in 0..count {
        assert!(listener.accept().is_ok(), "of {count} connections only {number} came within 10 s");
    }
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().expect_err("one too many").kind(), ErrorKind::WouldBlock);
    listener.set_nonblocking(false).unwrap();
}

/// Makes all probes that are due, and gives what was said of them, in order of the checks.
async fn round(runner: &mut Runner, now: &mut Instant) -> Vec<(u32, Verdict)> {
    let mut said = Vec::new();
    runner.deadline(*now);
    loop {
        runner.start_waiting(*now);
        if let Some(at) = runner.next_batch.into_iter().chain(runner.next_look).min() {
            *now = at.max(*now);
            runner.deadline(*now);
        } else if !runner.probes.is_empty() {
            let ended = runner.ended().await;
            runner.answered(*now, ended);
        } else {
            said.sort_by_key(|(id, _)| *id);
            return said;
        }
        said.extend(from_fn(|| runner.take_ruling()).map(|Ruling { check, verdict, .. }| (check, verdict)));
    }
}

/// How many probes could begin.
fn room(lane: &mut Lane, now: Instant) -> usize {
    for _ in 0..=ROOM {
        lane.push(Waiting { shared: 0, number: 0, due: now, step: 0, timeout: Duration::ZERO });
    }
    from_fn(|| lane.pop()).collect::<Vec<_>>().len()
}

#[tokio::test]
async fn of_many_looked_at_together_each_is_heard_that_is_still_wanted() {
    let listener = listen();
    let address = listener.local_addr().unwrap();
    let (mut runner, mut now) = (runner(), Instant::now());
    let odd = || (0..CHECKS).filter(|id| id % 2 == 1);
    runner.set(now, wanted(address, 0..CHECKS));
    let up: Vec<_> = (0..CHECKS).map(|id| (id, Verdict::Up)).collect();
    assert_eq!(round(&mut runner, &mut now).await, up);
    accept(&listener, CHECKS as usize);

    // Half of them go while connections are under way.
    now += ROUND;
    runner.deadline(now);
    runner.start_waiting(now);
    assert_eq!(runner.connecting.len(), BATCH);
    accept(&listener, BATCH);
    runner.set(now, wanted(address, odd()));
    let stay = runner.connecting.iter().filter(|one| runner.shared.contains_key(&one.shared)).count();
    assert!((1..BATCH).contains(&stay), "{stay} of {BATCH} stay");
    assert_eq!(round(&mut runner, &mut now).await, []);
    accept(&listener, odd().count() - stay);

    // The others go on.
    now += ROUND;
    assert_eq!(round(&mut runner, &mut now).await, []);
    accept(&listener, odd().count());
    drop(listener);
    now += ROUND;
    let refused: Vec<_> = odd().map(|id| (id, down("connection refused"))).collect();
    assert_eq!(round(&mut runner, &mut now).await, refused);
    assert_eq!(room(&mut runner.lanes[0], now), ROOM);
}
