//! Arbitrary bytes on the control socket: nothing panics, what is answered is HTTP and short, and the socket goes on.

#![no_main]

use std::future::pending;
use std::io;
use std::time::Duration;

use axum::serve::Listener;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;
use xlvs::adm::Table;
use xlvs::io::socket::{Ask, questions, serve};

/// More than the input may ask for in the answers that there are here.
const LONGEST: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(5);
/// Who says nothing for so long waits for more to read: no answer here takes time.
const SILENCE: Duration = Duration::from_millis(2);

/// Connections in memory.
struct Incoming(Receiver<DuplexStream>);

impl Listener for Incoming {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(stream) => (stream, ()),
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

/// What comes back until nothing does, or the connection ends. A server that reads the end of a connection gives no answer,
/// so it comes last.
async fn answered(connections: &Sender<DuplexStream>, bytes: &[u8]) -> Vec<u8> {
    let (mut client, server) = duplex(LONGEST);
    connections.send(server).await.expect("somebody listens");
    // Who breaks off has been answered.
    let _closed = client.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(Ok(length @ 1..)) = timeout(SILENCE, client.read(&mut piece)).await {
        answer.extend_from_slice(&piece[..length]);
    }
    let _closed = client.shutdown().await;
    client.read_to_end(&mut answer).await.expect("it ends");
    answer
}

fuzz_target!(|bytes: &[u8]| {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let (asks, mut reader) = questions();
        let (connections, incoming) = channel(1);
        tokio::spawn(serve(Incoming(incoming), asks));
        tokio::spawn(async move {
            while let Some(ask) = reader.recv().await {
                match ask {
                    Ask::Table(_, _, answer) => drop(answer.send(Table::default())),
                    Ask::Change(commands, answer) => drop(answer.send(Err(format!("{commands:?}")))),
                    // Others are left without an answer.
                    _ => {}
                }
            }
        });
        let answer = timeout(PATIENCE, answered(&connections, bytes)).await.expect("it is answered in time");
        assert!(answer.len() < LONGEST, "an answer of {} bytes", answer.len());
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{answer:?}");
        let table = b"GET /table HTTP/1.1\r\nhost: xlvs\r\n\r\n";
        let answer = timeout(PATIENCE, answered(&connections, table)).await.expect("it goes on");
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{answer:?}");
    });
});
