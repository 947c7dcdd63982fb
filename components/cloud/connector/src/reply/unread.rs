//! What a handler leaves unread of a request's body.
//!
//! An answer may be known before the body is there: the caller may not do what he asks for, or the
//! body is of the wrong type. hyper then closes the connection as soon as it has answered, and a
//! client that is still sending, or that sends its next request there, finds a broken connection in
//! place of the answer. So a small body that its handler did not look at is read before the answer
//! goes out. Otherwise, where a handler stopped at its limit too, the answer says that the connection
//! ends.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;

/// Bytes that are read to no purpose.
const REST: usize = 64 << 10;
/// And how long they are waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// A body that is lent to a handler.
#[derive(Clone)]
pub(super) struct Lent {
    body: Arc<Mutex<Body>>,
    is_begun: Arc<AtomicBool>,
}

impl Lent {
    pub(super) fn new(body: Body) -> Self {
        Self { body: Arc::new(Mutex::new(body)), is_begun: Arc::default() }
    }

    /// Reads what is left; false if there is still more.
    pub(super) async fn drain(mut self) -> bool {
        if self.is_begun.load(Ordering::Relaxed) {
            return self.is_end_stream() || matches!(self.frame().now_or_never(), Some(None));
        }
        // Not even asked for, where the client waits for a "100 Continue".
        if self.size_hint().lower() > REST as u64 {
            return false;
        }
        let rest = async {
            let mut left = REST;
            while let Some(frame) = self.frame().await {
                let Ok(frame) = frame else { return false };
                let length = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(length) {
                    Some(less) => left = less,
                    None => return false,
                }
            }
            true
        };
        tokio::time::timeout(PATIENCE, rest).await.unwrap_or(false)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Body> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_begun.store(true, Ordering::Relaxed);
        Pin::new(&mut *self.lock()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn body(pieces: usize) -> Body {
        let piece = || Ok::<_, std::io::Error>(Bytes::from(vec![0; 1024]));
        Body::from_stream(stream::iter((0..pieces).map(move |_| piece())))
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_rest_is_read_and_a_large_or_slow_one_is_not() {
        for (body, is_read) in [
            (Body::empty(), true),
            (body(64), true),
            (body(65), false),
            (Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()), false),
            (
                Body::from_stream(stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))])),
                false,
            ),
        ] {
            assert_eq!(Lent::new(body).drain().await, is_read);
        }
        // Where a handler stopped nobody goes on; one that has read all leaves nothing.
        for (read, is_read) in [(1, false), (9, false), (10, true)] {
            let lent = Lent::new(body(10));
            let mut handler = lent.clone();
            for _ in 0..read {
                handler.frame().await.unwrap().unwrap();
            }
            drop(handler);
            assert_eq!(lent.drain().await, is_read, "{read} of 10 frames");
        }
    }
}
