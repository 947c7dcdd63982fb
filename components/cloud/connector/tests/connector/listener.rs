//! Peers that hold a connection and do nothing with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use holdfast_cloud::ca::{Authority, Passphrases, ServerCertificate, ServerNames};
use holdfast_cloud::tls::{Listener, ServerIdentity, Timeouts, Transport, management_config};
use rustls::version::TLS13;
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::client::TlsStream;

use crate::support::http::Dial;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);

struct Server {
    address: SocketAddr,
    authority: Authority,
    stop: watch::Sender<bool>,
    serving: tokio::task::JoinHandle<()>,
}

/// More than the buffers of both ends hold, which the system sizes by itself.
const LARGE: usize = 64 << 20;

/// Answers that are short, slow and large.
fn router() -> Router {
    let slow = get(|| async {
        tokio::time::sleep(SHORT).await;
        "done"
    });
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/slow", slow)
        .route("/large", get(|| async { vec![0; LARGE] }))
}

/// The same listener without TLS.
async fn start_plain(timeouts: Timeouts) -> (SocketAddr, watch::Sender<bool>) {
    let any = "127.0.0.1:0".parse().unwrap();
    let router = router();
    let listener = Listener::<()>::bind("test", any, Transport::Plain, router, timeouts);
    let listener = listener.await.unwrap();
    let address = listener.address().unwrap();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(listener.serve(stopped));
    (address, stop)
}

async fn start(timeouts: Timeouts) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let now = OffsetDateTime::now_utc();
    let ca = folder.path().join("ca");
    let (authority, _) = Authority::open_or_create(&ca, &Passphrases::default(), now).unwrap();
    let names = ServerNames::new([]).unwrap();
    let tls = folder.path().join("tls");
    let certificate = ServerCertificate::open_or_issue(&tls, &authority, &names, now).unwrap();
    let identity = Arc::new(ServerIdentity::new(certificate).unwrap());
    let router = router();
    let any = "127.0.0.1:0".parse().unwrap();
    let tls = management_config(identity).unwrap();
    let listener = Listener::<()>::bind("test", any, tls, router, timeouts).await.unwrap();
    let address = listener.address().unwrap();
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(listener.serve(stopped));
    Server { address, authority, stop, serving }
}

impl Server {
    fn dial(&self) -> Dial {
        let root = self.authority.root().clone();
        Dial { address: self.address, root, identity: None, version: &TLS13, source: None }
    }

    async fn open(&self) -> TlsStream<TcpStream> {
        self.dial().open().await.unwrap()
    }
}

/// Time until the other end closes.
async fn closed_after(mut stream: impl tokio::io::AsyncRead + Unpin) -> Duration {
    let started = Instant::now();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(LONG, stream.read_to_end(&mut rest)).await.unwrap();
    started.elapsed()
}

#[tokio::test]
async fn a_peer_that_does_not_shake_hands_is_dropped_and_delays_nobody() {
    let server = start(Timeouts { handshake: SHORT, idle: LONG, write: LONG }).await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    let mut connection = server.dial().connect().await.unwrap();
    assert_eq!(&*connection.get("/").await.unwrap().body, b"hello");
    let elapsed = closed_after(silent).await;
    assert!(elapsed < 10 * SHORT, "{elapsed:?}");
}

#[tokio::test]
async fn a_connection_that_sends_no_request_is_dropped() {
    let server = start(Timeouts { handshake: LONG, idle: SHORT, write: LONG }).await;
    assert!(closed_after(server.open().await).await < 10 * SHORT);
}

#[tokio::test]
async fn a_connection_that_is_idle_after_a_request_is_dropped() {
    let server = start(Timeouts { handshake: LONG, idle: SHORT, write: LONG }).await;
    let mut stream = server.open().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let elapsed = closed_after(stream).await;
    assert!(elapsed >= SHORT / 2 && elapsed < 10 * SHORT, "{elapsed:?}");
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_dropped() {
    let server = start(Timeouts { handshake: LONG, idle: SHORT, write: LONG }).await;
    let (read, mut write) = tokio::io::split(server.open().await);
    let dripping = tokio::spawn(async move {
        for byte in b"GET / HTTP/1.1\r\nhost: a\r\nx: ".iter().cycle() {
            tokio::time::sleep(SHORT / 10).await;
            if write.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    });
    assert!(closed_after(read).await < 10 * SHORT);
    dripping.abort();
}

#[tokio::test]
async fn without_tls_slow_and_silent_peers_are_dropped_as_well() {
    let (address, _stop) =
        start_plain(Timeouts { handshake: LONG, idle: SHORT, write: LONG }).await;
    let mut good = TcpStream::connect(address).await.unwrap();
    let silent = TcpStream::connect(address).await.unwrap();
    let (read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    let dripping = tokio::spawn(async move {
        for byte in b"GET / HTTP/1.1\r\nhost: a\r\nx: ".iter().cycle() {
            tokio::time::sleep(SHORT / 10).await;
            if write.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    });
    good.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    good.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    closed_after(silent).await;
    closed_after(read).await;
    dripping.abort();
}

#[tokio::test]
async fn a_stop_lets_a_running_request_end_and_closes_idle_connections() {
    let server = start(Timeouts { handshake: LONG, idle: LONG, write: LONG }).await;
    let mut idle = server.dial().connect().await.unwrap();
    idle.get("/").await.unwrap();
    let mut running = server.dial().connect().await.unwrap();
    let request = tokio::spawn(async move { running.get("/slow").await.unwrap().body });
    tokio::time::sleep(SHORT / 3).await;
    server.stop.send(true).unwrap();
    assert_eq!(&*request.await.unwrap(), b"done");
    tokio::time::timeout(10 * SHORT, server.serving).await.unwrap().unwrap();
    assert!(idle.get("/").await.is_err());
}

/// Sends requests and reads nothing, until the other end closes.
async fn closed_on(mut stream: impl tokio::io::AsyncWrite + Unpin, requests: &[u8]) -> Duration {
    let started = Instant::now();
    let flooding = async {
        while stream.write_all(requests).await.is_ok() && stream.flush().await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    tokio::time::timeout(LONG, flooding).await.unwrap();
    started.elapsed()
}

const UNREAD: Timeouts = Timeouts { handshake: LONG, idle: LONG, write: SHORT };

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_never_reads_is_dropped_and_delays_nobody() {
    let server = start(UNREAD).await;
    let large = b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n".as_slice();
    let pipelined = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(20_000);
    for requests in [large, &pipelined] {
        let (stream, requests) = (server.open().await, requests.to_vec());
        let closed = tokio::spawn(async move { closed_on(stream, &requests).await });
        let mut other = server.dial().connect().await.unwrap();
        assert_eq!(&*other.get("/").await.unwrap().body, b"hello");
        let elapsed = closed.await.unwrap();
        assert!(elapsed >= SHORT, "{elapsed:?}");
        assert_eq!(&*other.get("/").await.unwrap().body, b"hello");
    }
    let (address, _stop) = start_plain(UNREAD).await;
    let elapsed = closed_on(TcpStream::connect(address).await.unwrap(), large).await;
    assert!(elapsed >= SHORT, "{elapsed:?}");
}

#[tokio::test]
async fn a_peer_that_reads_slowly_gets_his_answer() {
    let server = start(UNREAD).await;
    let mut stream = server.open().await;
    let request = b"GET /large HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut piece = vec![0; LARGE / 16];
    for _ in 0..16 {
        tokio::time::sleep(SHORT / 3).await;
        stream.read_exact(&mut piece).await.unwrap();
    }
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() < 1000);
}
