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
