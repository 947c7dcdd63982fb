//! One TLS 1.3 connection to the site's connector, spoken to in HTTP/1.1.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast_attestation::binding::{TLS_EXPORTER_LABEL, TLS_EXPORTER_LENGTH};
use holdfast_site::HttpsOrigin;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, IF_NONE_MATCH, RETRY_AFTER};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{AlertDescription, ClientConfig};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::certificate;
use crate::clock::Validity;

const CONNECT: Duration = Duration::from_secs(10);
/// A real TPM may need a second for its signature, and longer while it is busy.
const HANDSHAKE: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(60);
/// A policy of the device.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// Why the connector could not be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// No connection, or it broke.
    #[error("cannot reach {peer}: {reason}")]
    Unreachable {
        /// The address from the site configuration.
        peer: String,
        /// What failed.
        reason: String,
    },
    /// The server could not prove that it belongs to the site.
    #[error("{peer} is not trusted: {reason}")]
    NotTrusted {
        /// The address from the site configuration.
        peer: String,
        /// What the verification said.
        reason: String,
    },
    /// The server refused this device's certificate in the handshake.
    #[error("{peer} does not accept the device's certificate: {reason}")]
    CertificateRejected {
        /// The address from the site configuration.
        peer: String,
        /// The TLS alert.
        reason: String,
    },
    /// The server spoke, but not as it should.
    #[error("{peer} answers in an unexpected way: {reason}")]
    Protocol {
        /// The address from the site configuration.
        peer: String,
        /// What is wrong.
        reason: String,
    },
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Media type without parameters, in lower case.
    pub media_type: String,
    /// `Retry-After` in seconds; dates are not understood, since the device's clock may be wrong.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

/// A request's body.
#[derive(Debug)]
pub struct Body {
    /// Its media type.
    pub media_type: &'static str,
    /// How the content is packed (RFC 9110, section 8.4), if it is.
    pub encoding: Option<&'static str>,
    /// Its content.
    pub content: Vec<u8>,
}

impl Body {
    /// A body as it is.
    pub fn new(media_type: &'static str, content: Vec<u8>) -> Self {
        Self { media_type, encoding: None, content }
    }
}

/// A connection on which requests are sent one after the other.
pub struct Peer {
    address: String,
    host: String,
    sender: SendRequest<Full<Bytes>>,
    exporter: [u8; TLS_EXPORTER_LENGTH],
    certificate: Validity,
    driver: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Peer {
    /// Connects and completes the handshake.
    pub async fn connect(origin: &HttpsOrigin, tls: Arc<ClientConfig>) -> Result<Self, PeerError> {
        let address = origin.as_str().to_owned();
        let failed = |reason: String| PeerError::Unreachable { peer: address.clone(), reason };
        let name = ServerName::try_from(origin.host().to_owned())
            .map_err(|error| failed(error.to_string()))?;
        let stream =
            within(CONNECT, "connecting", TcpStream::connect((origin.host(), origin.port())))
                .await
                .map_err(|error| failed(error.to_string()))?;
        // Requests are small and wait for each other: never for a full segment.
        stream.set_nodelay(true).map_err(|error| failed(error.to_string()))?;
        let stream =
            within(HANDSHAKE, "the TLS handshake", TlsConnector::from(tls).connect(name, stream))
                .await
                .map_err(|error| classify(&address, &error))?;

        let session = stream.get_ref().1;
        let exporter = session
            .export_keying_material([0; TLS_EXPORTER_LENGTH], TLS_EXPORTER_LABEL, None)
            .map_err(|error| failed(error.to_string()))?;
        let certificate = session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .and_then(|leaf| certificate::validity(leaf).ok())
            .ok_or_else(|| failed("the server showed no certificate".to_owned()))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| classify(&address, &error))?;
        let driver = tokio::spawn(async move {
            // Its errors come back through the request that they break.
            let _ = connection.await;
        });
        let host = authority(origin);
        Ok(Self { address, host, sender, exporter, certificate, driver })
    }

    /// Keying material exported from this connection (RFC 8446, 7.5).
    pub const fn exporter(&self) -> &[u8; TLS_EXPORTER_LENGTH] {
        &self.exporter
    }

    /// When the server's certificate is valid.
    pub const fn certificate(&self) -> Validity {
        self.certificate
    }

