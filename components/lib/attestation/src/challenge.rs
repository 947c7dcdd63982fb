//! What the server keeps between the two requests of an enrolment.

use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

use crate::binding::{SECRET_LENGTH, TLS_EXPORTER_LENGTH};
use crate::credential::{CredentialError, make_credential};
use crate::edge_id::EdgeId;
use crate::nonce::{NONCE_LENGTH, NonceResponse, RequestInfo, ResponseInfo};
use crate::pcr::QUOTED_PCRS;
use crate::tpm::Public;

/// An open challenge. No `Debug`: the secret must not reach a log.
#[derive(Clone)]
pub struct Challenge {
    /// The nonce that was given out.
    pub nonce: Vec<u8>,
    /// The secret inside the credential.
    pub secret: Zeroizing<[u8; SECRET_LENGTH]>,
    /// The device's name, as it said.
    pub edge_id: EdgeId,
    /// The AK that must sign.
    pub ak: Public,
    /// SHA-256 of the `SubjectPublicKeyInfo` that will be asked for.
    pub device_key_spki_sha256: [u8; 32],
    /// TLS exporter of the connection on which the nonce was given out.
    pub tls_exporter: [u8; TLS_EXPORTER_LENGTH],
    /// Until when it may be used, in seconds since 1970.
    pub expires_at: u64,
    /// Whether it was used.
    pub used: bool,
}

/// On which connection, when and for how long.
#[derive(Debug, Clone, Copy)]
pub struct ChallengeContext {
    /// TLS exporter of the connection.
    pub tls_exporter: [u8; TLS_EXPORTER_LENGTH],
    /// Seconds since 1970.
    pub now: u64,
    /// Seconds for which the nonce is good.
    pub lifetime: u64,
}

/// Makes a challenge and the answer that carries it, for the TPM with this EK and AK.
///
/// It does not ask whether the EK is trusted, so that a server can answer unknown devices in the
/// same way as known ones.
pub fn issue_challenge(
    ek: &Public,
    ak: &Public,
    request: &RequestInfo,
    context: &ChallengeContext,
    rng: &mut impl CryptoRngCore,
) -> Result<(Challenge, NonceResponse), CredentialError> {
    let mut secret = Zeroizing::new([0; SECRET_LENGTH]);
    rng.fill_bytes(secret.as_mut_slice());
    let mut nonce = vec![0; NONCE_LENGTH.into()];
    rng.fill_bytes(&mut nonce);
    let credential = make_credential(ek, &ak.name(), secret.as_slice(), rng)?;
    let response = NonceResponse::new(
        nonce.clone(),
        context.lifetime,
        ResponseInfo {
            credential_blob: credential.id_object,
            encrypted_secret: credential.encrypted_secret,
            pcrs: QUOTED_PCRS.to_vec(),
        },
    );
    let challenge = Challenge {
        nonce,
        secret,
        edge_id: request.edge_id.clone(),
        ak: ak.clone(),
        device_key_spki_sha256: request.device_key_spki_sha256,
        tls_exporter: context.tls_exporter,
        expires_at: context.now.saturating_add(context.lifetime),
        used: false,
    };
    Ok((challenge, response))
}
