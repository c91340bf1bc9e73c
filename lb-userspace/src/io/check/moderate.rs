//! A stream that is read in moderation: after each piece others have their turn, and it has an end.
//!
//! What a server sends as fast as it is taken would otherwise hold up every other check, and all else that the daemon does.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes after which others have their turn.
const PIECE: usize = 16 * 1024;

/// A stream, and how much more of it is read.
pub(super) struct Moderate<S> {
    stream: S,
    longest: u64,
    taken: u64,
    /// Since others had their turn.
    piece: usize,
}

impl<S> Moderate<S> {
    /// Of `longest` bytes at most; reading more is an error.
    pub(super) fn new(stream: S, longest: u64) -> Self {
        Self { stream, longest, taken: 0, piece: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Moderate<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.taken > self.longest {
            let message = format!("the answer is longer than {} bytes", self.longest);
            return Poll::Ready(Err(io::Error::other(message)));
        }
        if self.piece >= PIECE {
            self.piece = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let more = buffer.filled().len() - before;
        self.piece += more;
        self.taken += more as u64;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, repeat};

    use super::*;

    #[tokio::test]
    async fn others_have_their_turn_after_each_piece() {
        let mut stream = Moderate::new(repeat(0), u64::MAX);
        let mut buffer = vec![0; PIECE];
        for _ in 0..3 {
            assert_eq!(read(&mut stream, &mut buffer).await, Poll::Ready(PIECE));
            assert_eq!(read(&mut stream, &mut buffer).await, Poll::Pending);
        }
    }

    async fn read(stream: &mut Moderate<tokio::io::Repeat>, buffer: &mut [u8]) -> Poll<usize> {
        std::future::poll_fn(|context| {
            let mut buffer = ReadBuf::new(buffer);
            let read = Pin::new(&mut *stream).poll_read(context, &mut buffer);
            Poll::Ready(read.map(|read| read.map_or(0, |()| buffer.filled().len())))
        })
        .await
    }

    #[tokio::test]
    async fn it_has_an_end() {
        let mut stream = Moderate::new(repeat(0), 100_000);
        let mut all = Vec::new();
        let error = stream.read_to_end(&mut all).await.unwrap_err();
        assert_eq!(error.to_string(), "the answer is longer than 100000 bytes");
        let hundred = vec![7_u8; 100_000];
        let mut whole = Moderate::new(&hundred[..], 100_000);
        all.clear();
        assert_eq!(whole.read_to_end(&mut all).await.unwrap(), 100_000);
    }
}
