//! The reader's side: judges a report by its signature and the certificate that it names.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use der::{Decode as _, Encode as _};
use rsa::pkcs8::DecodePublicKey as _;
use rsa::traits::PublicKeyParts as _;
use rsa::{Pkcs1v15Sign, Pss, RsaPublicKey};
use sha2::Sha256;
use x509_cert::Certificate;

use crate::header::{Header, UNENCODED, signing_digest};
use crate::unsigned::bound_to;
use crate::{Algorithm, NotAReport, thumbprint};

/// Header and signature of RSA-4096 in base64url take 900 bytes.
const LONGEST: usize = 2048;
const SALT: usize = 32;
const KEY_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// Whose report it must be.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// The device's certificate, DER. The caller has checked that it counts.
    pub certificate_der: &'a [u8],
    /// The device's Edge ID.
    pub edge_id: &'a str,
}

/// Why a report is not believed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Not a detached JWS of this profile.
    #[error("not a detached signature of a report: {0}")]
    Form(String),
    /// It names another certificate.
    #[error("the signature names certificate {found}, this is {expected}")]
    OtherCertificate {
        /// `x5t#S256` in the header.
        found: String,
        /// That of the signer's certificate.
        expected: String,
    },
    /// The certificate holds no RSA key that can be used.
    #[error("the certificate's key cannot verify: {0}")]
    Key(String),
    /// The signature is not by this key over this report.
    #[error("the signature does not match the report and the certificate's key")]
    Mismatch,
    /// The payload is not a report of this device.
    #[error(transparent)]
    Payload(#[from] NotAReport),
}

struct Parts<'a> {
    protected: &'a str,
    header: Header,
    signature: Vec<u8>,
}

/// Verifies a report: named certificate, signature, then the Edge ID in the payload.
pub fn verify(jws: &str, payload: &[u8], signer: Signer<'_>) -> Result<(), VerifyError> {
    let Parts { protected, header, signature } = parse(jws)?;
    let expected = thumbprint(signer.certificate_der);
    if header.certificate_thumbprint != expected {
        let found = header.certificate_thumbprint;
        return Err(VerifyError::OtherCertificate { found, expected });
    }
    let key = key_of(signer.certificate_der)?;
    let digest = signing_digest(protected, payload);
    let verified = match header.alg {
        Algorithm::Ps256 => key.verify(Pss::new_with_salt::<Sha256>(SALT), &digest, &signature),
        Algorithm::Rs256 => key.verify(Pkcs1v15Sign::new::<Sha256>(), &digest, &signature),
    };
    verified.map_err(|_| VerifyError::Mismatch)?;
    Ok(bound_to(payload, signer.edge_id)?)
}

/// The `x5t#S256` that a signature names, for finding the certificate. Nothing is verified yet.
pub fn named_certificate(jws: &str) -> Result<String, VerifyError> {
    Ok(parse(jws)?.header.certificate_thumbprint)
}

fn parse(jws: &str) -> Result<Parts<'_>, VerifyError> {
    let form = |what: &dyn std::fmt::Display| VerifyError::Form(what.to_string());
    if jws.len() > LONGEST {
        return Err(form(&"it is too long"));
    }
    let (protected, signature) =
        jws.split_once("..").ok_or_else(|| form(&"it has no empty payload between two dots"))?;
    let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|error| form(&error));
    let header: Header =
        serde_json::from_slice(&decode(protected)?).map_err(|error| form(&error))?;
    if header.b64 || header.crit != [UNENCODED] {
        return Err(form(&"the header does not say that the payload is signed as it is"));
    }
    Ok(Parts { protected, header, signature: decode(signature)? })
}

fn key_of(certificate_der: &[u8]) -> Result<RsaPublicKey, VerifyError> {
    let unusable = |error: &dyn std::fmt::Display| VerifyError::Key(error.to_string());
    let certificate = Certificate::from_der(certificate_der).map_err(|error| unusable(&error))?;
    let spki = certificate.tbs_certificate.subject_public_key_info.to_der();
    let spki = spki.map_err(|error| unusable(&error))?;
    let key = RsaPublicKey::from_public_key_der(&spki).map_err(|error| unusable(&error))?;
    if KEY_BYTES.contains(&key.size()) {
        return Ok(key);
    }
    Err(unusable(&"it is not of 2048 to 4096 bits"))
}
