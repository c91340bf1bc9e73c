//! The servers of a stage: small ones of every protocol that is checked, each a task that can be ended at once.

use std::collections::BTreeMap;
use std::net::{self, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::scenario::Answer;
use crate::wait;

/// Bytes of a datagram, at most.
const DATAGRAM: usize = 1500;

/// What is served, by its address.
pub(super) struct Servers {
    running: BTreeMap<SocketAddr, JoinHandle<()>>,
    pages: BTreeMap<SocketAddr, Pages>,
    tls: TlsAcceptor,
}

type Pages = Arc<Mutex<BTreeMap<String, Answer>>>;

impl Servers {
    /// Nobody yet.
    pub(super) fn new() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(vec!["www.example.com".to_owned()])?;
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
        let certificates = vec![made.cert.der().clone()];
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key)?;
        let (running, pages) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { running, pages, tls: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Ends what is there; connections are refused from now on.
    pub(super) async fn refuse(&mut self, address: SocketAddr) {
        if let Some(running) = self.running.remove(&address) {
            running.abort();
            // Its socket is closed when it has ended.
            let _ = running.await;
        }
    }

    /// Accepts connections and waits for their end.
    pub(super) async fn accept(&mut self, address: SocketAddr) -> Result<()> {
        self.listen(address, |mut stream| async move { until_end(&mut stream).await }).await
    }

    /// Answers a path of the HTTP server there.
    pub(super) async fn page(&mut self, address: SocketAddr, path: String, answer: Answer) -> Result<()> {
        let Some(pages) = self.put(address, path, answer) else { return Ok(()) };
        self.listen(address, move |stream| {
            let pages = Arc::clone(&pages);
            async move { drop(serve_page(stream, &pages).await) }
        })
        .await
    }

    /// The same of the one that speaks TLS.
    pub(super) async fn secret(&mut self, address: SocketAddr, path: String, answer: Answer) -> Result<()> {
        let Some(pages) = self.put(address, path, answer) else { return Ok(()) };
        let tls = self.tls.clone();
        self.listen(address, move |stream| {
            let (pages, accepted) = (Arc::clone(&pages), tls.accept(stream));
            async move {
                if let Ok(stream) = accepted.await {
                    drop(serve_page(stream, &pages).await);
                }
            }
        })
        .await
    }

    /// Puts an answer among the pages of `address`, and gives them if nobody serves them yet.
    fn put(&mut self, address: SocketAddr, path: String, answer: Answer) -> Option<Pages> {
        let pages = self.pages.entry(address).or_default();
        pages.lock().unwrap_or_else(PoisonError::into_inner).insert(path, answer);
        (!self.running.contains_key(&address)).then(|| Arc::clone(pages))
    }

    /// Answers as a mail server with these codes.
    pub(super) async fn mail(&mut self, address: SocketAddr, greeting: u16, helo: u16) -> Result<()> {
        self.listen(address, move |stream| async move { drop(serve_mail(stream, greeting, helo).await) })
            .await
    }

    /// Answers questions for names with this code.
    pub(super) async fn names(&mut self, address: SocketAddr, code: u8) -> Result<()> {
        self.datagrams(address, move |question| answer_name(question, code)).await
    }

    /// Sends datagrams back.
    pub(super) async fn echo(&mut self, address: SocketAddr) -> Result<()> {
        self.datagrams(address, |datagram| Some(datagram.to_vec())).await
    }

    /// Takes datagrams.
    pub(super) async fn deaf(&mut self, address: SocketAddr) -> Result<()> {
        self.datagrams(address, |_| None).await
    }

    async fn listen<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        address: SocketAddr,
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Result<()> {
        self.refuse(address).await;
        let listener = wait::bound(address, || net::TcpListener::bind(address))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let running = tokio::spawn(async move {
            let mut streams = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                while streams.try_join_next().is_some() {}
                streams.spawn(serve(stream));
            }
        });
        self.running.insert(address, running);
        Ok(())
    }

    async fn datagrams(
        &mut self,
        address: SocketAddr,
        answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static,
    ) -> Result<()> {
        self.refuse(address).await;
        let socket = wait::bound(address, || net::UdpSocket::bind(address))?;
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        let running = tokio::spawn(async move {
            let mut bytes = [0; DATAGRAM];
            loop {
                let Ok((length, from)) = socket.recv_from(&mut bytes).await else { continue };
                if let Some(answer) = answer(&bytes[..length]) {
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        self.running.insert(address, running);
        Ok(())
    }
}

async fn until_end(stream: &mut (impl AsyncRead + Unpin)) {
    let mut bytes = [0; DATAGRAM];
    while stream.read(&mut bytes).await.is_ok_and(|length| length > 0) {}
}

async fn serve_page(stream: impl AsyncRead + AsyncWrite + Unpin, pages: &Pages) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request).await?;
    let (mut line, mut host) = (String::new(), String::new());
    while stream.read_line(&mut line).await? > 2 {
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("host")
        {
            value.trim_end().clone_into(&mut host);
        }
        line.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let answer = {
        let pages = pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.get(&format!("{host}{path}")).or_else(|| pages.get(path)).cloned()
    };
    match answer.unwrap_or(Answer::Page(404, "there is no such page".to_owned())) {
        Answer::Page(status, text) => {
            let length = text.len();
            let head =
                format!("HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.write_all(format!("{head}{text}").as_bytes()).await?;
            stream.shutdown().await?;
        }
        Answer::Hangs => {}
    }
    until_end(&mut stream).await;
    Ok(())
}

async fn serve_mail(stream: TcpStream, greeting: u16, helo: u16) -> Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(format!("{greeting} mail.example.com\r\n").as_bytes()).await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let code = if line.starts_with("QUIT") { 221 } else { helo };
        stream.write_all(format!("{code} mail.example.com\r\n").as_bytes()).await?;
        line.clear();
    }
    Ok(())
}

/// The answer to a question, RFC 1035 section 4.1: one address of that name where the code is 0.
fn answer_name(question: &[u8], code: u8) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    const RESPONSE: u8 = 0x80;
    let mut end = HEADER;
    while *question.get(end)? != 0 {
        end += usize::from(question[end]) + 1;
    }
    // The end of the name, its type and its class.
    let question = question.get(..end + 5)?;
    let mut answer = question.to_vec();
    answer[2] |= RESPONSE;
    answer[3] = code;
    answer[4..HEADER].copy_from_slice(&[0, 1, 0, u8::from(code == 0), 0, 0, 0, 0]);
    if code == 0 {
        answer.extend([0xc0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    }
    Some(answer)
}
