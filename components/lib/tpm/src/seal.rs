//! Secrets that open only on this TPM and only under an operating system signed with one PCR key.

use tss_esapi::structures::SensitiveData;
use zeroize::Zeroizing;

use crate::{BootPolicy, KeyBlob, Tpm, TpmError, template};

const SEALED: &str = "sealed secret";

impl Tpm {
    /// Seals up to 128 bytes, such as the key of a larger secret.
    pub fn seal(&self, policy: &BootPolicy, secret: &[u8]) -> Result<KeyBlob, TpmError> {
        let secret = SensitiveData::try_from(secret.to_vec())
            .map_err(|error| TpmError::command("Create", SEALED, error))?;
        self.create(SEALED, template::sealed(&policy.authorized().0), Some(secret))
    }

    /// Opens a sealed secret, if the running system was signed with the PCR key it is sealed for.
    pub fn unseal(
        &self,
        policy: &BootPolicy,
        sealed: &KeyBlob,
    ) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        const OPERATION: &str = "Unseal";
        if sealed.parse_public()?.auth_policy().value() != policy.authorized().0 {
            let detail = format!(
                "it is not sealed for the PCR key {}",
                hex::encode(policy.key_fingerprint())
            );
            return Err(TpmError::check(OPERATION, SEALED, detail));
        }
        self.while_pcrs_settle(|| {
            let session = self.boot_session(policy)?;
            let object = self.load_labelled(sealed, SEALED)?;
            let secret = self.run_with((Some(session.auth()), None), OPERATION, SEALED, |tpm| {
                tpm.unseal(object.handle().into())
            })?;
            Ok(Zeroizing::new(secret.value().to_vec()))
        })
    }
}
