//! Receipts: statements of the server about a log, signed by a key to which the issuing CA has
//! delegated this alone.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rustls_pki_types::CertificateDer;
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::delegate::Task;
use super::{Authority, CaError, profile};

/// `typ` of the header (RFC 7515, section 4.1.9).
const TYPE: &str = "holdfast-audit-receipt";
const TASK: Task = Task {
    what: "the signer of receipts",
    profile: profile::receipt_signer,
    renew_before: Duration::days(10),
};

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
        let signer =
            self.signing_delegate(self.receipt_signer(), &TASK, now, |chain| header(&chain))?;
        let payload = serde_json::to_vec(payload).map_err(|e| TASK.failed(&e))?;
        let input = format!("{}.{}", signer.shown, BASE64_URL_SAFE_NO_PAD.encode(payload));
        let signature = signer.sign(&TASK, input.as_bytes())?;
        Ok(format!("{input}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The protected header, encoded.
fn header(chain: &[CertificateDer<'_>]) -> Result<String, CaError> {
    let x5c = chain.iter().map(|der| BASE64_STANDARD.encode(der)).collect();
    let header = serde_json::to_vec(&Header { alg: "ES256", typ: TYPE, x5c });
    Ok(BASE64_URL_SAFE_NO_PAD.encode(header.map_err(|e| TASK.failed(&e))?))
}
