//! Checks 1 to 3, when a device asks for a nonce.

use super::CheckFailure;
use super::chain::find_anchor;
use crate::ek::{EkCertificate, ek_sha256};
use crate::key::VerifyingKey;
use crate::nonce::RequestInfo;
use crate::refusal::Reason;
use crate::tpm::{EccScheme, Name, ObjectAttributes, Parameters, Public, RsaScheme};

/// How a registration knows its TPM.
#[derive(Debug, Clone, Copy)]
pub enum EkTrust<'a> {
    /// By SHA-256 of the EK's `SubjectPublicKeyInfo`.
    Sha256([u8; 32]),
    /// By a manufacturer: DER certificates of the CAs that are allowed.
    Ca(&'a [Vec<u8>]),
    /// Not at all: a pairing code takes its place, the TPM stays unproven.
    PairingCode,
}

/// What proved that the EK is one that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EkProof {
    /// It was registered.
    RegisteredHash,
    /// Its certificate chains to the CA with this certificate (DER).
    CertifiedBy(Vec<u8>),
    /// Nothing.
    Unproven,
}

/// What the checks of a nonce request found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NonceVerdict {
    /// The EK.
    pub ek: Public,
    /// SHA-256 of its `SubjectPublicKeyInfo`.
    pub ek_sha256: [u8; 32],
    /// What proved it.
    pub ek_proof: EkProof,
    /// The AK.
    pub ak: Public,
    /// Name of the AK.
    pub ak_name: Name,
    /// Why the EK certificate was left aside, if it could not be read or only leniently.
    pub certificate_problem: Option<String>,
}

const BITS_AT_LEAST: u16 = 2048;

/// Checks 1 to 3. `now` in seconds since 1970.
pub fn check_nonce_request(
    request: &RequestInfo,
    trust: &EkTrust<'_>,
    now: u64,
) -> Result<NonceVerdict, CheckFailure> {
    let ek = Public::parse(&request.ek_public).map_err(|error| {
        CheckFailure::new(1, Reason::MalformedRequest, format!("EK public area: {error}"))
    })?;
    let spki = ek.to_spki_der().map_err(|error| {
        CheckFailure::new(1, Reason::MalformedRequest, format!("EK public area: {error}"))
    })?;
    let (certificates, certificate_problem) = read_certificates(&request.ek_certificates);
    check_ek_certificate_key(&spki, certificates.first())?;
    let ek_sha256 = ek_sha256(&spki);
    let ek_proof =
        check_ek_trust(&ek_sha256, &certificates, trust, now).map_err(|mut failure| {
            if let Some(problem) = &certificate_problem {
                failure.detail = format!("{}; {problem}", failure.detail);
            }
            failure
        })?;
    let ak = Public::parse(&request.ak_public).map_err(|error| {
        CheckFailure::new(3, Reason::MalformedRequest, format!("AK public area: {error}"))
    })?;
    check_ak_attributes(&ak)?;
    let ak_name = ak.name();
    Ok(NonceVerdict { ek, ek_sha256, ek_proof, ak, ak_name, certificate_problem })
}

/// The certificates that can be read. If the first cannot, the device has no EK certificate.
fn read_certificates(certificates: &[Vec<u8>]) -> (Vec<EkCertificate>, Option<String>) {
    let Some((first, others)) = certificates.split_first() else { return (Vec::new(), None) };
    let first = match EkCertificate::parse(first) {
        Ok(first) => first,
        Err(error) => {
            return (Vec::new(), Some(format!("the EK certificate is left aside: {error}")));
        }
    };
    let problem = (!first.is_strict()).then(|| "the EK certificate is malformed".to_owned());
    let others = others.iter().filter_map(|other| EkCertificate::parse(other).ok());
    (core::iter::once(first).chain(others).collect(), problem)
}

