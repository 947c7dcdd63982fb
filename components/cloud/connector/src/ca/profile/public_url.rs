//! Where everybody finds revocation lists, CA certificates and the OCSP responder.

use std::fmt;
use std::str::FromStr;

use crate::ca::CaId;

const LIMIT: usize = 200;

/// The address of the public listener as others see it: `http://HOST[:PORT][/PATH]`.
///
/// Plain HTTP (RFC 5280, 8): over HTTPS a client would need the revocation state of one certificate
/// to learn that of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(String);

/// A text is not such an address.
#[derive(Debug, thiserror::Error)]
#[error("\"{0}\" is not of the form http://HOST[:PORT][/PATH]")]
pub struct PublicUrlError(String);

impl PublicUrl {
    /// The revocation list of a CA.
    pub fn crl(&self, ca: &CaId) -> String {
        format!("{}/crl/{ca}.crl", self.0)
    }

    /// The certificate of a CA.
    pub fn certificate(&self, ca: &CaId) -> String {
        format!("{}/ca/{ca}.crt", self.0)
    }

    /// The OCSP responder.
    pub fn ocsp(&self) -> String {
        format!("{}/ocsp", self.0)
    }
}

impl FromStr for PublicUrl {
    type Err = PublicUrlError;
    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let refused = || PublicUrlError(text.chars().take(LIMIT).collect());
        let rest = text.strip_prefix("http://").ok_or_else(refused)?;
        let host = rest.split('/').next().unwrap_or_default();
        let uri: http::Uri = text.parse().map_err(|_| refused())?;
        let good = text.len() <= LIMIT
            && uri.host().is_some_and(|host| !host.is_empty())
            && !host.contains('@')
            && uri.query().is_none()
            && !text.contains('#');
        good.then(|| Self(text.trim_end_matches('/').to_owned())).ok_or_else(refused)
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_addresses_are_taken() {
        let ca: CaId = "00ab00ab00ab00ab".parse().unwrap();
        for (text, crl) in [
            ("http://pki.example", "http://pki.example/crl/00ab00ab00ab00ab.crl"),
            ("http://pki.example/", "http://pki.example/crl/00ab00ab00ab00ab.crl"),
            ("http://10.0.2.2:8446", "http://10.0.2.2:8446/crl/00ab00ab00ab00ab.crl"),
            ("http://[::1]:8446/pki", "http://[::1]:8446/pki/crl/00ab00ab00ab00ab.crl"),
        ] {
            assert_eq!(text.parse::<PublicUrl>().unwrap().crl(&ca), crl);
        }
        for bad in [
            "",
            "pki.example",
            "https://pki.example",
            "ldap://pki.example",
            "http://",
            "http:///crl",
            "http://a b",
            "http://user@pki.example",
            "http://pki.example/?a=b",
            "http://pki.example/#a",
        ] {
            assert!(bad.parse::<PublicUrl>().is_err(), "{bad:?}");
        }
    }
}
