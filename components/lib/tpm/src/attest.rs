//! What the TPM states about itself, signed by the attestation key.

use sha2::{Digest as _, Sha256};
use tss_esapi::constants::SessionType;
use tss_esapi::handles::AuthHandle;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    Attest, AttestInfo, Data, Digest, EncryptedSecret, IdObject, Nonce, Signature, SignatureScheme,
};
use zeroize::Zeroizing;

use crate::key::marshal;
use crate::pcr::{composite_digest, selection};
use crate::{Key, PcrValue, Tpm, TpmError};

/// How often a quote is repeated when a PCR changes between quoting and reading.
const QUOTE_TRIES: usize = 3;

/// A statement of the TPM and its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The marshalled `TPMS_ATTEST`.
    pub attest: Vec<u8>,
    /// The marshalled `TPMT_SIGNATURE` over it.
    pub signature: Vec<u8>,
}

/// A signed statement about PCR values, and the values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// The statement, which holds a digest over the values.
    pub statement: Statement,
    /// The values, in the order asked for.
    pub pcr_values: Vec<PcrValue>,
}

/// A secret that only the TPM with a given endorsement key and attestation key can open.
#[derive(Debug, Clone, Copy)]
pub struct Credential<'a> {
    /// Contents of the `TPM2B_ID_OBJECT`.
    pub id_object: &'a [u8],
    /// Contents of the `TPM2B_ENCRYPTED_SECRET`.
    pub encrypted_secret: &'a [u8],
}

impl Tpm {
    /// Opens a credential made for this TPM's endorsement key and the Name of `ak`.
    pub fn activate_credential(
        &self,
        ak: &Key<'_>,
        credential: Credential<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        const OPERATION: &str = "ActivateCredential";
        let id_object = IdObject::try_from(credential.id_object)
            .map_err(|error| TpmError::malformed("TPM2B_ID_OBJECT", error))?;
        let secret = EncryptedSecret::try_from(credential.encrypted_secret)
            .map_err(|error| TpmError::malformed("TPM2B_ENCRYPTED_SECRET", error))?;

        let ek = self.load_ek()?;
        let session = self.session(SessionType::Policy, ek.object())?;
        let policy = session.policy()?;
        self.run_empty_auth("PolicySecret", "endorsement hierarchy", |tpm| {
            let (reference, hash) = (Nonce::default(), Digest::default());
            tpm.policy_secret(
                policy,
                AuthHandle::Endorsement,
                Nonce::default(),
                hash,
                reference,
                None,
            )
        })?;
        let sessions = (Some(AuthSession::Password), Some(session.auth()));
        let opened = self.run_with(sessions, OPERATION, ak.label(), |tpm| {
            tpm.activate_credential(ak.handle(), ek.handle(), id_object, secret)
        })?;
        Ok(Zeroizing::new(opened.value().to_vec()))
    }

    /// States, signed by `ak`, that `key` is loaded in this TPM.
    pub fn certify(
        &self,
        key: &Key<'_>,
        ak: &Key<'_>,
        qualifying_data: &[u8],
    ) -> Result<Statement, TpmError> {
        let data = qualifying(qualifying_data)?;
        let sessions = (Some(AuthSession::Password), Some(AuthSession::Password));
        let (attest, signature) = self.run_with(sessions, "Certify", key.label(), |tpm| {
            tpm.certify(key.handle().into(), ak.handle(), data, SignatureScheme::Null)
        })?;
        Statement::new(&attest, &signature)
    }

    /// States, signed by `ak`, what the values of some registers of the SHA-256 bank are.
    pub fn quote(
        &self,
        ak: &Key<'_>,
        pcrs: &[u8],
        qualifying_data: &[u8],
    ) -> Result<Quote, TpmError> {
        const OPERATION: &str = "Quote";
        for _ in 0..QUOTE_TRIES {
            let data = qualifying(qualifying_data)?;
            let pcrs_selected = selection(OPERATION, pcrs)?;
            let (attest, signature) = self.run_empty_auth(OPERATION, ak.label(), |tpm| {
                tpm.quote(ak.handle(), data, SignatureScheme::Null, pcrs_selected)
            })?;
            let AttestInfo::Quote { info } = attest.attested() else {
                return Err(TpmError::check(OPERATION, ak.label(), "the answer is no quote"));
            };
            let pcr_values = self.pcr_read(pcrs)?;
            if info.pcr_digest().value() == composite_digest(&pcr_values) {
                return Ok(Quote { statement: Statement::new(&attest, &signature)?, pcr_values });
            }
        }
        Err(TpmError::check(OPERATION, ak.label(), "the PCR values kept changing"))
    }
}

impl Statement {
    fn new(attest: &Attest, signature: &Signature) -> Result<Self, TpmError> {
        Ok(Self {
            attest: marshal("TPMS_ATTEST", attest)?,
            signature: marshal("TPMT_SIGNATURE", signature)?,
        })
    }

    /// SHA-256 of the statement: what the attestation key signed.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.attest).into()
    }
}

fn qualifying(data: &[u8]) -> Result<Data, TpmError> {
    Data::try_from(data).map_err(|error| TpmError::malformed("qualifying data", error))
}