/// Check 1: the EK's public area is the key in its certificate, if it has one.
pub fn check_ek_certificate_key(
    ek_spki_der: &[u8],
    certificate: Option<&EkCertificate>,
) -> Result<(), CheckFailure> {
    match certificate {
        Some(certificate) if certificate.spki() != ek_spki_der => Err(CheckFailure::new(
            1,
            Reason::EkCertificateMismatch,
            format!(
                "the EK has the hash {}, the key in its certificate {}; the TPM holds a \
                 certificate of another chip or another EK",
                hex::encode(ek_sha256(ek_spki_der)),
                hex::encode(ek_sha256(certificate.spki())),
            ),
        )),
        _ => Ok(()),
    }
}

/// Check 2: the EK is the registered one, or a CA that is allowed vouches for it.
///
/// `certificates`: that of the EK first, then intermediates.
pub fn check_ek_trust(
    ek_sha256: &[u8; 32],
    certificates: &[EkCertificate],
    trust: &EkTrust<'_>,
    now: u64,
) -> Result<EkProof, CheckFailure> {
    let refuse = |detail: String| Err(CheckFailure::new(2, Reason::EkNotTrusted, detail));
    match trust {
        EkTrust::Sha256(registered) if registered == ek_sha256 => Ok(EkProof::RegisteredHash),
        EkTrust::Sha256(registered) => refuse(format!(
            "the EK has the hash {}, registered is {}",
            hex::encode(ek_sha256),
            hex::encode(registered)
        )),
        EkTrust::Ca(anchors) => {
            let Some((leaf, intermediates)) = certificates.split_first() else {
                return refuse("the device sent no EK certificate that can be read".to_owned());
            };
            let readable: Vec<_> =
                anchors.iter().filter_map(|anchor| EkCertificate::parse(anchor).ok()).collect();
            match find_anchor(leaf, intermediates, &readable, now) {
                Ok(anchor) => Ok(EkProof::CertifiedBy(anchor.der().to_vec())),
                Err(problem) if readable.len() < anchors.len() => refuse(format!(
                    "{problem}; {} of the {} allowed CA certificates cannot be read",
                    anchors.len() - readable.len(),
                    anchors.len()
                )),
                Err(problem) => refuse(problem),
            }
        }
        EkTrust::PairingCode => Ok(EkProof::Unproven),
    }
}

/// Check 2 with certificates as they were sent: that of the EK first, then intermediates.
pub fn check_ek_certificates(
    ek_sha256: &[u8; 32],
    certificates: &[Vec<u8>],
    trust: &EkTrust<'_>,
    now: u64,
) -> Result<EkProof, CheckFailure> {
    let (certificates, problem) = read_certificates(certificates);
    check_ek_trust(ek_sha256, &certificates, trust, now).map_err(|mut failure| {
        if let Some(problem) = problem {
            failure.detail = format!("{}; {problem}", failure.detail);
        }
        failure
    })
}

/// Check 3: the AK signs only what its TPM made, and cannot leave it.
pub fn check_ak_attributes(ak: &Public) -> Result<(), CheckFailure> {
    let refuse = |detail: String| Err(CheckFailure::new(3, Reason::AkAttributes, detail));
    let required = ObjectAttributes::RESTRICTED
        | ObjectAttributes::SIGN
        | ObjectAttributes::FIXED_TPM
        | ObjectAttributes::FIXED_PARENT
        | ObjectAttributes::SENSITIVE_DATA_ORIGIN;
    let missing = ak.attributes.missing(required);
    if missing != ObjectAttributes::NONE {
        return refuse(format!("the AK lacks {missing}; it has {}", ak.attributes));
    }
    if ak.attributes.intersects(ObjectAttributes::DECRYPT | ObjectAttributes::X509_SIGN) {
        return refuse(format!("the AK may do more than attest: {}", ak.attributes));
    }
    let suitable = match ak.parameters {
        Parameters::Rsa {
            scheme: RsaScheme::RsaSsa(_) | RsaScheme::RsaPss(_), key_bits, ..
        } => key_bits >= BITS_AT_LEAST,
        Parameters::Ecc { scheme: EccScheme::Ecdsa(_), .. } => true,
        _ => false,
    };
    if !suitable {
        return refuse("the AK is not bound to a signature scheme, or is too short".to_owned());
    }
    match VerifyingKey::from_tpm(ak) {
        Ok(_) => Ok(()),
        Err(error) => refuse(format!("the AK: {error}")),
    }
}
