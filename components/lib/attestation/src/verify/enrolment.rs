//! Checks 4 to 9, when a device asks for a certificate.

use subtle::ConstantTimeEq;

use super::CheckFailure;
use super::boot::{BootExpectation, BootVerdict, check_boot_state};
use crate::binding::{BindingInput, qualifying_data};
use crate::challenge::Challenge;
use crate::csr::CertificateRequest;
use crate::evidence::{CertifyStatement, Evidence};
use crate::hash::sha256;
use crate::key::VerifyingKey;
use crate::refusal::Reason;
use crate::tpm::{
    Attest, Attested, EccScheme, ObjectAttributes, Parameters, Public, RsaScheme, Signature,
};

/// What the server holds when a certificate request comes in.
#[derive(Clone, Copy)]
pub struct EnrolmentContext<'a> {
    /// The challenge given out for this key or on this connection, if there is one.
    pub challenge: Option<&'a Challenge>,
    /// TLS exporter of the connection on which the request came.
    pub tls_exporter: &'a [u8],
    /// The registration's one-time code; empty for none.
    pub pairing_code: &'a [u8],
    /// Seconds since 1970.
    pub now: u64,
    /// What the device should have booted.
    pub boot: BootExpectation<'a>,
}

/// What the checks of an enrolment found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolmentVerdict {
    /// The request.
    pub csr: CertificateRequest,
    /// The evidence, to be kept with the device's record.
    pub evidence: Evidence,
    /// The certified key.
    pub device_key: Public,
    /// What booted.
    pub boot: BootVerdict,
}

const BITS_AT_LEAST: u16 = 2048;

/// Checks 4 to 9.
pub fn check_enrolment(
    csr_der: &[u8],
    context: &EnrolmentContext<'_>,
) -> Result<EnrolmentVerdict, CheckFailure> {
    let csr = check_csr_signature(csr_der)?;
    let challenge = check_nonce(&csr, context)?;
    let evidence = csr
        .evidence()
        .ok_or_else(|| invalid("the certificate request has no attestation attribute"))?
        .map_err(|error| invalid(error.to_string()))?;
    check_binding(&csr, &evidence, challenge, context)?;
    check_evidence_signatures(&evidence, &challenge.ak)?;
    let device_key = check_device_key(&csr, &evidence.certify)?;
    let boot = check_boot_state(&evidence.quote, &context.boot)?;
    Ok(EnrolmentVerdict { csr, evidence, device_key, boot })
}

fn invalid(detail: impl Into<String>) -> CheckFailure {
    CheckFailure::new(7, Reason::EvidenceInvalid, detail)
}

/// Check 4: the request can be parsed and is signed with its own key.
pub fn check_csr_signature(csr_der: &[u8]) -> Result<CertificateRequest, CheckFailure> {
    let csr = CertificateRequest::parse(csr_der)
        .map_err(|error| CheckFailure::new(4, Reason::MalformedRequest, error.to_string()))?;
    csr.verify_signature()
        .map_err(|error| CheckFailure::new(4, Reason::CsrSignature, error.to_string()))?;
    Ok(csr)
}

/// Check 5: the challenge is known, unused, of this connection and key, and not too old.
pub fn check_nonce<'a>(
    csr: &CertificateRequest,
    context: &EnrolmentContext<'a>,
) -> Result<&'a Challenge, CheckFailure> {
    let refuse = |reason, detail: &str| Err(CheckFailure::new(5, reason, detail));
    let Some(challenge) = context.challenge else {
        return refuse(Reason::NonceUnknown, "no nonce was given out; ask for one first");
    };
    if challenge.device_key_spki_sha256 != csr.spki_sha256() {
        return refuse(Reason::NonceUnknown, "the nonce was given out for another key");
    }
    if challenge.used {
        return refuse(Reason::NonceUsed, "the nonce was used before");
    }
    if challenge.tls_exporter != context.tls_exporter {
        return refuse(
            Reason::NonceOtherConnection,
            "the nonce was given out on another connection; something between device and server \
             ends TLS, or the device connected anew",
        );
    }
    if context.now >= challenge.expires_at {
        return refuse(Reason::NonceExpired, "the nonce is too old");
    }
    Ok(challenge)
}

/// Check 6: the binding is what both statements carry.
pub fn check_binding(
    csr: &CertificateRequest,
    evidence: &Evidence,
    challenge: &Challenge,
    context: &EnrolmentContext<'_>,
) -> Result<(), CheckFailure> {
    let expected = qualifying_data(&BindingInput {
        secret: challenge.secret.as_slice(),
        nonce: &challenge.nonce,
        spki_sha256: &csr.spki_sha256(),
        edge_id: &challenge.edge_id,
        tls_exporter: context.tls_exporter,
        pairing_code: context.pairing_code,
    });
    for (statement, attest) in
        [("certify", &evidence.certify.attest), ("quote", &evidence.quote.attest)]
    {
        let attest = Attest::parse(attest)
            .map_err(|error| invalid(format!("{statement} statement: {error}")))?;
        if !bool::from(attest.extra_data.ct_eq(&expected)) {
            return Err(CheckFailure::new(
                6,
                Reason::BindingMismatch,
                format!(
                    "the {statement} statement was not made for this nonce, key, Edge ID, \
                     connection, pairing code and credential"
                ),
            ));
        }
    }
    Ok(())
}

