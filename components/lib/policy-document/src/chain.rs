//! Whose key signs: a certificate that leads to the site's anchors and is for policies alone.

use core::time::Duration;

use const_oid::db::rfc5280::ID_CE_EXT_KEY_USAGE;
use der::Decode as _;
use holdfast_attestation::oid::PURPOSE_POLICY;
use p256::ecdsa::Signature;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::Certificate;

use crate::VerifyError;

/// Most certificates that lead from a signer to the root.
const LONGEST: usize = 8;

/// What a signer has to show.
#[derive(Debug)]
pub(crate) struct Signed<'a> {
    /// DER, the signer's certificate first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) message: &'a [u8],
    pub(crate) signature: &'a [u8],
}

impl Signed<'_> {
    /// Checks chain, purpose and signature, by anchors (DER) and a clock that may be behind.
    pub(crate) fn check(&self, roots: &[Vec<u8>], now: u64) -> Result<(), VerifyError> {
        let failed = |error: &dyn core::fmt::Display| VerifyError::Chain(error.to_string());
        let (signer, issuers) =
            self.chain.split_first().ok_or_else(|| failed(&"no certificate is in x5c"))?;
        if self.chain.len() > LONGEST {
            return Err(failed(&format!("more than {LONGEST} certificates are in x5c")));
        }
        let time = judging_time(&self.chain, now).map_err(|error| failed(&error))?;
        if !is_for_policies(signer).map_err(|error| failed(&error))? {
            return Err(VerifyError::Purpose);
        }
        let roots: Vec<CertificateDer<'_>> =
            roots.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let anchors: Vec<_> =
            roots.iter().map(anchor_from_trusted_cert).collect::<Result<_, _>>().map_err(
                |error| failed(&format!("an anchor of the site cannot be used: {error}")),
            )?;
        let signer = EndEntityCert::try_from(signer).map_err(|error| failed(&error))?;
        // The CAs of the chain name no purpose.
        let usage = KeyUsage::required_if_present(PURPOSE_POLICY.contents());
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        signer
            .verify_for_usage(algorithms, &anchors, issuers, time, usage, None, None)
            .map_err(|error| failed(&error))?;
        let signature = Signature::from_slice(self.signature);
        let signature = signature.map_err(|_| VerifyError::Signature)?.to_der();
        signer
            .verify_signature(webpki::ring::ECDSA_P256_SHA256, self.message, signature.as_bytes())
            .map_err(|_| VerifyError::Signature)
    }
}

/// A device's clock may be behind. That a certificate is older than the clock says does no harm:
/// old documents are told by their version.
fn judging_time(chain: &[CertificateDer<'_>], now: u64) -> Result<UnixTime, der::Error> {
    let mut latest = now;
    for certificate in chain {
        let validity = Certificate::from_der(certificate)?.tbs_certificate.validity;
        latest = latest.max(validity.not_before.to_unix_duration().as_secs());
    }
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(latest)))
}

fn is_for_policies(certificate: &[u8]) -> Result<bool, der::Error> {
    let certificate = Certificate::from_der(certificate)?;
    let extensions = certificate.tbs_certificate.extensions.unwrap_or_default();
    let usage = extensions.iter().find(|extension| extension.extn_id == ID_CE_EXT_KEY_USAGE);
    let expected = PURPOSE_POLICY.to_extended_key_usage_der();
    Ok(usage.is_some_and(|usage| usage.extn_value.as_bytes() == expected))
}
