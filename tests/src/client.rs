//! The client's side: who answers through the virtual address.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::family::Family;
use crate::forge;
use crate::frame::Mac;
use crate::http::{self, Connection, Download, Upload, get};
use crate::netns::Netns;
use crate::packet_socket::PacketSocket;
use crate::wait;

const THREADS: usize = 8;
/// The client's interface.
const INTERFACE: &str = "net0";

/// The namespace requests come from.
#[derive(Debug)]
pub struct Client {
    netns: Netns,
}

impl Client {
    pub(crate) fn new(netns: Netns) -> Self {
        Self { netns }
    }

    /// The namespace itself.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Who answers `GET /`.
    ///
    /// # Errors
    /// When nobody does.
    pub fn who(&self, server: impl Into<SocketAddr>) -> Result<String> {
        let server = server.into();
        self.netns.enter(|| get(server, "/"))
    }

    /// Who answers each of `count` requests made one after the other.
    ///
    /// # Errors
    /// When a request fails.
    pub fn sequence(&self, server: impl Into<SocketAddr>, count: usize) -> Result<Vec<String>> {
        let server = server.into();
        self.netns.enter(|| {
            (1..=count)
                .map(|number| {
                    wait::check_interrupt()?;
                    get(server, "/").with_context(|| format!("request {number} of {count}"))
                })
                .collect()
        })
    }

    /// Opens `count` connections, sends on all of them only when all are open, and counts the answers by name.
    ///
    /// # Errors
    /// When one of them fails.
    pub fn concurrent(&self, server: impl Into<SocketAddr>, count: usize) -> Result<BTreeMap<String, usize>> {
        let server = server.into();
        allow_open_files(count as u64 + 256)?;
        let shares: Vec<usize> =
            (0..THREADS).map(|n| count / THREADS + usize::from(n < count % THREADS)).collect();
        let opened =
            self.on_threads(shares, |share| (0..share).map(|_| Connection::open(server)).collect())?;
        let answers = self.on_threads(opened, |mut connections: Vec<Connection>| {
            connections.iter_mut().try_for_each(|connection| connection.request("/"))?;
            connections.into_iter().map(Connection::answer).collect::<Result<Vec<_>>>()
        })?;
        Ok(tally(&answers.concat()))
    }

    /// Begins a download; the connection stays in the client's namespace wherever it is read.
    ///
    /// # Errors
    /// When it does not begin.
    pub fn download(&self, server: impl Into<SocketAddr>, path: &str) -> Result<Download> {
        let server = server.into();
        self.netns.enter(|| Download::start(server, path))
    }

    /// Who answers `count` datagrams, each from a port of its own.
    ///
    /// # Errors
    /// When an answer does not come, or not from the address that was asked.
    pub fn datagrams(&self, server: impl Into<SocketAddr>, count: usize) -> Result<Vec<String>> {
        let server = server.into();
        self.netns.enter(|| (0..count).map(|_| datagram(server)).collect())
    }

    /// Sends `data` in one datagram and wants it back.
    ///
    /// # Errors
    /// When it does not come, or not from the address that was asked, or not as it was sent.
    pub fn mirrored(&self, server: impl Into<SocketAddr>, data: &[u8]) -> Result<()> {
        let server = server.into();
        let answer = self.netns.enter(|| exchange(server, data))?;
        ensure!(answer == data, "{} bytes came back for {}, or others", answer.len(), data.len());
        Ok(())
    }

    /// The same, where the datagram leaves in the fragments that `cut` makes of it for its source, in that order, as
    /// frames to `mac`.
    ///
    /// # Errors
    /// When the datagram does not come back whole, or `cut` fails.
    pub fn mirrored_in_pieces(
        &self,
        server: impl Into<SocketAddr>,
        mac: Mac,
        data: &[u8],
        cut: impl FnOnce(SocketAddr) -> Result<Vec<Vec<u8>>> + Send,
    ) -> Result<()> {
        let (server, own) = (server.into(), self.netns.mac(INTERFACE)?);
        let answer = self.netns.enter(|| {
            let socket = connected(server)?;
            let frames = PacketSocket::sender(INTERFACE)?;
            for packet in cut(socket.local_addr()?)? {
                frames.send(&forge::ethernet(mac, own, &packet)).context("send a fragment")?;
            }
            received(&socket)
        })?;
        ensure!(answer == data, "{} bytes came back for {}, or others", answer.len(), data.len());
        Ok(())
    }

    /// Uploads `megabytes` of the bytes that [`http::Block`] knows.
    ///
    /// # Errors
    /// When the server does not take them.
    pub fn upload(&self, server: impl Into<SocketAddr>, path: &str, megabytes: usize) -> Result<()> {
        let server = server.into();
        self.netns.enter(|| http::upload(server, path, megabytes))
    }

    /// Begins an upload of `megabytes`; the connection stays in the client's namespace wherever it is written.
    ///
    /// # Errors
    /// When nobody accepts the connection.
    pub fn begin_upload(
        &self,
        server: impl Into<SocketAddr>,
        path: &str,
        megabytes: usize,
    ) -> Result<Upload> {
        let server = server.into();
        self.netns.enter(|| Upload::start(server, path, megabytes))
    }

    /// Sends three echo requests and wants three answers.
    ///
    /// # Errors
    /// When one is missing.
    pub fn ping(&self, address: impl Into<IpAddr>) -> Result<()> {
        let address: IpAddr = address.into();
        let answer =
            self.netns.run("ping", &["-n", "-c", "3", "-i", "0.2", "-W", "2", &address.to_string()])?;
        ensure!(answer.contains("3 received"), "{answer}");
        Ok(())
    }

    /// Does each part of `work` on a thread of its own in the client's namespace.
    ///
    /// # Errors
    /// What a part failed with.
    pub fn on_threads<I: Send, T: Send>(
        &self,
        work: Vec<I>,
        job: impl Fn(I) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let job = &job;
        std::thread::scope(|scope| {
            let threads: Vec<_> = work
                .into_iter()
                .map(|item| {
                    scope.spawn(move || {
                        self.netns.join()?;
                        job(item)
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }
}

/// Counts equal names.
pub fn tally(names: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name.clone()).or_default() += 1;
    }
    counts
}

/// Who answers a datagram that is sent from the calling thread's namespace.
///
/// # Errors
/// When an answer does not come, or not from the address that was asked.
pub fn datagram(server: SocketAddr) -> Result<String> {
    Ok(String::from_utf8_lossy(&exchange(server, b"who")?).into_owned())
}

fn exchange(server: SocketAddr, data: &[u8]) -> Result<Vec<u8>> {
    let socket = connected(server)?;
    socket.send(data)?;
    received(&socket)
}

fn connected(server: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(Family::from(server.ip()).unspecified())?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.connect(server)?;
    Ok(socket)
}

fn received(socket: &UdpSocket) -> Result<Vec<u8>> {
    let mut answer = vec![0; usize::from(u16::MAX)];
    let length = socket.recv(&mut answer).context("no answer to a datagram")?;
    answer.truncate(length);
    Ok(answer)
}

/// Lets this process have so many files open.
///
/// # Errors
/// When the kernel refuses.
pub fn allow_open_files(wanted: u64) -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted))
            .context("raise the limit of open files")?;
    }
    Ok(())
}
