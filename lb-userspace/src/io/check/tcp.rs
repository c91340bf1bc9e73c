//! `TCP_CHECK`: a connection comes about. Most do within a moment, and those are seen with one system call for all that were
//! begun before it; only what takes longer costs a registration, a timer and a task of its own.

use std::io::Read as _;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;

use super::dial::{self, Connection};
use super::probe::{Failure, late};
use crate::config::model::check::Endpoint;

/// After which connections are looked at. A server in the same building has answered by then.
pub(super) const MOMENT: Duration = Duration::from_millis(1);

/// What a server says of its own accord is shorter.
const GREETING: usize = 1024;

/// Connects once and closes again; the handshake is the whole probe.
pub(super) async fn probe(endpoint: &Endpoint, timeout: Duration) -> Result<(), Failure> {
    Begun::new(endpoint, timeout)?.end().await
}

/// A connection that was asked for and not looked at since.
pub(super) struct Begun {
    connection: Connection,
    at: Instant,
    timeout: Duration,
}

impl Begun {
    pub(super) fn new(endpoint: &Endpoint, timeout: Duration) -> Result<Self, Failure> {
        let connection = dial::begin(endpoint)?;
        // Each of those that are begun together has its whole time.
        Ok(Self { connection, at: Instant::now(), timeout })
    }

    /// Waits for one that takes longer than a moment.
    pub(super) async fn end(self) -> Result<(), Failure> {
        let left = self.timeout.saturating_sub(self.at.elapsed());
        match tokio::time::timeout(left, self.connection.decided()).await {
            Ok(decided) => seen(&decided?, PollFlags::all()),
            Err(_) => Err(late(self.timeout, "")),
        }
    }
}

/// What became of a connection of which poll(2) tells these events, or may.
fn seen<S: AsFd>(connection: &Connection<S>, events: PollFlags) -> Result<(), Failure> {
    let outcome = connection.outcome(events);
    // Closed with something unread it would be reset, which the server may complain about.
    if events.contains(PollFlags::POLLIN) {
        let _length = (&*SockRef::from(&connection.socket)).read(&mut [0; GREETING]);
    }
    outcome
}

/// Looks at all of them at once, and says of each what is known by now.
pub(super) fn look<'a>(begun: impl Iterator<Item = &'a Begun> + Clone) -> Vec<Option<Result<(), Failure>>> {
    let events = PollFlags::POLLOUT | PollFlags::POLLIN;
    let mut polled: Vec<PollFd<'_>> =
        begun.clone().map(|one| PollFd::new(one.connection.socket.as_fd(), events)).collect();
    // Without an answer of the kernel nothing is known, and each is waited for.
    let _count = poll(&mut polled, PollTimeout::ZERO);
    let events = polled.iter().map(|one| one.revents().filter(|events| !events.is_empty()));
    begun.zip(events).map(|(one, events)| Some(seen(&one.connection, events?))).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{Ipv4Addr, SocketAddr, TcpListener};

    use super::super::tests::refusing;
    use super::*;

    fn begin(to: SocketAddr) -> Begun {
        let endpoint = Endpoint {
            connect_ip: to.ip(),
            connect_port: to.port(),
            bindto: None,
            bind_if: None,
            bind_port: None,
            fwmark: 0,
        };
        Begun::new(&endpoint, Duration::from_mins(1)).unwrap_or_else(|error| panic!("{error:?}"))
    }

    fn wait_for(begun: &Begun, what: PollFlags) {
        let mut polled = [PollFd::new(begun.connection.socket.as_fd(), what)];
        assert_eq!(poll(&mut polled, PollTimeout::from(10_000_u16)), Ok(1), "no {what:?} within 10 s");
    }

    #[test]
    fn of_each_is_said_what_became_of_it() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (_closed, refused) = refusing();
        let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        full.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        full.listen(0).unwrap();
        let full_address = full.local_addr().unwrap().as_socket().unwrap();
        let first = begin(full_address);
        wait_for(&first, PollFlags::POLLOUT);
        let begun = [begin(full_address), begin(refused), begin(listener.local_addr().unwrap())];
        begun[1..].iter().for_each(|one| wait_for(one, PollFlags::POLLOUT));
        assert_eq!(look(begun.iter()), [None, Some(Err("connection refused".into())), Some(Ok(()))]);
    }

    /// Looked at with others, and waited for alone.
    async fn both_ways(begin: impl Fn() -> Begun) -> [Result<(), Failure>; 2] {
        let seen = look([&begin()].into_iter()).pop().flatten();
        [seen.expect("there is something to see"), begin().end().await]
    }

    #[tokio::test]
    async fn a_reset_comes_after_the_handshake() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let reset = || {
            let begun = begin(listener.local_addr().unwrap());
            let (stream, _) = listener.accept().unwrap();
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            drop(stream);
            wait_for(&begun, PollFlags::POLLERR);
            begun
        };
        assert_eq!(both_ways(reset).await, [Ok(()), Ok(())]);
    }

    #[tokio::test]
    async fn a_refusal_is_one_both_ways() {
        let (_closed, refused) = refusing();
        let refused = || {
            let begun = begin(refused);
            wait_for(&begun, PollFlags::POLLERR);
            begun
        };
        assert_eq!(both_ways(refused).await, [(); 2].map(|()| Err("connection refused".into())));
    }

    #[tokio::test]
    async fn a_server_that_greets_sees_an_end_and_no_reset() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let streams = std::cell::RefCell::new(Vec::new());
        let greeted = || {
            let begun = begin(listener.local_addr().unwrap());
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"220 ready\r\n").unwrap();
            wait_for(&begun, PollFlags::POLLIN);
            streams.borrow_mut().push(stream);
            begun
        };
        assert_eq!(both_ways(greeted).await, [Ok(()), Ok(())]);
        for mut stream in streams.into_inner() {
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        }
    }
}