    /// The address as in the site configuration.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Body>,
    ) -> Result<Answer, PeerError> {
        self.exchange(Request::builder().method(method).uri(path), path, body).await
    }

    /// Asks for what is at a path, unless it still has this entity tag (RFC 9110, section 13.1.2).
    pub async fn get_unless(&mut self, path: &str, tag: Option<&str>) -> Result<Answer, PeerError> {
        let mut request = Request::builder().method(Method::GET).uri(path);
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        self.exchange(request, path, None).await
    }

    async fn exchange(
        &mut self,
        request: http::request::Builder,
        path: &str,
        body: Option<Body>,
    ) -> Result<Answer, PeerError> {
        let address = self.address.clone();
        let mut request = request.header(HOST, &self.host);
        if let Some(body) = &body {
            request = request.header(CONTENT_TYPE, body.media_type);
            if let Some(encoding) = body.encoding {
                request = request.header(CONTENT_ENCODING, encoding);
            }
        }
        let content = body.map(|body| Bytes::from(body.content)).unwrap_or_default();
        let request =
            request.body(Full::new(content)).map_err(|error| self.protocol(&error.to_string()))?;

        let exchange = async {
            let answer =
                self.sender.send_request(request).await.map_err(|e| classify(&address, &e))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER)
                .collect()
                .await
                .map_err(|error| classify(&address, error.as_ref()))?
                .to_bytes();
            Ok(Answer {
                status: head.status,
                media_type: media_type(&head.headers),
                retry_after: retry_after(&head.headers),
                body,
            })
        };
        match tokio::time::timeout(ANSWER, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(PeerError::Unreachable {
                peer: self.address.clone(),
                reason: format!("no answer to {path} within {} s", ANSWER.as_secs()),
            }),
        }
    }

    /// An error about what the server sent.
    pub fn protocol(&self, reason: &str) -> PeerError {
        PeerError::Protocol { peer: self.address.clone(), reason: reason.to_owned() }
    }
}

fn authority(origin: &HttpsOrigin) -> String {
    origin.as_str().strip_prefix("https://").unwrap_or(origin.host()).to_owned()
}

async fn within<T>(
    limit: Duration,
    what: &str,
    act: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    tokio::time::timeout(limit, act).await.unwrap_or_else(|_| {
        let seconds = limit.as_secs();
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("{what} took over {seconds} s")))
    })
}

fn media_type(headers: &HeaderMap) -> String {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// Sorts an error by what TLS has to say about it, which may lie deep in its chain of causes.
fn classify(peer: &str, error: &(dyn StdError + 'static)) -> PeerError {
    let peer = peer.to_owned();
    match tls_cause(error) {
        Some(rustls::Error::InvalidCertificate(cause)) => {
            PeerError::NotTrusted { peer, reason: cause.to_string() }
        }
        Some(rustls::Error::AlertReceived(alert)) if is_about_certificate(*alert) => {
            PeerError::CertificateRejected { peer, reason: format!("TLS alert {alert:?}") }
        }
        Some(cause) => PeerError::Unreachable { peer, reason: cause.to_string() },
        None => PeerError::Unreachable { peer, reason: with_causes(error) },
    }
}

fn with_causes(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

fn tls_cause<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        // io::Error hides the error that it was made from behind that error's own source.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(tls) = inner.and_then(|inner| tls_cause(inner)) {
            return Some(tls);
        }
        next = error.source();
    }
    None
}

const fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_errors_are_found_wherever_they_hide() {
        let alert = rustls::Error::AlertReceived(AlertDescription::CertificateExpired);
        let twice = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, alert));
        let error = classify("https://a", &twice);
        assert!(matches!(error, PeerError::CertificateRejected { .. }), "{error}");

        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let error = classify("https://a", &io::Error::new(io::ErrorKind::InvalidData, untrusted));
        assert!(matches!(error, PeerError::NotTrusted { .. }), "{error}");

        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
        let error = classify("https://a", &refused);
        assert_eq!(error.to_string(), "cannot reach https://a: connection refused");
    }

    #[test]
    fn headers_are_read_leniently() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert(RETRY_AFTER, " 120 ".parse().unwrap());
        headers
            .insert(CONTENT_TYPE, "Application/PKCS7-MIME; smime-type=certs-only".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(120)));
        assert_eq!(media_type(&headers), "application/pkcs7-mime");
        headers.insert(RETRY_AFTER, "Fri, 31 Dec 1999 23:59:59 GMT".parse().unwrap());
        assert_eq!(retry_after(&headers), None);
    }

    #[test]
    fn authorities_keep_port_and_brackets() {
        for (url, expected) in [
            ("https://10.0.2.2:8443", "10.0.2.2:8443"),
            ("https://[::1]:8443", "[::1]:8443"),
            ("https://cloud.example", "cloud.example"),
        ] {
            assert_eq!(authority(&url.parse().unwrap()), expected);
        }
    }
}
