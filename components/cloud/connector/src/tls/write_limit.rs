//! Ends connections whose peer stops reading. hyper limits how long a head may take to come, but
//! waits for ever to get rid of an answer: the peer's host acknowledges that its window is shut, and
//! so TCP waits as well.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream whose writing fails when it made no progress for a while.
pub(super) struct WriteLimit<T> {
    inner: T,
    limit: Duration,
    /// Since the first write that had to wait; boxed, since most connections never need it.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<T> WriteLimit<T> {
    pub(super) fn new(inner: T, limit: Duration) -> Self {
        Self { inner, limit, stalled: None }
    }

    fn judge(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stalled.as_mut().poll(context));
        let detail = format!("the peer has read nothing for {} s", limit.as_secs_f32());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, detail)))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WriteLimit<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WriteLimit<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    // A socket has nothing to flush, and its shutdown does not wait.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_write_fails_when_nothing_was_read_for_the_limit() {
        let (ours, _theirs) = duplex(4);
        let mut stream = WriteLimit::new(ours, LIMIT);
        let started = Instant::now();
        stream.write_all(b"fits").await.unwrap();
        let error = stream.write_all(b"waits").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), LIMIT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_waited_for_as_long_as_he_reads() {
        let (ours, mut theirs) = duplex(4);
        let mut stream = WriteLimit::new(ours, LIMIT);
        let reading = tokio::spawn(async move {
            let mut piece = [0; 4];
            for _ in 0..10 {
                sleep(LIMIT * 9 / 10).await;
                theirs.read_exact(&mut piece).await.unwrap();
            }
        });
        stream.write_all(&[0; 40]).await.unwrap();
        reading.await.unwrap();
        // Time between writes is not time that a write waited.
        sleep(2 * LIMIT).await;
        assert!(stream.write_all(b"x").await.is_err_and(|e| e.kind() != io::ErrorKind::TimedOut));
    }
}
