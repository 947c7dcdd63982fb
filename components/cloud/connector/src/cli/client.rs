//! A client of the management API: HTTP/1.1 over TLS 1.3, trusting the server's own root alone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast_attestation::refusal::Refusal;
use holdfast_site::HttpsOrigin;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::tls::provider;

const TIMEOUT: Duration = Duration::from_secs(30);
const JSON: &str = "application/json";

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server said no.
    #[error("{detail}")]
    Refused {
        /// Stable code.
        code: String,
        /// For people.
        detail: String,
        /// For the server's log.
        request_id: String,
    },
    /// No connection.
    #[error("the server at {server} cannot be reached: {detail}")]
    Unreachable {
        /// Address.
        server: String,
        /// What failed.
        detail: String,
    },
    /// An answer that is not one of this API.
    #[error("the server's answer is not as expected: {0}")]
    Answer(String),
    /// Address, anchor or key are unusable.
    #[error("{0}")]
    Configuration(String),
}

/// A client of one server.
pub struct Client {
    origin: HttpsOrigin,
    key: Zeroizing<String>,
    tls: TlsConnector,
}

impl Client {
    /// For a server, with the PEM of its root and an API key.
    pub fn new(server: &str, root_pem: &[u8], key: &str) -> Result<Self, ClientError> {
        let unusable = |detail: String| ClientError::Configuration(detail);
        let origin = server.parse::<HttpsOrigin>().map_err(unusable)?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(root_pem) {
            let certificate = certificate.map_err(|e| unusable(format!("the CA file: {e}")))?;
            roots.add(certificate).map_err(|e| unusable(format!("the CA file: {e}")))?;
        }
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| unusable(e.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            origin,
            key: Zeroizing::new(key.trim().to_owned()),
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Reads.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, JSON, Bytes::new()).await
    }

    /// Reads what may be long, piece by piece; says how many bytes there were.
    pub async fn download(
        &self,
        path: &str,
        mut sink: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<u64, ClientError> {
        let sending = self.send(Method::GET, path, JSON, Bytes::new());
        let (response, driver) = self.in_time(sending).await?;
        let (parts, mut body) = response.into_parts();
        if !parts.status.is_success() {
            let body =
                self.in_time(async { body.collect().await.map_err(|e| self.unreachable(&e)) });
            return Err(refusal(parts.status, &body.await?.to_bytes()));
        }
        let mut length = 0;
        while let Some(frame) = self.in_time(async { Ok(body.frame().await) }).await? {
            let frame = frame.map_err(|e| self.unreachable(&e))?;
            if let Some(data) = frame.data_ref() {
                sink(data).map_err(|e| ClientError::Configuration(e.to_string()))?;
                length += data.len() as u64;
            }
        }
        driver.abort();
        Ok(length)
    }

    /// Changes.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body)
            .map_err(|e| ClientError::Configuration(format!("the request: {e}")))?;
        self.call(Method::POST, path, JSON, body.into()).await
    }

    /// Changes, with a body that is JSON already.
    pub async fn post_bytes<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, ClientError> {
        self.call(Method::POST, path, JSON, body.into()).await
    }

    /// Changes, with a table.
    pub async fn post_csv<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, ClientError> {
        self.call(Method::POST, path, "text/csv", body.into()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let exchange = Box::pin(async {
            let (response, driver) = self.send(method, path, media_type, body).await?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(|e| self.unreachable(&e))?;
            driver.abort();
            Ok((status, body.to_bytes()))
        });
        let (status, body) = self.in_time(exchange).await?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|e| ClientError::Answer(e.to_string()));
        }
        Err(refusal(status, &body))
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let done = tokio::time::timeout(TIMEOUT, work).await;
        done.map_err(|_| self.unreachable(&"it took too long to answer"))?
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: Bytes,
    ) -> Result<(Response<Incoming>, AbortHandle), ClientError> {
        let (host, port) = (self.origin.host(), self.origin.port());
        let name = ServerName::try_from(host.to_owned())
            .map_err(|e| ClientError::Configuration(e.to_string()))?;
        let stream = TcpStream::connect((host, port)).await.map_err(|e| self.unreachable(&e))?;
        let stream = self.tls.connect(name, stream).await.map_err(|e| self.unreachable(&e))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| self.unreachable(&e))?;
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.origin.as_str().trim_start_matches("https://"))
            .header(header::AUTHORIZATION, format!("Bearer {}", *self.key))
            .header(header::CONTENT_TYPE, media_type)
            .body(Full::new(body))
            .map_err(|e| ClientError::Configuration(e.to_string()))?;
        let response = sender.send_request(request).await.map_err(|e| self.unreachable(&e))?;
        Ok((response, driver.abort_handle()))
    }

    fn unreachable(&self, detail: &dyn std::fmt::Display) -> ClientError {
        ClientError::Unreachable {
            server: self.origin.as_str().to_owned(),
            detail: detail.to_string(),
        }
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> ClientError {
    let Ok(refusal) = serde_json::from_slice::<Refusal>(body) else {
        return ClientError::Answer(format!("HTTP status {status}"));
    };
    let detail = refusal.detail.unwrap_or_else(|| refusal.code.clone());
    ClientError::Refused { code: refusal.code, detail, request_id: refusal.request_id }
}
