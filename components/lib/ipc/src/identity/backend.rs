//! What the holder of the identity has to do.

use std::future::Future;

use zeroize::Zeroizing;

use crate::{CallError, Name, allow_list::SignScheme};

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

    /// The enroller's own checks of itself as JSON:
    /// `[{"id","outcome":"ok"|"warning"|"failed","text","advice"?}]`.
    fn check(&self) -> impl Future<Output = Result<String, CallError>> + Send;
}
