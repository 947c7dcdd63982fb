//! The server's checks of the key that signs a device's audit log.

use subtle::ConstantTimeEq;

use crate::audit_key::qualifying_data;
use crate::evidence::CertifyStatement;
use crate::hash::HashAlgorithm;
use crate::key::VerifyingKey;
use crate::tpm::{
    Attest, Attested, DecodeError, EccCurve, EccScheme, ObjectAttributes, Parameters, Public,
    Signature,
};

/// Why a key is not taken for an audit log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditKeyRefusal {
    /// A structure cannot be parsed.
    #[error("{part}: {error}")]
    Unreadable {
        /// Which.
        part: &'static str,
        /// What is wrong.
        error: DecodeError,
    },
    /// The statement is not the result of `TPM2_Certify`.
    #[error("the statement is not one that certifies a key")]
    NotCertify,
    /// The statement is about another object.
    #[error("the TPM certified another object than the key that was sent")]
    OtherKey,
    /// The statement was made for another log.
    #[error("the statement was not made for this log")]
    OtherLog,
    /// The statement is not signed by the AK.
    #[error("the statement is not signed by the AK of the device's enrolment: {0}")]
    Signature(crate::SignatureError),
    /// The key may leave its TPM, or does not sign.
    #[error("the key lacks {0}")]
    Attributes(ObjectAttributes),
    /// The key is of another kind.
    #[error("the key is not one that signs with ECDSA on P-256 and SHA-256")]
    Kind,
}

/// Checks that a TPM with this AK certified the key for the log of this origin, and that the key
/// cannot leave the TPM; gives its DER `SubjectPublicKeyInfo`.
pub fn check_audit_key(
    statement: &CertifyStatement,
    ak: &Public,
    origin: &str,
) -> Result<Vec<u8>, AuditKeyRefusal> {
    let unreadable = |part| move |error| AuditKeyRefusal::Unreadable { part, error };
    let key = Public::parse(&statement.public).map_err(unreadable("public"))?;
    let attest = Attest::parse(&statement.attest).map_err(unreadable("attest"))?;
    let signature = Signature::parse(&statement.signature).map_err(unreadable("signature"))?;
    let Attested::Certify { name, .. } = attest.attested else {
        return Err(AuditKeyRefusal::NotCertify);
    };
    VerifyingKey::from_tpm(ak)
        .and_then(|ak| ak.verify_tpm(&statement.attest, &signature))
        .map_err(AuditKeyRefusal::Signature)?;
    if key.name() != name {
        return Err(AuditKeyRefusal::OtherKey);
    }
    if !bool::from(attest.extra_data.ct_eq(&qualifying_data(origin))) {
        return Err(AuditKeyRefusal::OtherLog);
    }
    let required = ObjectAttributes::FIXED_TPM
        | ObjectAttributes::FIXED_PARENT
        | ObjectAttributes::SENSITIVE_DATA_ORIGIN
        | ObjectAttributes::SIGN;
    let missing = key.attributes.missing(required);
    if missing != ObjectAttributes::NONE {
        return Err(AuditKeyRefusal::Attributes(missing));
    }
    let Parameters::Ecc { scheme, curve: EccCurve::P256, .. } = &key.parameters else {
        return Err(AuditKeyRefusal::Kind);
    };
    if !matches!(scheme, EccScheme::Null | EccScheme::Ecdsa(HashAlgorithm::Sha256)) {
        return Err(AuditKeyRefusal::Kind);
    }
    key.to_spki_der().map_err(|_| AuditKeyRefusal::Kind)
}
