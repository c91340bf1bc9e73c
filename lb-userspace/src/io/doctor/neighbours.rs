//! Asks neighbours who has an address, by packet sockets, and listens for a while.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::{
    arp::probe,
    io::frames::{self, FrameSocket},
};

/// How often each address is asked for, and how long answers are waited for after that.
const ROUNDS: u32 = 3;
const ROUND: Duration = Duration::from_millis(300);
/// How long is listened when the queue of what is to be sent is full. What was not sent is asked in the next round.
const MOMENT: Duration = Duration::from_millis(20);

/// An interface by which neighbours are asked.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    /// Its number.
    pub(super) index: u32,
    /// Its MAC address.
    pub(super) mac: [u8; 6],
    /// An address of this host on the link, for questions in IPv6.
    pub(super) own: Option<Ipv6Addr>,
}

/// Who says on that link that one of `addresses` is his. Takes about a second, and blocks.
pub(super) fn ask(asking: &Asking, addresses: &[IpAddr]) -> io::Result<BTreeSet<(IpAddr, [u8; 6])>> {
    let sender = FrameSocket::open()?;
    let [arp, ipv6] = [libc::ETH_P_ARP, libc::ETH_P_IPV6]
        .map(|protocol| listening(asking.index, protocol.cast_unsigned() as u16));
    let sockets = [arp?, ipv6?];
    let mut found = BTreeSet::new();
    for _ in 0..ROUNDS {
        for address in addresses {
            match question(asking, &sender, *address) {
                Err(error) if is_full(&error) => listen(&sockets, addresses, MOMENT, &mut found)?,
                told => told?,
            }
        }
        listen(&sockets, addresses, ROUND, &mut found)?;
    }
    Ok(found)
}

fn question(asking: &Asking, sender: &FrameSocket, address: IpAddr) -> io::Result<()> {
    match (address, asking.own) {
        (IpAddr::V4(v4), _) => sender.send(asking.index, &probe::arp(v4, asking.mac)),
        (IpAddr::V6(v6), Some(own)) => sender.send(asking.index, &probe::solicitation(v6, own, asking.mac)),
        (IpAddr::V6(_), None) => Ok(()),
    }
}

/// Whether more can be sent a little later.
fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

/// Takes what comes within that time.
fn listen(
    sockets: &[Socket],
    addresses: &[IpAddr],
    time: Duration,
    found: &mut BTreeSet<(IpAddr, [u8; 6])>,
) -> io::Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        for socket in sockets {
            hear(socket, addresses, end, found)?;
        }
    }
    Ok(())
}

fn listening(index: u32, protocol: u16) -> io::Result<Socket> {
    let socket = Socket::new(Domain::PACKET, Type::RAW.cloexec(), None)?;
    socket.bind(&frames::place(index, protocol, [0; 6]))?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    Ok(socket)
}

/// Takes what has come, and waits for a moment for more.
fn hear(
    socket: &Socket,
    addresses: &[IpAddr],
    end: Instant,
    found: &mut BTreeSet<(IpAddr, [u8; 6])>,
) -> io::Result<()> {
    let mut buffer = [0; 128];
    while Instant::now() < end {
        match io::Read::read(&mut &*socket, &mut buffer) {
            Ok(length) => {
                let answer = probe::answer(&buffer[..length]);
                found.extend(answer.filter(|(address, _)| addresses.contains(address)));
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
