//! The site configuration.

use core::fmt;
use core::ops::Range;
use core::str::FromStr;

use toml::Spanned;

use crate::document::{
    Document, Output, OutputConnector, OutputEdgeId, OutputRecovery, OutputTrust,
};
use crate::edge_id_source::EdgeIdSource;
use crate::error::SiteError;
use crate::origin::HttpsOrigin;
use crate::pem::{Anchor, RecoveryKey};
use crate::signature::verify_signature;

/// Longest text that is read.
pub const MAX_LENGTH: usize = 64 * 1024;
const FORMAT: i64 = 1;
const MAX_ANCHORS: usize = 16;
const MAX_TENANT: usize = 64;

/// A valid site configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The tenant to whom the device belongs.
    pub tenant: Tenant,
    /// Where the device reads its name.
    pub edge_id_source: EdgeIdSource,
    /// Where the connector listens.
    pub connector: Connector,
    /// The CAs that the device trusts; at least one.
    anchors: Vec<Anchor>,
    /// The operator's key for the recovery of a disk.
    pub recovery_key: Option<RecoveryKey>,
}

/// Where the connector listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connector {
    /// Enrolment over Secure Transport.
    pub enrol_url: HttpsOrigin,
    /// The API for enrolled devices, mutual TLS.
    pub device_url: HttpsOrigin,
}

/// The name of a tenant: 1 to 64 characters of `a-z 0-9 -`, neither first nor last a hyphen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tenant(String);

impl Tenant {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tenant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let valid = (1..=MAX_TENANT).contains(&text.len())
            && text.bytes().all(allowed)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "{text:?} is no tenant name; expected 1 to {MAX_TENANT} characters of a-z, 0-9 and \
                 inner hyphens"
            ))
        }
    }
}

impl Site {
    /// A site configuration with these parts; the connector's generator comes this way.
    ///
    /// Fails on an empty or overlong list of anchors.
    pub fn new(
        tenant: Tenant,
        edge_id_source: EdgeIdSource,
        connector: Connector,
        anchors: Vec<Anchor>,
        recovery_key: Option<RecoveryKey>,
    ) -> Result<Self, String> {
        check_anchor_count(anchors.len())?;
        Ok(Self { tenant, edge_id_source, connector, anchors, recovery_key })
    }

    /// The CAs that the device trusts; at least one.
    pub fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    /// Parses and checks a text whose signature somebody else has checked.
    pub fn parse(site_toml: &[u8]) -> Result<Self, SiteError> {
        if site_toml.len() > MAX_LENGTH {
            return Err(SiteError::TooLong(site_toml.len()));
        }
        let text = core::str::from_utf8(site_toml).map_err(|error| SiteError::NotUtf8 {
            line: line_at(site_toml, error.valid_up_to()),
        })?;
        let lines = Lines(site_toml);
        let document: Document = toml::from_str(text).map_err(|error| lines.syntax(&error))?;
        if *document.format.get_ref() != FORMAT {
            let found = document.format.get_ref();
            let problem =
                format!("this program reads format {FORMAT}, the file has format {found}");
            return Err(lines.value(&document.format.span(), "format", problem));
        }
        let anchors = &document.trust.anchors;
        check_anchor_count(anchors.get_ref().len())
            .map_err(|problem| lines.value(&anchors.span(), "trust.anchors", problem))?;
        let anchors = anchors.get_ref().iter().map(|anchor| lines.parse(anchor, "trust.anchors"));
        Ok(Self {
            tenant: lines.parse(&document.tenant, "tenant")?,
            edge_id_source: lines.parse(&document.edge_id.source, "edge_id.source")?,
            connector: Connector {
                enrol_url: lines.parse(&document.connector.enrol_url, "connector.enrol_url")?,
                device_url: lines.parse(&document.connector.device_url, "connector.device_url")?,
            },
            anchors: anchors.collect::<Result<_, _>>()?,
            recovery_key: document
                .recovery
                .map(|recovery| lines.parse(&recovery.public_key, "recovery.public_key"))
                .transpose()?,
        })
    }

    /// Checks the signature, then parses: nothing of an unsigned text is interpreted.
    pub fn verify_and_parse(
        site_toml: &[u8],
        signature_der: &[u8],
        spki_pem: &str,
    ) -> Result<Self, SiteError> {
        if site_toml.len() > MAX_LENGTH {
            return Err(SiteError::TooLong(site_toml.len()));
        }
        verify_signature(site_toml, signature_der, spki_pem)?;
        Self::parse(site_toml)
    }

    /// The text of this configuration; parsing it gives an equal value.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(&Output {
            format: FORMAT,
            tenant: self.tenant.as_str(),
            edge_id: OutputEdgeId { source: self.edge_id_source.to_string() },
            connector: OutputConnector {
                enrol_url: self.connector.enrol_url.as_str(),
                device_url: self.connector.device_url.as_str(),
            },
            trust: OutputTrust { anchors: self.anchors.iter().map(Anchor::pem).collect() },
            recovery: self
                .recovery_key
                .as_ref()
                .map(|key| OutputRecovery { public_key: key.pem() }),
        })
    }
}

fn check_anchor_count(count: usize) -> Result<(), String> {
    if (1..=MAX_ANCHORS).contains(&count) {
        Ok(())
    } else {
        Err(format!("{count} CA certificates; expected 1 to {MAX_ANCHORS}"))
    }
}

/// Turns places in the text into line numbers.
struct Lines<'a>(&'a [u8]);

impl Lines<'_> {
    fn syntax(&self, error: &toml::de::Error) -> SiteError {
        let start = error.span().map_or(0, |span| span.start);
        SiteError::Syntax {
            line: line_at(self.0, start),
            message: error.message().replace('\n', "; "),
        }
    }

    fn value(&self, span: &Range<usize>, key: &'static str, problem: String) -> SiteError {
        SiteError::Value { line: line_at(self.0, span.start), key, problem }
    }

    fn parse<T: FromStr<Err = String>>(
        &self,
        text: &Spanned<String>,
        key: &'static str,
    ) -> Result<T, SiteError> {
        text.get_ref().parse().map_err(|problem| self.value(&text.span(), key, problem))
    }
}

/// The line, from 1, of the byte at `offset`.
fn line_at(text: &[u8], offset: usize) -> usize {
    1 + text.iter().take(offset).filter(|byte| **byte == b'\n').count()
}
