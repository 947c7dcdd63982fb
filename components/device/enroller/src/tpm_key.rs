//! The device's key for TLS, which signs inside the TPM.

use std::sync::Arc;

use holdfast_tpm::{KeyBlob, SignatureScheme as TpmScheme};
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use sha2::{Digest as _, Sha256};

use crate::tpm_owner::{JobError, TpmOwner};

/// A device key that signs inside the TPM.
#[derive(Debug, Clone)]
pub struct TpmKey {
    tpm: TpmOwner,
    blob: Arc<KeyBlob>,
}

impl TpmKey {
    /// The key that this blob loads as.
    pub fn new(tpm: TpmOwner, blob: Arc<KeyBlob>) -> Self {
        Self { tpm, blob }
    }
}

impl SigningKey for TpmKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&SignatureScheme::RSA_PSS_SHA256)
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }
}

impl Signer for TpmKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let digest: [u8; 32] = Sha256::digest(message).into();
        let blob = Arc::clone(&self.blob);
        self.tpm
            .run(move |tpm| {
                let key = tpm.load(&blob)?;
                Ok(tpm.sign(&key, TpmScheme::RsaPssSha256, &digest)?)
            })
            .map_err(|error: JobError| Error::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::RSA_PSS_SHA256
    }
}
