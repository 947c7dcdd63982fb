//! The server's own TLS certificate: issued by the issuing CA, so that devices need no other
//! anchor than the root.

use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use rcgen::string::Ia5String;
use rcgen::{KeyPair, SanType};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Authority, CaError, Serial, key, profile};
use crate::files::{self, Readers};

/// Rest of life at which a new one is made.
const RENEW_BEFORE: Duration = Duration::days(60);

/// One name or address under which the server is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ServerName {
    Address(IpAddr),
    Dns(String),
}

/// The names and addresses under which devices and operators reach the server. Loopback is always
/// among them, for the command line on the same machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerNames(Vec<ServerName>);

/// A text is neither a DNS name nor an address.
#[derive(Debug, thiserror::Error)]
#[error("\"{0}\" is neither a DNS name nor an IP address")]
pub struct ServerNameError(String);

impl FromStr for ServerName {
    type Err = ServerNameError;
    fn from_str(text: &str) -> Result<Self, ServerNameError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address));
        }
        rustls_pki_types::DnsName::try_from(text)
            .map(|name| Self::Dns(name.as_ref().to_ascii_lowercase()))
            .map_err(|_| ServerNameError(text.to_owned()))
    }
}

impl ServerNames {
    /// Checks each name.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, ServerNameError> {
        let mut all = ["127.0.0.1", "::1", "localhost"]
            .into_iter()
            .chain(names)
            .map(str::parse)
            .collect::<Result<Vec<ServerName>, _>>()?;
        all.sort();
        all.dedup();
        Ok(Self(all))
    }

    pub(super) fn to_subject_alt_names(&self) -> Result<Vec<SanType>, rcgen::Error> {
        self.0
            .iter()
            .map(|name| match name {
                ServerName::Address(address) => Ok(SanType::IpAddress(*address)),
                ServerName::Dns(name) => Ia5String::try_from(name.as_str()).map(SanType::DnsName),
            })
            .collect()
    }

    fn from_certificate(certificate: &X509Certificate<'_>) -> Self {
        let mut all = Vec::new();
        if let Ok(Some(extension)) = certificate.subject_alternative_name() {
            for name in &extension.value.general_names {
                match name {
                    GeneralName::DNSName(name) => all.push(ServerName::Dns((*name).to_owned())),
                    GeneralName::IPAddress(bytes) => all.extend(address(bytes)),
                    _ => {}
                }
            }
        }
        all.sort();
        Self(all)
    }
}

fn address(bytes: &[u8]) -> Option<ServerName> {
    let address = <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
    address.ok().map(ServerName::Address)
}

/// The certificate with its key, ready for TLS.
pub struct ServerCertificate {
    /// Leaf first, then its chain.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivatePkcs8KeyDer<'static>,
    /// End of validity.
    pub not_after: OffsetDateTime,
}

impl ServerCertificate {
    /// Takes the certificate in `folder` while it is good for `names` and not near its end; else
    /// makes a new key and certificate there.
    pub fn open_or_issue(
        folder: &Path,
        authority: &Authority,
        names: &ServerNames,
        now: OffsetDateTime,
    ) -> Result<Self, CaError> {
        match Self::open(folder, authority, names, now)? {
            Some(certificate) => Ok(certificate),
            None => Self::issue(folder, authority, names, now),
        }
    }

    fn open(
        folder: &Path,
        authority: &Authority,
        names: &ServerNames,
        now: OffsetDateTime,
    ) -> Result<Option<Self>, CaError> {
        let (certificate, key) = (folder.join("server.crt"), folder.join("server.key"));
        if !certificate.exists() || !key.exists() {
            return Ok(None);
        }
        let pem = files::read(&certificate)?;
        let Ok((_, block)) = x509_parser::pem::parse_x509_pem(&pem) else { return Ok(None) };
        let Ok((_, parsed)) = X509Certificate::from_der(&block.contents) else { return Ok(None) };
        let key = key::read(&key, None)?;
        let not_after = parsed.validity().not_after.to_datetime();
        let good = not_after - RENEW_BEFORE > now
            && ServerNames::from_certificate(&parsed) == *names
            && authority.signed(&parsed)
            && parsed.public_key().subject_public_key.data.as_ref() == key.public_key_raw();
        Ok(good.then(|| {
            Self::from_parts(
                authority,
                CertificateDer::from(block.contents.clone()),
                &key,
                not_after,
            )
        }))
    }

