//! Keys to which the issuing CA has delegated one thing: they live in memory only, and there is a
//! new one before the certificate of the old one ends.

use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{CertificateParams, KeyPair, SigningKey as _};
use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use super::{Authority, CaError, Serial, key};

/// What is delegated.
pub(super) struct Task {
    /// Whose certificate it is, for people.
    pub(super) what: &'static str,
    /// The certificate, under an issuing CA that ends then.
    pub(super) profile: fn(&Serial, OffsetDateTime, OffsetDateTime) -> CertificateParams,
    /// Rest of its life at which there is a new one: what was signed can be verified for so long at
    /// least.
    pub(super) renew_before: Duration,
}

/// A key with its certificate.
pub(super) struct Delegate {
    key: KeyPair,
    /// The certificate, then what leads to the root.
    pub(super) chain: Vec<CertificateDer<'static>>,
    renew_at: OffsetDateTime,
}

/// The key in use.
#[derive(Default)]
pub(super) struct InUse(Mutex<Option<Arc<Delegate>>>);

impl Task {
    pub(super) fn failed(&self, detail: &dyn std::fmt::Display) -> CaError {
        CaError::Made { subject: self.what.to_owned(), detail: detail.to_string() }
    }
}

impl Delegate {
    /// ECDSA on P-256 with SHA-256, as JWS has it (RFC 7518, section 3.4).
    pub(super) fn sign(&self, task: &Task, input: &[u8]) -> Result<[u8; 64], CaError> {
        let der = self.key.sign(input).map_err(|e| CaError::issue(task.what, e))?;
        let signature = p256::ecdsa::Signature::from_der(&der).map_err(|e| task.failed(&e))?;
        Ok(signature.to_bytes().into())
    }
}

impl Authority {
    /// The key in use, or a new one.
    pub(super) fn signing_delegate(
        &self,
        in_use: &InUse,
        task: &Task,
        now: OffsetDateTime,
    ) -> Result<Arc<Delegate>, CaError> {
        let mut known = in_use.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().filter(|known| now < known.renew_at) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(self.make_signing_delegate(task, now)?);
        *known = Some(Arc::clone(&made));
        Ok(made)
    }

    fn make_signing_delegate(&self, task: &Task, now: OffsetDateTime) -> Result<Delegate, CaError> {
        let ends = self.issuing_ends();
        if now >= ends {
            return Err(CaError::Expired(ends));
        }
        let key = key::generate()?;
        let params = (task.profile)(&Serial::random()?, now, ends);
        let certificate = self.sign(&params, &key).map_err(|e| CaError::issue(task.what, e))?;
        let chain = std::iter::once(certificate.der().clone()).chain(self.chain()).collect();
        // The last one before the issuing CA ends serves to its end: another would end with it.
        let renew_at =
            if params.not_after < ends { params.not_after - task.renew_before } else { ends };
        Ok(Delegate { key, chain, renew_at })
    }
}
