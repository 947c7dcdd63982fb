//! Receipts: statements of the server about a log, signed by a key to which the issuing CA has
//! delegated this alone.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rcgen::{KeyPair, SigningKey as _};
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::{Authority, CaError, Serial, key, profile};

const WHAT: &str = "the signer of receipts";
/// `typ` of the header (RFC 7515, section 4.1.9).
const TYPE: &str = "holdfast-audit-receipt";
/// Rest of a signer's life at which there is a new one: whoever has a receipt can verify it for so
/// long at least.
const RENEW_BEFORE: Duration = Duration::days(10);

/// The key in use. It lives in memory only.
#[derive(Default)]
pub(super) struct ReceiptSigner(Mutex<Option<Arc<Delegate>>>);

struct Delegate {
    key: KeyPair,
    /// The protected header, encoded.
    header: String,
    renew_at: OffsetDateTime,
}

#[derive(Serialize)]
struct Header {
    alg: &'static str,
    typ: &'static str,
    /// The signer's certificate, then what leads to the root (RFC 7515, section 4.1.6).
    x5c: Vec<String>,
}

impl Authority {
    /// Signs a receipt: JWS in compact serialization (RFC 7515, section 7.1), ES256.
    pub fn sign_receipt(
        &self,
        payload: &impl Serialize,
        now: OffsetDateTime,
    ) -> Result<String, CaError> {
        let delegate = self.receipt_delegate(now)?;
        let payload = serde_json::to_vec(payload).map_err(|e| made(&e))?;
        let input = format!("{}.{}", delegate.header, BASE64_URL_SAFE_NO_PAD.encode(payload));
        let der = delegate.key.sign(input.as_bytes()).map_err(|e| CaError::issue(WHAT, e))?;
        let signature = p256::ecdsa::Signature::from_der(&der).map_err(|e| made(&e))?;
        Ok(format!("{input}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.to_bytes())))
    }

    fn receipt_delegate(&self, now: OffsetDateTime) -> Result<Arc<Delegate>, CaError> {
        let mut signer = self.receipt_signer().0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = signer.as_ref().filter(|known| now < known.renew_at) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(self.make_receipt_delegate(now)?);
        *signer = Some(Arc::clone(&made));
        Ok(made)
    }

    fn make_receipt_delegate(&self, now: OffsetDateTime) -> Result<Delegate, CaError> {
        let ends = self.issuing_ends();
        if now >= ends {
            return Err(CaError::Expired(ends));
        }
        let key = key::generate()?;
        let params = profile::receipt_signer(&Serial::random()?, now, ends);
        let certificate = self.sign(&params, &key).map_err(|e| CaError::issue(WHAT, e))?;
        let chain = self.chain();
        let x5c = std::iter::once(certificate.der())
            .chain(&chain)
            .map(|der| BASE64_STANDARD.encode(der))
            .collect();
        let header = serde_json::to_vec(&Header { alg: "ES256", typ: TYPE, x5c });
        let header = BASE64_URL_SAFE_NO_PAD.encode(header.map_err(|e| made(&e))?);
        // The last one before the issuing CA ends serves to its end: another would end with it.
        let renew_at = if params.not_after < ends { params.not_after - RENEW_BEFORE } else { ends };
        Ok(Delegate { key, header, renew_at })
    }
}

fn made(detail: &dyn std::fmt::Display) -> CaError {
    CaError::Made { subject: WHAT.to_owned(), detail: detail.to_string() }
}