/// Check 7: both statements are of their kind and signed by the AK.
pub fn check_evidence_signatures(evidence: &Evidence, ak: &Public) -> Result<(), CheckFailure> {
    let certify = Attest::parse(&evidence.certify.attest)
        .map_err(|error| invalid(format!("certify statement: {error}")))?;
    let quote = Attest::parse(&evidence.quote.attest)
        .map_err(|error| invalid(format!("quote statement: {error}")))?;
    if !matches!(certify.attested, Attested::Certify { .. }) {
        return Err(invalid("the certify statement is of another type"));
    }
    if !matches!(quote.attested, Attested::Quote { .. }) {
        return Err(invalid("the quote statement is of another type"));
    }
    let key = VerifyingKey::from_tpm(ak).map_err(|error| invalid(format!("AK: {error}")))?;
    for (statement, attest, signature) in [
        ("certify", &evidence.certify.attest, &evidence.certify.signature),
        ("quote", &evidence.quote.attest, &evidence.quote.signature),
    ] {
        let signature = Signature::parse(signature)
            .map_err(|error| invalid(format!("signature of the {statement} statement: {error}")))?;
        key.verify_tpm(attest, &signature).map_err(|error| {
            CheckFailure::new(
                7,
                Reason::EvidenceSignature,
                format!("{statement} statement, signature of the AK: {error}"),
            )
        })?;
    }
    Ok(())
}

/// Check 8: the certified object is the key of the request, made in the TPM and fixed to it.
pub fn check_device_key(
    csr: &CertificateRequest,
    statement: &CertifyStatement,
) -> Result<Public, CheckFailure> {
    let refuse = |reason, detail: String| Err(CheckFailure::new(8, reason, detail));
    let attest = Attest::parse(&statement.attest).map_err(|error| invalid(error.to_string()))?;
    let Attested::Certify { name, .. } = attest.attested else {
        return Err(invalid("the certify statement is of another type"));
    };
    let key = Public::parse(&statement.public)
        .map_err(|error| invalid(format!("public area of the device key: {error}")))?;
    if key.name() != name {
        return refuse(
            Reason::DeviceKeyName,
            format!("the TPM certified the object {name}, sent was that of {}", key.name()),
        );
    }
    let spki = key.to_spki_der().map_err(|error| {
        CheckFailure::new(8, Reason::DeviceKeyMismatch, format!("the certified object: {error}"))
    })?;
    if spki != csr.spki() {
        return refuse(
            Reason::DeviceKeyMismatch,
            format!(
                "the TPM certified the key with the hash {}, the certificate is asked for {}",
                hex::encode(sha256(&[&spki])),
                hex::encode(csr.spki_sha256())
            ),
        );
    }
    check_device_key_attributes(&key)?;
    Ok(key)
}

fn check_device_key_attributes(key: &Public) -> Result<(), CheckFailure> {
    let refuse = |detail: String| Err(CheckFailure::new(8, Reason::DeviceKeyAttributes, detail));
    let required = ObjectAttributes::FIXED_TPM
        | ObjectAttributes::FIXED_PARENT
        | ObjectAttributes::SENSITIVE_DATA_ORIGIN
        | ObjectAttributes::SIGN;
    let missing = key.attributes.missing(required);
    if missing != ObjectAttributes::NONE {
        return refuse(format!("the device key lacks {missing}; it has {}", key.attributes));
    }
    if key.attributes.intersects(ObjectAttributes::RESTRICTED | ObjectAttributes::X509_SIGN) {
        return refuse(format!("the device key is no plain signing key: {}", key.attributes));
    }
    let decrypts = key.attributes.contains(ObjectAttributes::DECRYPT);
    let suitable = match key.parameters {
        // A key that decrypts is one whose PSS encoding is done in software.
        Parameters::Rsa { scheme, key_bits, .. } => {
            key_bits >= BITS_AT_LEAST && (!decrypts || scheme == RsaScheme::Null)
        }
        Parameters::Ecc { scheme, .. } => {
            !decrypts && matches!(scheme, EccScheme::Null | EccScheme::Ecdsa(_))
        }
        Parameters::KeyedHash { .. } => false,
    };
    if suitable {
        Ok(())
    } else {
        refuse("the device key's size or scheme is not one that is accepted".to_owned())
    }
}
