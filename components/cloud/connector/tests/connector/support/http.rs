//! A TLS connection that stays open, as devices have it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use holdfast_cloud::server::Server;
use holdfast_cloud::tls::provider;

/// How to connect.
pub struct Dial {
    pub address: SocketAddr,
    pub root: CertificateDer<'static>,
    pub identity: Option<CertifiedKey>,
    pub version: &'static SupportedProtocolVersion,
    /// Own address; any if none.
    pub source: Option<IpAddr>,
}

impl Dial {
    pub fn est(server: &Server) -> Self {
        Self {
            address: server.endpoints().est,
            root: server.app().authority().root().clone(),
            identity: None,
            version: &TLS13,
            source: None,
        }
    }

    pub fn device(server: &Server) -> Self {
        Self { address: server.endpoints().device, ..Self::est(server) }
    }

    #[must_use]
    pub fn from(self, source: IpAddr) -> Self {
        Self { source: Some(source), ..self }
    }

    #[must_use]
    pub fn with_tls12(self) -> Self {
        Self { version: &TLS12, ..self }
    }

    #[must_use]
    pub fn with_identity(
        self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Self {
        let key = provider().key_provider.load_private_key(key).unwrap();
        self.with_key(chain, key)
    }

    /// With a key that may be in a TPM.
    #[must_use]
    pub fn with_key(self, chain: Vec<CertificateDer<'static>>, key: Arc<dyn SigningKey>) -> Self {
        Self { identity: Some(CertifiedKey::new(chain, key)), ..self }
    }

    fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[self.version])
            .unwrap()
            .with_root_certificates(roots);
        match &self.identity {
            Some(identity) => {
                let identity = Arc::new(SingleCertAndKey::from(identity.clone()));
                builder.with_client_cert_resolver(identity)
            }
            None => builder.with_no_client_auth(),
        }
    }

    /// Up to the handshake.
    pub async fn open(self) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        if let Some(source) = self.source {
            socket.bind((source, 0).into())?;
        }
        let stream = socket.connect(self.address).await?;
        let name = ServerName::IpAddress(self.address.ip().into());
        TlsConnector::from(Arc::new(self.config())).connect(name, stream).await
    }

    pub async fn connect(self) -> std::io::Result<Connection> {
        Connection::over(self.open().await?).await
    }
}

/// Asks the public listener, over plain HTTP.
pub async fn get_plain(server: &Server, path: &str) -> Answer {
    plain(server).await.get(path).await.unwrap()
}

/// The same, with a body.
pub async fn post_plain(
    server: &Server,
    path: &str,
    content_type: &str,
    body: impl Into<Bytes>,
) -> Answer {
    let request = Request::post(path)
        .header("host", "connector")
        .header("content-type", content_type)
        .body(Full::new(body.into()))
        .unwrap();
    plain(server).await.exchange(request).await.unwrap()
}

async fn plain(server: &Server) -> Connection {
    let stream = TcpStream::connect(server.endpoints().public.unwrap()).await.unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    Connection { sender, exporter: [0; 32] }
}

/// An answer.
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }

    pub fn request_id(&self) -> String {
        self.json()["error"]["request_id"].as_str().unwrap().to_owned()
    }
}

/// An open connection.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    pub exporter: [u8; 32],
}

impl Connection {
    async fn over(stream: TlsStream<TcpStream>) -> std::io::Result<Self> {
        let label = b"EXPERIMENTAL-holdfast-est-v1";
        let exporter = stream.get_ref().1.export_keying_material([0; 32], label, None);
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self { sender, exporter: exporter.map_err(std::io::Error::other)? })
    }

    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> hyper::Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "connector")
            .body(Full::new(body.into()))
            .unwrap();
        self.exchange(request).await
    }

    /// The same with headers.
    pub async fn send_with(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> hyper::Result<Answer> {
        let mut request = Request::builder().method(method).uri(path).header("host", "connector");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.exchange(request.body(Full::new(body.into())).unwrap()).await
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
        // The answer before may have been read before its connection knew that it is at its end.
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    pub async fn get(&mut self, path: &str) -> hyper::Result<Answer> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    pub async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.send(Method::POST, path, body).await.unwrap()
    }
}
