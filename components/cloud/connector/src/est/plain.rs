//! EST without attestation, for registrations that allow it: a client enrols with its Edge ID and a
//! one-time enrolment secret by HTTP basic authentication (RFC 7030, 3.2.3) and renews with its
//! certificate. Only possession of the key is proven, and the certificate says so.

use std::net::IpAddr;

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_attestation::csr::CertificateRequest;
use holdfast_attestation::edge_id::EdgeId;
use holdfast_attestation::hash::sha256;
use holdfast_attestation::refusal::Reason;
use holdfast_attestation::verify::check_csr_signature;
use http::{HeaderMap, header};
use subtle::ConstantTimeEq as _;
use time::OffsetDateTime;

use super::Est;
use super::enrol::{Shown, issue, nonce_unknown, wait};
use super::nonce::too_many;
use super::refusal::{Attempt, Refused};
use crate::registry::{
    Admission, Binding, CertificateRecord, Claim, Device, Digest, NotInForce, RegistrationSecret,
    admit, in_force,
};
use crate::reply::{ErrorReply, RequestId};

/// A client's name and secret.
struct Credentials {
    edge_id: EdgeId,
    secret_sha256: Digest,
}

/// An enrolment without a nonce.
pub(super) async fn enrol(
    est: &Est,
    id: &RequestId,
    source: IpAddr,
    headers: &HeaderMap,
    csr: Vec<u8>,
) -> Result<Response, ErrorReply> {
    let now = est.app.now();
    let Some(credentials) = credentials(headers) else {
        // A device with a TPM must ask for a nonce; everybody else must authenticate.
        let is_attested = CertificateRequest::parse(&csr).is_ok_and(|csr| csr.evidence().is_some());
        let reply = nonce_unknown(id);
        return Err(if is_attested { reply } else { reply.asking_for_credentials() });
    };
    take_turn(est, id, source, credentials.edge_id.as_str(), now)?;
    let claim = Claim { edge_id: credentials.edge_id.clone(), ek_sha256: None };
    let attempt = Attempt { app: &est.app, id, source, claim: &claim, renewing: None, now };
    let candidates = attempt.candidates().await?;
    match admit_client(&attempt, &candidates, &credentials, &csr).await {
        Ok(response) => Ok(response),
        Err(refused) => {
            let reply = attempt.refuse(&candidates, refused).await;
            // RFC 7030, 3.2.3: who is not authenticated is asked to be.
            let is_stranger = reply.is(Reason::NotAccepted.code());
            Err(if is_stranger { reply.asking_for_credentials() } else { reply })
        }
    }
}

async fn admit_client(
    attempt: &Attempt<'_>,
    candidates: &[Device],
    credentials: &Credentials,
    csr: &[u8],
) -> Result<Response, Refused> {
    let admission = admit(attempt.claim, candidates, attempt.now)?;
    let (Admission::Enrol(device) | Admission::Wait(device)) = admission;
    let known = attempt.app.store.registration_secret(device.id).await;
    let is_right = match known.map_err(|e| Refused::fault(e.to_string()))? {
        Some(RegistrationSecret::EnrolmentSecret(known)) => {
            bool::from(known.0.ct_eq(&credentials.secret_sha256.0))
        }
        Some(RegistrationSecret::PairingCode(_)) | None => false,
    };
    if !is_right {
        let detail = "the enrolment secret is wrong, or was used before";
        return Err(Refused::denied(Reason::EnrolmentSecretWrong, detail));
    }
    let request = check_csr_signature(csr).map_err(|failed| Refused::from(failed).told())?;
    match admission {
        Admission::Enrol(device) => issue(attempt, device, Shown::Plain(request), None).await,
        Admission::Wait(device) => wait(attempt, device, None).await,
    }
}

/// A renewal without evidence: the certificate is one that was issued without.
pub(super) async fn renew(
    est: &Est,
    id: &RequestId,
    source: IpAddr,
    (certificate, device): (&CertificateRecord, &Device),
    csr: &[u8],
) -> Result<Response, ErrorReply> {
    let now = est.app.now();
    take_turn(est, id, source, &device.edge_id, now)?;
    let edge_id = EdgeId::parse(&device.edge_id).map_err(|e| ErrorReply::internal(&e, id))?;
    let claim = Claim { edge_id, ek_sha256: None };
    let attempt = Attempt { app: &est.app, id, source, claim: &claim, renewing: Some(device), now };
    let renewed = async {
        in_force(device, certificate, now)
            .map_err(|NotInForce { code, detail }| Refused::not_in_force(code, &detail))?;
        if device.binding != Binding::PlainEst {
            let detail = "this device must show its TPM's evidence";
            return Err(Refused::denied(Reason::EvidenceNeeded, detail));
        }
        let request = check_csr_signature(csr)?;
        issue(&attempt, device, Shown::Plain(request), Some(&certificate.serial)).await
    };
    match renewed.await {
        Ok(response) => Ok(response),
        Err(refused) => Err(attempt.refuse(&[], refused).await),
    }
}

/// Counts by address, and by address and name.
fn take_turn(
    est: &Est,
    id: &RequestId,
    source: IpAddr,
    edge_id: &str,
    now: OffsetDateTime,
) -> Result<(), ErrorReply> {
    let name = Digest(sha256(&[edge_id.as_bytes()]));
    est.limits
        .take_source(source, now)
        .and_then(|()| est.limits.take_device(source, name, now))
        .map_err(|e| too_many(e.retry_after, id))
}

/// RFC 7617; whatever is wrong with it, the client is asked to authenticate.
fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(token.trim()).ok()?).ok()?;
    let (user, secret) = pair.split_once(':')?;
    Some(Credentials {
        edge_id: EdgeId::parse(user).ok()?,
        secret_sha256: Digest(sha256(&[secret.as_bytes()])),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_as_clients_send_them() {
        let read = |value: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            credentials(&headers).map(|it| (it.edge_id.to_string(), it.secret_sha256))
        };
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        let hash = |secret: &str| Digest(sha256(&[secret.as_bytes()]));
        let good = Some(("SN-1".to_owned(), hash("a:b")));
        assert_eq!(read(&basic("SN-1:a:b")), good);
        assert_eq!(read(&basic("sn-1:a:b").replace("Basic", "basic")), good);
        for bad in ["", "Basic", "Basic *", "Bearer x", &basic("SN-1"), &basic(":a"), &basic("?:a")]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