    fn issue(
        folder: &Path,
        authority: &Authority,
        names: &ServerNames,
        now: OffsetDateTime,
    ) -> Result<Self, CaError> {
        files::create_private_folder(folder)?;
        let key = key::generate()?;
        let failed = |source| CaError::issue("the server", source);
        let params = profile::server(names, &Serial::random()?, now, authority.issuing_ends())
            .map_err(failed)?;
        let certificate = authority.sign(&params, &key).map_err(failed)?;
        // A crash between the two leaves a pair that does not match; `open` then refuses it.
        key::write(&folder.join("server.key"), &key, None)?;
        files::write(&folder.join("server.crt"), certificate.pem().as_bytes(), Readers::Everybody)?;
        Ok(Self::from_parts(authority, certificate.der().clone(), &key, params.not_after))
    }

    fn from_parts(
        authority: &Authority,
        leaf: CertificateDer<'static>,
        key: &KeyPair,
        not_after: OffsetDateTime,
    ) -> Self {
        let mut chain = vec![leaf];
        chain.extend(authority.chain());
        Self { chain, key: PrivatePkcs8KeyDer::from(key.serialize_der()), not_after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::Passphrases;
    use crate::ca::profile::server::LIFE;
    use crate::clock::from_unix;

    #[test]
    fn a_certificate_is_kept_until_names_end_or_authority_change() {
        let folder = tempfile::tempdir().unwrap();
        let now = from_unix(1_800_000_000);
        let make = |name: &str| {
            let ca = folder.path().join(name);
            Authority::open_or_create(&ca, &Passphrases::default(), now).unwrap().0
        };
        let (authority, other) = (make("ca"), make("other"));
        let tls = folder.path().join("tls");
        let names = |names: &[&str]| ServerNames::new(names.iter().copied()).unwrap();
        let ours = names(&["connector.example.org", "10.0.2.2"]);
        let leaf = |authority: &Authority, names: &ServerNames, now| {
            let certificate = ServerCertificate::open_or_issue(&tls, authority, names, now);
            certificate.unwrap().chain.swap_remove(0)
        };
        let first = leaf(&authority, &ours, now);
        assert_eq!(first, leaf(&authority, &ours, now));
        let reordered = names(&["10.0.2.2", "CONNECTOR.example.org", "localhost"]);
        assert_eq!(first, leaf(&authority, &reordered, now));
        assert_eq!(first, leaf(&authority, &ours, now + LIFE - RENEW_BEFORE - Duration::SECOND));

        let renewed = leaf(&authority, &ours, now + LIFE - RENEW_BEFORE);
        assert_ne!(first, renewed);
        let renamed = leaf(&authority, &names(&["10.0.2.3"]), now);
        assert_ne!(renewed, renamed);
        let moved = leaf(&other, &names(&["10.0.2.3"]), now);
        assert_ne!(renamed, moved);
    }

    #[test]
    fn a_key_that_does_not_fit_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let now = from_unix(1_800_000_000);
        let ca = folder.path().join("ca");
        let (authority, _) = Authority::open_or_create(&ca, &Passphrases::default(), now).unwrap();
        let tls = folder.path().join("tls");
        let names = ServerNames::new([]).unwrap();
        let first = ServerCertificate::open_or_issue(&tls, &authority, &names, now).unwrap();
        key::write(&tls.join("server.key"), &key::generate().unwrap(), None).unwrap();
        let second = ServerCertificate::open_or_issue(&tls, &authority, &names, now).unwrap();
        assert_ne!(first.chain[0], second.chain[0]);
    }

    #[test]
    fn names_are_dns_names_or_addresses() {
        for good in ["a.example", "10.0.2.2", "2001:db8::1"] {
            ServerNames::new([good]).unwrap();
        }
        for bad in ["", "https://a.example", "a b", "a.example:8443", "*.example"] {
            assert!(ServerNames::new([bad]).is_err(), "{bad:?}");
        }
    }
}
