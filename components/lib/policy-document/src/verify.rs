//! The reader's side: judges a document by its signer, its audience and its version.

use holdfast_jws::{Envelope, EnvelopeError};
use rustls_pki_types::CertificateDer;

use crate::chain::Signed;
use crate::form::{self, FormError};
use crate::{Kind, ReadPolicy, TYPE};

/// What a document must be.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    /// What it is about.
    pub kind: Kind,
    /// Id that the cloud gave this device.
    pub device_id: &'a str,
    /// Name of this device.
    pub edge_id: &'a str,
    /// Trust anchors of the site, DER.
    pub roots: &'a [Vec<u8>],
    /// Seconds since 1970, as far as this device knows.
    pub now: u64,
    /// The document that was taken last. Of those for the same device id only a newer one is
    /// taken, or this one again.
    pub floor: Option<&'a ReadPolicy>,
}

/// Why a document is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It cannot be read.
    #[error(transparent)]
    Form(#[from] FormError),
    /// The signer is not of this site.
    #[error("x5c: the signer's certificate is not believed: {0}")]
    Chain(String),
    /// The signer signs something else.
    #[error("x5c: the signer's certificate is not for policies alone")]
    Purpose,
    /// Not by the signer's key over this text.
    #[error("the signature is not by the signer's key over this document")]
    Signature,
    /// About something else.
    #[error("kind is {found}, not {expected}")]
    Kind {
        /// In the document.
        found: Kind,
        /// What it should be.
        expected: Kind,
    },
    /// For another device.
    #[error("{member} is {found:?}, this device has {expected:?}")]
    Audience {
        /// `device_id` or `edge_id`.
        member: &'static str,
        /// In the document.
        found: String,
        /// The device's own.
        expected: String,
    },
    /// Its end has come.
    #[error("not_after is {not_after}, and it is {now}")]
    Expired {
        /// In the document.
        not_after: u64,
        /// The device's time.
        now: u64,
    },
    /// Older than what was taken.
    #[error("version is {found}, and {taken} was taken before")]
    Version {
        /// In the document.
        found: u64,
        /// Taken before.
        taken: u64,
    },
    /// Two documents have one version.
    #[error("version is {0}, as that of another document that was taken before")]
    Conflict(u64),
}

/// Verifies a document: form, signer, signature, then kind, audience, end and version.
pub fn verify(document: &[u8], expected: &Expectation<'_>) -> Result<ReadPolicy, VerifyError> {
    let envelope = form::open(document)?;
    signed(&envelope).map_err(FormError::from)?.check(expected.roots, expected.now)?;
    let read = form::payload(&envelope)?;
    meant(&read, expected)?;
    newer(&read, expected.floor)?;
    Ok(read)
}

fn signed<'a>(envelope: &'a Envelope<'_>) -> Result<Signed<'a>, EnvelopeError> {
    envelope.header.check(TYPE)?;
    let chain = envelope.header.chain()?.into_iter().map(CertificateDer::from).collect();
    Ok(Signed { chain, message: envelope.signed, signature: &envelope.signature })
}

fn meant(read: &ReadPolicy, expected: &Expectation<'_>) -> Result<(), VerifyError> {
    let policy = &read.policy;
    if policy.kind != expected.kind {
        return Err(VerifyError::Kind { found: policy.kind, expected: expected.kind });
    }
    for (member, found, expected) in [
        ("device_id", &policy.device_id, expected.device_id),
        ("edge_id", &policy.edge_id, expected.edge_id),
    ] {
        if found != expected {
            let (found, expected) = (found.clone(), expected.to_owned());
            return Err(VerifyError::Audience { member, found, expected });
        }
    }
    match policy.not_after {
        Some(not_after) if expected.now > not_after => {
            Err(VerifyError::Expired { not_after, now: expected.now })
        }
        _ => Ok(()),
    }
}

fn newer(read: &ReadPolicy, floor: Option<&ReadPolicy>) -> Result<(), VerifyError> {
    // A device that was registered anew begins anew.
    let floor = floor.filter(|floor| floor.policy.device_id == read.policy.device_id);
    let Some(floor) = floor else { return Ok(()) };
    let (found, taken) = (read.policy.version, floor.policy.version);
    if found < taken {
        return Err(VerifyError::Version { found, taken });
    }
    if found == taken && read.payload_sha256 != floor.payload_sha256 {
        return Err(VerifyError::Conflict(found));
    }
    Ok(())
}
