//! Revocation lists (RFC 5280, section 5).

use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, RevokedCertParams, SerialNumber,
};
use time::OffsetDateTime;

use super::{CaCertificate, Serial};
use crate::registry::{Revocation, RevocationReason};

/// A certificate of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// Its serial number.
    pub serial: Serial,
    /// Since when, and why.
    pub revocation: Revocation,
}

/// A list before it is signed.
#[derive(Clone, Debug)]
pub struct Crl<'a> {
    /// Grows from list to list.
    pub number: u64,
    /// From when it holds.
    pub this_update: OffsetDateTime,
    /// When the next one is there at the latest.
    pub next_update: OffsetDateTime,
    /// What it lists.
    pub revoked: &'a [RevokedCertificate],
}

impl Crl<'_> {
    /// Signs it: DER.
    pub(super) fn sign(
        &self,
        ca: &CaCertificate,
        issuer: &Issuer<'_, impl rcgen::SigningKey>,
    ) -> Result<Vec<u8>, rcgen::Error> {
        let revoked_certs = self.revoked.iter().map(entry).collect();
        let list = CertificateRevocationListParams {
            this_update: self.this_update,
            next_update: self.next_update,
            crl_number: SerialNumber::from(self.number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::PreSpecified(ca.key_identifier().to_vec()),
        };
        Ok(list.signed_by(issuer)?.der().to_vec())
    }
}

fn entry(revoked: &RevokedCertificate) -> RevokedCertParams {
    RevokedCertParams {
        serial_number: SerialNumber::from(revoked.serial.to_bytes()),
        revocation_time: revoked.revocation.at,
        reason_code: Some(match revoked.revocation.reason {
            RevocationReason::Unspecified => rcgen::RevocationReason::Unspecified,
            RevocationReason::Superseded => rcgen::RevocationReason::Superseded,
            RevocationReason::CessationOfOperation => rcgen::RevocationReason::CessationOfOperation,
            RevocationReason::CertificateHold => rcgen::RevocationReason::CertificateHold,
            RevocationReason::PrivilegeWithdrawn => rcgen::RevocationReason::PrivilegeWithdrawn,
        }),
        invalidity_date: None,
    }
}
