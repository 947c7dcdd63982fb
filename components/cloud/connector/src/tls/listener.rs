//! The accept loop: handshakes in tasks of their own, with time limits, so that a slow or silent
//! peer holds nobody up.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::write_limit::WriteLimit;
use super::{Connection, SharedTls, Transport};

/// Connections of one listener.
const CONNECTIONS: usize = 16_384;
/// Connections of one address; a whole site may sit behind one.
const CONNECTIONS_PER_SOURCE: usize = 1024;
/// Time that running requests have after the stop signal.
const GRACE: Duration = Duration::from_secs(10);

/// How long a peer may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For the handshake; none without TLS.
    pub handshake: Duration,
    /// Until the head of the next request is there: also the life of an idle connection.
    pub idle: Duration,
    /// Until some more of an answer is read.
    pub write: Duration,
}

/// A bound listener; `S` is what it keeps per connection.
pub struct Listener<S> {
    name: &'static str,
    tcp: TcpListener,
    transport: Transport,
    router: Router,
    timeouts: Timeouts,
    session: std::marker::PhantomData<fn() -> S>,
}

impl<S: Default + Send + Sync + 'static> Listener<S> {
    /// Binds the address.
    pub async fn bind(
        name: &'static str,
        address: SocketAddr,
        transport: impl Into<Transport>,
        router: Router,
        timeouts: Timeouts,
    ) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        let transport = transport.into();
        Ok(Self { name, tcp, transport, router, timeouts, session: std::marker::PhantomData })
    }

    /// The address that it is bound to.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until `stop` becomes true, then lets running requests end.
    pub async fn serve(self, mut stop: watch::Receiver<bool>) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let sources = Arc::new(Sources::default());
        let mut tasks = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = stopped(&mut stop) => break,
                Some(_) = tasks.join_next() => continue,
                accepted = accept(&self.tcp, &permits) => accepted,
            };
            let (stream, peer, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(listener = self.name, %error, "cannot accept a connection");
                    // Mostly "too many open files": wait for some to close.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Some(place) = sources.enter(peer.ip()) else {
                tracing::warn!(listener = self.name, %peer, "too many connections of this address");
                continue;
            };
            let task = Task {
                name: self.name,
                router: self.router.clone(),
                timeouts: self.timeouts,
                stop: stop.clone(),
            };
            // Below TLS, where progress is what the peer's host has taken.
            let stream = WriteLimit::new(stream, self.timeouts.write);
            let transport = self.transport.clone();
            tasks.spawn(async move {
                match transport {
                    Transport::Tls(tls) => task.run_tls::<S>(&tls, stream, peer).await,
                    Transport::Plain => task.serve(stream, Connection::<S>::plain(peer)).await,
                }
                drop((permit, place));
            });
        }
        drop(self.tcp);
        let rest =
            tokio::time::timeout(GRACE, async { while tasks.join_next().await.is_some() {} });
        if rest.await.is_err() {
            tracing::warn!(listener = self.name, "requests were cut off at the stop");
        }
    }
}

/// Ends when the server stops; also when the sender of the signal is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn accept(
    tcp: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = tcp.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer, permit))
}

/// One connection from handshake to end.
struct Task {
    name: &'static str,
    router: Router,
    timeouts: Timeouts,
    stop: watch::Receiver<bool>,
}

impl Task {
    async fn run_tls<S: Default + Send + Sync + 'static>(
        mut self,
        tls: &SharedTls,
        stream: WriteLimit<TcpStream>,
        peer: SocketAddr,
    ) {
        let accepting = TlsAcceptor::from(tls.get()).accept(stream);
        let handshake = tokio::time::timeout(self.timeouts.handshake, accepting);
        let stream = tokio::select! {
            () = stopped(&mut self.stop) => return,
            handshake = handshake => match handshake {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    tracing::info!(listener = self.name, %peer, %error, "TLS handshake failed");
                    return;
                }
                Err(_) => {
                    tracing::info!(listener = self.name, %peer, "TLS handshake took too long");
                    return;
                }
            },
        };
        let connection = Connection::<S>::new(peer, stream.get_ref().1);
        self.serve(stream, connection).await;
    }

    async fn serve<S: Send + Sync + 'static>(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        connection: Connection<S>,
    ) {
        let peer = connection.peer;
        let connection = Arc::new(connection);
        let router = self.router;
        let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(Arc::clone(&connection));
            router.clone().oneshot(request.map(axum::body::Body::new))
        });
        let serving = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.timeouts.idle)
            .max_buf_size(64 * 1024)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(serving);
        let ended = tokio::select! {
            ended = serving.as_mut() => ended,
            () = stopped(&mut self.stop) => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(listener = self.name, %peer, %error, "the connection ended");
        }
    }
}

/// Counts connections per address.
#[derive(Default)]
struct Sources(Mutex<HashMap<IpAddr, usize>>);

/// A place that is given back when it is dropped.
struct Place {
    sources: Arc<Sources>,
    address: IpAddr,
}

impl Sources {
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= CONNECTIONS_PER_SOURCE {
            return None;
        }
        *count += 1;
        Some(Place { sources: Arc::clone(self), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.sources.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}
