//! What the holder of the identity has to do.

use std::future::Future;

use zeroize::Zeroizing;

use crate::{Audience, CallError, Name, allow_list::SignScheme};

/// A token and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// A JWT.
    pub token: String,
    /// Unix seconds.
    pub expires: u64,
}

/// A key of the TPM, and the TPM's word for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The marshalled `TPMT_PUBLIC` of the key.
    pub public: Vec<u8>,
    /// The marshalled `TPMS_ATTEST` of `TPM2_Certify`.
    pub attest: Vec<u8>,
    /// The attestation key's marshalled `TPMT_SIGNATURE` over it.
    pub signature: Vec<u8>,
}

/// The site's connector as the device's daemons find and believe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connector {
    /// Origin of the device API, as in `https://connector.example:8444`.
    pub url: String,
    /// The roots that are trusted now, PEM.
    pub roots: String,
    /// The device's best knowledge of the time, Unix seconds; a lower bound until a server told it.
    pub time: u64,
}

/// The work behind `org.holdfast.Identity1`. Callers are already authorized and arguments are
/// already checked; the answers are recorded by the interface.
pub trait IdentityBackend: Send + Sync + 'static {
    /// Signs a digest of [`SignScheme::digest_len`] bytes with the key of this name.
    fn sign(
        &self,
        key: &Name,
        scheme: SignScheme,
        digest: &[u8],
    ) -> impl Future<Output = Result<Vec<u8>, CallError>> + Send;

    /// States by the attestation key that the key of this name is in this TPM; `qualifying` of at
    /// most 64 bytes goes into the statement.
    fn certify(
        &self,
        key: &Name,
        qualifying: &[u8],
    ) -> impl Future<Output = Result<Certified, CallError>> + Send;

    /// Where the connector is and whom to believe.
    fn connector(&self) -> impl Future<Output = Result<Connector, CallError>> + Send;

    /// The certificate and its issuers, as PEM.
    fn certificate_chain(&self) -> impl Future<Output = Result<String, CallError>> + Send;

    /// Seals at most 128 bytes under this TPM and the boot policy.
    fn seal(
        &self,
        plaintext: Zeroizing<Vec<u8>>,
    ) -> impl Future<Output = Result<Vec<u8>, CallError>> + Send;

    /// Opens what [`Self::seal`] made. Bytes of another TPM or for another system end with
    /// [`crate::ErrorKind::NotOurs`].
    fn unseal(
        &self,
        sealed: &[u8],
    ) -> impl Future<Output = Result<Zeroizing<Vec<u8>>, CallError>> + Send;

    /// Replaces the certificate with one for a new key, proving who the device is with the present
    /// one; the serial number of the new certificate, once it is in use.
    fn renew(&self) -> impl Future<Output = Result<String, CallError>> + Send;

    /// Enrols anew as on the first boot, by endorsement key and quote; the serial number of the new
    /// certificate, once it is in use.
    fn re_enroll(&self) -> impl Future<Output = Result<String, CallError>> + Send;

    /// Fetches a token for an audience from the cloud.
    fn token(&self, audience: &Audience) -> impl Future<Output = Result<Token, CallError>> + Send;

    /// The enroller's own checks of itself as JSON:
    /// `[{"id","outcome":"ok"|"warning"|"failed","text","advice"?}]`.
    fn check(&self) -> impl Future<Output = Result<String, CallError>> + Send;
}
