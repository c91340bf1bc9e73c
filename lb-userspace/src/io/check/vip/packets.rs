//! One packet socket of a family for all probes: it sends to a MAC address, and hears what comes back before the network stack
//! does, which has no use for packets from its own virtual address.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use super::filter;
use crate::config::model::vrrp::Family;
use crate::io::frames;
use crate::vip_probe::{self, Answer, Question};

/// Between two packets with the same question, as between two SYNs of a connection: one may be lost.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The socket, and the questions that wait for their answers.
pub(super) struct Packets {
    /// What receives and sends whole datagrams does not care which kind they are of.
    socket: UdpSocket,
    protocol: u16,
    waiting: Mutex<HashMap<Question, oneshot::Sender<Answer>>>,
}

/// A task that hands on what comes; it ends with this value.
pub(super) struct Receiving {
    packets: Arc<Packets>,
    task: JoinHandle<()>,
}

impl Receiving {
    /// Opens the socket in the network namespace of the calling thread.
    pub(super) fn start(family: Family) -> io::Result<Self> {
        let packets = Arc::new(Packets::open(family)?);
        let task = tokio::spawn({
            let packets = Arc::clone(&packets);
            async move {
                let error = packets.receive().await;
                warn!(%error, "what answers for virtual addresses is not heard; another socket follows");
                packets.waiting().clear();
            }
        });
        Ok(Self { packets, task })
    }

    /// What is received by, unless it broke.
    pub(super) fn packets(&self) -> Option<Arc<Packets>> {
        (!self.task.is_finished()).then(|| Arc::clone(&self.packets))
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Packets {
    fn open(family: Family) -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking().cloexec(), None)?;
        let protocol = match family {
            Family::V4 => libc::ETH_P_IP as u16,
            Family::V6 => libc::ETH_P_IPV6 as u16,
        };
        // Without a protocol it receives nothing until the filter is there.
        socket.attach_filter(&filter::of(family))?;
        socket.bind(&frames::place(0, protocol, [0; 6]))?;
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Self { socket, protocol, waiting: Mutex::default() })
    }

    /// Asks by this interface at this MAC address, until there is an answer or the time is over.
    pub(super) async fn ask(
        &self,
        question: Question,
        (link, mac): (u32, [u8; 6]),
        limit: Duration,
    ) -> io::Result<Option<Answer>> {
        let packet = question.packet().map_err(io::Error::other)?;
        let (sender, mut answer) = oneshot::channel();
        self.waiting().insert(question, sender);
        let asked = Asked { packets: self, question, to: frames::place(link, self.protocol, mac) };
        let end = Instant::now() + limit;
        loop {
            self.socket.async_io(Interest::WRITABLE, || self.send(&packet, &asked.to)).await?;
            let again = (Instant::now() + ASK_AGAIN).min(end);
            match timeout_at(again, &mut answer).await {
                Ok(Ok(answer)) => return Ok(Some(answer)),
                Ok(Err(_)) => return Err(io::Error::other("the packet socket broke")),
                Err(_) if again == end => return Ok(None),
                Err(_) => {}
            }
        }
    }

    fn send(&self, packet: &[u8], to: &SockAddr) -> io::Result<usize> {
        SockRef::from(&self.socket).send_to(packet, to)
    }

    /// Hands on answers until the socket breaks.
    async fn receive(&self) -> io::Error {
        let mut buffer = [0; filter::LONGEST];
        loop {
            let length = match self.socket.recv(&mut buffer).await {
                Ok(length) => length,
                Err(error) => return error,
            };
            let Some((question, answer)) = vip_probe::parse(&buffer[..length]) else { continue };
            if let Some(waiting) = self.waiting().remove(&question) {
                // Who asked may have given up this moment.
                let _gone = waiting.send(answer);
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Question, oneshot::Sender<Answer>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that was sent. However the probe ends, the server is to forget a connection that was begun.
struct Asked<'a> {
    packets: &'a Packets,
    question: Question,
    to: SockAddr,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.packets.waiting().remove(&self.question);
        if let Ok(Some(farewell)) = self.question.farewell()
            && let Err(error) = self.packets.send(&farewell, &self.to)
        {
            debug!(%error, "a connection that was begun is not ended");
        }
    }
}
