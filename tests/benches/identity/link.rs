//! A connection of a device: TLS 1.3, blocking, one request after the other.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, Stream};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};

/// A certificate chain with the key of its first.
#[derive(Clone)]
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS #8
    pub key: Vec<u8>,
}

/// How to connect.
#[derive(Clone)]
pub struct Dial {
    config: Arc<ClientConfig>,
    pub server: SocketAddr,
    pub source: Ipv4Addr,
}

impl Dial {
    /// Full handshakes only, or resumed ones after the first.
    pub fn new(
        server: SocketAddr,
        root: &CertificateDer<'static>,
        identity: Option<&Identity>,
        resumes: bool,
    ) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(root.clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(Identity { chain, key }) => {
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.clone()));
                builder.with_client_auth_cert(chain.clone(), key)?
            }
            None => builder.with_no_client_auth(),
        };
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(Self { config: Arc::new(config), server, source: Ipv4Addr::LOCALHOST })
    }

    /// From another address of the loopback network.
    #[must_use]
    pub fn from(&self, source: Ipv4Addr) -> Self {
        Self { source, ..self.clone() }
    }

    /// Connects, up to the client's end of the handshake.
    pub fn open(&self) -> Result<Link> {
        let name = ServerName::IpAddress(self.server.ip().into());
        let mut tls = ClientConnection::new(Arc::clone(&self.config), name)?;
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&socket, &SocketAddr::new(IpAddr::V4(self.source), 0))?;
        connect(&socket, &self.server).with_context(|| format!("connect to {}", self.server))?;
        let mut tcp = TcpStream::from(socket);
        tcp.set_nodelay(true)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        Ok(Link { tls, tcp })
    }
}

/// An open connection.
pub struct Link {
    tls: ClientConnection,
    tcp: TcpStream,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Link {
    /// The end of the handshake on the server's side: it sends tickets after it has verified the
    /// client.
    pub fn wait_for_ticket(&mut self) -> Result<()> {
        while self.tls.tls13_tickets_received() == 0 {
            ensure!(self.tls.read_tls(&mut self.tcp)? > 0, "the server closed the connection");
            self.tls.process_new_packets()?;
        }
        Ok(())
    }

    pub fn was_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    pub fn exporter(&self) -> Result<[u8; 32]> {
        let label = holdfast_attestation::binding::TLS_EXPORTER_LABEL;
        Ok(self.tls.export_keying_material([0; 32], label, None)?)
    }

    pub fn get(&mut self, path: &str) -> Result<Answer> {
        self.exchange(format!("GET {path} HTTP/1.1\r\nhost: connector\r\n\r\n").as_bytes())
    }

    pub fn post(&mut self, path: &str, media_type: &str, body: &[u8]) -> Result<Answer> {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nhost: connector\r\ncontent-type: {media_type}\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.exchange(&request)
    }

    fn exchange(&mut self, request: &[u8]) -> Result<Answer> {
        let mut stream = Stream::new(&mut self.tls, &mut self.tcp);
        stream.write_all(request)?;
        stream.flush()?;
        let mut received = Vec::new();
        let mut buffer = [0; 8192];
        loop {
            if let Some(answer) = parse(&received)? {
                return Ok(answer);
            }
            let length = stream.read(&mut buffer)?;
            ensure!(length > 0, "the server closed the connection");
            received.extend_from_slice(&buffer[..length]);
        }
    }
}

/// An answer with a length; nothing while a part is missing.
fn parse(received: &[u8]) -> Result<Option<Answer>> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&received[..end])?;
    let body = &received[end + 4..];
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status.context("an answer without a status")?.parse()?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let Some((_, length)) = length else { bail!("an answer without a length: {head}") };
    let length: usize = length.trim().parse()?;
    Ok((body.len() >= length).then(|| Answer { status, body: body[..length].to_vec() }))
}
