//! A plain HTTP/1.0 client on real sockets: one connection for each request.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt,
};

const BOUND: Duration = Duration::from_secs(10);
const BLOCK: usize = 64 * 1024;

/// An open connection, before or after its request.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Opens a connection from the calling thread's namespace.
    ///
    /// # Errors
    /// When nobody accepts it within ten seconds.
    pub fn open(server: SocketAddr) -> Result<Self> {
        Self::open_within(server, BOUND)
    }

    /// The same from one of the namespace's own addresses.
    ///
    /// # Errors
    /// When the address is not its own, or nobody accepts the connection in time.
    pub fn open_from(source: Ipv4Addr, server: SocketAddrV4) -> Result<Self> {
        let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(BOUND))?;
        // This bounds the connecting too.
        stream.set_write_timeout(Some(BOUND))?;
        // A port is chosen with the destination known: it need not be free towards others.
        setsockopt(&stream, sockopt::IpBindAddressNoPort, &true)?;
        bind(stream.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(source, 0)))?;
        connect(stream.as_raw_fd(), &SockaddrIn::from(server))
            .with_context(|| format!("connect from {source} to {server}"))?;
        Ok(Self { stream })
    }

    fn open_within(server: SocketAddr, bound: Duration) -> Result<Self> {
        let stream =
            TcpStream::connect_timeout(&server, bound).with_context(|| format!("connect to {server}"))?;
        stream.set_read_timeout(Some(bound))?;
        stream.set_write_timeout(Some(bound))?;
        Ok(Self { stream })
    }

    /// Sends a GET.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn request(&mut self, path: &str) -> Result<()> {
        let request = format!("GET {path} HTTP/1.0\r\nHost: lab\r\n\r\n");
        self.stream.write_all(request.as_bytes()).with_context(|| format!("send GET {path}"))
    }

    /// Reads a small answer and returns its body without the line end.
    ///
    /// # Errors
    /// When the connection breaks or the answer is a refusal.
    pub fn answer(mut self) -> Result<String> {
        self.skip_header()?;
        let mut body = String::new();
        self.stream.read_to_string(&mut body).context("read the body")?;
        Ok(body.trim_end().to_owned())
    }

    fn skip_header(&mut self) -> Result<()> {
        let mut header = Vec::new();
        while !header.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).context("read the header")?;
            header.push(byte[0]);
        }
        let header = String::from_utf8_lossy(&header);
        let first = header.lines().next().unwrap_or_default();
        ensure!(first.split(' ').nth(1).is_some_and(|code| code.starts_with('2')), "answered {first:?}");
        Ok(())
    }
}

/// One whole request for a small body.
///
/// # Errors
/// When any part of it fails.
pub fn get(server: SocketAddr, path: &str) -> Result<String> {
    get_within(server, path, BOUND)
}

/// The same, given up when nothing comes for `bound`.
///
/// # Errors
/// When nobody answers well in time.
pub fn get_within(server: SocketAddr, path: &str, bound: Duration) -> Result<String> {
    let mut connection = Connection::open_within(server, bound)?;
    connection.request(path)?;
    connection.answer()
}

/// Uploads `megabytes` of the large file's bytes as a file at `path`.
///
/// # Errors
/// When the connection breaks or the server does not take them.
pub fn upload(server: SocketAddr, path: &str, megabytes: usize) -> Result<()> {
    let mut upload = Upload::start(server, path, megabytes)?;
    upload.advance_to(megabytes)?;
    upload.finish()
}

/// An upload that advances only when asked.
#[derive(Debug)]
pub struct Upload {
    connection: Connection,
    next: usize,
}

impl Upload {
    /// Announces `megabytes` of the large file's bytes as a file at `path`.
    ///
    /// # Errors
    /// When nobody accepts the connection.
    pub fn start(server: SocketAddr, path: &str, megabytes: usize) -> Result<Self> {
        let mut connection = Connection::open(server)?;
        let length = blocks(megabytes) * BLOCK;
        let request = format!("PUT {path} HTTP/1.0\r\nHost: lab\r\nContent-Length: {length}\r\n\r\n");
        connection.stream.write_all(request.as_bytes()).with_context(|| format!("send PUT {path}"))?;
        Ok(Self { connection, next: 0 })
    }

    /// Sends on until `megabytes` have gone.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn advance_to(&mut self, megabytes: usize) -> Result<()> {
        let mut block = Block::pattern();
        while self.next < blocks(megabytes) {
            let sent = self.connection.stream.write_all(block.numbered(self.next));
            sent.with_context(|| format!("send block {}", self.next))?;
            self.next += 1;
        }
        Ok(())
    }

    /// Waits for the server to say that it has taken everything.
    ///
    /// # Errors
    /// When it does not.
    pub fn finish(self) -> Result<()> {
        self.connection.answer().map(drop)
    }
}

/// The bytes of the large file: every block carries its number, then a pattern.
#[derive(Debug)]
pub struct Block(Vec<u8>);

impl Block {
    /// The pattern, to be numbered.
    pub fn pattern() -> Self {
        Self((0..=u8::MAX).cycle().take(BLOCK).collect())
    }

    /// The bytes of block `number`.
    pub fn numbered(&mut self, number: usize) -> &[u8] {
        self.0[..8].copy_from_slice(&(number as u64).to_be_bytes());
        &self.0
    }
}

/// Number of blocks in a file of `megabytes`.
pub fn blocks(megabytes: usize) -> usize {
    megabytes * 1024 * 1024 / BLOCK
}

/// Makes sure that the file at `path` has `megabytes` of the large file's bytes and no others.
///
/// # Errors
/// When it cannot be read or is different.
pub fn check_file(path: &Path, megabytes: usize) -> Result<()> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let length = file.metadata()?.len();
    ensure!(length == (blocks(megabytes) * BLOCK) as u64, "{} is {length} bytes long", path.display());
    let (mut got, mut expected) = (vec![0; BLOCK], Block::pattern());
    for number in 0..blocks(megabytes) {
        file.read_exact(&mut got)?;
        ensure!(got == expected.numbered(number), "block {number} of {} is damaged", path.display());
    }
    Ok(())
}

/// A download that advances only when asked and compares every byte with what was to come.
#[derive(Debug)]
pub struct Download {
    connection: Connection,
    next: usize,
}

impl Download {
    /// Asks for the large file.
    ///
    /// # Errors
    /// When the answer does not begin.
    pub fn start(server: SocketAddr, path: &str) -> Result<Self> {
        let mut connection = Connection::open(server)?;
        connection.request(path)?;
        connection.skip_header()?;
        Ok(Self { connection, next: 0 })
    }

    /// Reads on until `megabytes` have come.
    ///
    /// # Errors
    /// When the connection breaks or a byte is wrong.
    pub fn advance_to(&mut self, megabytes: usize) -> Result<()> {
        let (mut got, mut expected) = (vec![0; BLOCK], Block::pattern());
        while self.next < blocks(megabytes) {
            self.connection.stream.read_exact(&mut got).with_context(|| format!("block {}", self.next))?;
            if got != expected.numbered(self.next) {
                bail!("block {} of the download is damaged", self.next);
            }
            self.next += 1;
        }
        Ok(())
    }

    /// Makes sure the file ends here.
    ///
    /// # Errors
    /// When more bytes come or the connection was cut.
    pub fn finish(mut self) -> Result<()> {
        match self.connection.stream.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(anyhow!("the download is longer than the file")),
            Err(error) => Err(error).context("end of the download"),
        }
    }
}
