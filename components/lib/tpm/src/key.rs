//! Keys under the storage root key: made, stored as blobs, loaded.

use holdfast_attestation::tpm::Name;
use tss_esapi::constants::SessionType;
use tss_esapi::handles::KeyHandle;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::structures::{Private, Public, SensitiveData};
use tss_esapi::traits::{Marshall, UnMarshall};

use crate::{Object, SignatureMode, Tpm, TpmError, template};

/// A key as it is stored: useless without the TPM that made it.
///
/// Never a saved context, which dies with the next TPM reset.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyBlob {
    public: Vec<u8>,
    private: Vec<u8>,
}

impl KeyBlob {
    /// Takes a marshalled `TPMT_PUBLIC` and the contents of a `TPM2B_PRIVATE`.
    pub fn new(public: Vec<u8>, private: Vec<u8>) -> Result<Self, TpmError> {
        let blob = Self { public, private };
        blob.parse_public()?;
        blob.parse_private()?;
        Ok(blob)
    }

    /// The marshalled `TPMT_PUBLIC`.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The contents of the `TPM2B_PRIVATE`, encrypted by the TPM.
    pub fn private(&self) -> &[u8] {
        &self.private
    }

    /// The Name of the key.
    pub fn name(&self) -> Name {
        name_of(&self.public)
    }

    /// How an RSA key makes its PSS signatures; `None` for other keys.
    pub fn signature_mode(&self) -> Result<Option<SignatureMode>, TpmError> {
        Ok(SignatureMode::of(&self.parse_public()?))
    }

    pub(crate) fn from_parts(public: &Public, private: &Private) -> Result<Self, TpmError> {
        let public = marshal("TPMT_PUBLIC", public)?;
        Ok(Self { public, private: private.value().to_vec() })
    }

    pub(crate) fn parse_public(&self) -> Result<Public, TpmError> {
        unmarshal_public(&self.public)
    }

    fn parse_private(&self) -> Result<Private, TpmError> {
        Private::try_from(self.private.as_slice())
            .map_err(|error| TpmError::malformed("TPM2B_PRIVATE", error))
    }
}

impl std::fmt::Debug for KeyBlob {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("KeyBlob").field("name", &self.name()).finish_non_exhaustive()
    }
}

pub(crate) fn name_of(public_area: &[u8]) -> Name {
    Name::of_public_area(holdfast_attestation::hash::HashAlgorithm::Sha256, public_area)
}

pub(crate) fn marshal(what: &'static str, value: &impl Marshall) -> Result<Vec<u8>, TpmError> {
    value.marshall().map_err(|error| TpmError::malformed(what, error))
}

/// Parses a `TPMT_PUBLIC` that must have exactly one encoding.
pub(crate) fn unmarshal_public(bytes: &[u8]) -> Result<Public, TpmError> {
    const WHAT: &str = "TPMT_PUBLIC";
    let public = Public::unmarshall(bytes).map_err(|error| TpmError::malformed(WHAT, error))?;
    if marshal(WHAT, &public)? == bytes {
        Ok(public)
    } else {
        Err(TpmError::malformed(WHAT, "it does not end where its contents end"))
    }
}

/// A key loaded in the TPM; its slot is freed when this is dropped.
#[derive(Debug)]
pub struct Key<'t> {
    object: Object<'t>,
    public: Public,
}

impl<'t> Key<'t> {
    /// The key's Name.
    pub fn name(&self) -> &Name {
        self.object.name()
    }

    pub(crate) fn handle(&self) -> KeyHandle {
        self.object.handle()
    }

    pub(crate) fn label(&self) -> &'static str {
        self.object.label()
    }

    pub(crate) fn public(&self) -> &Public {
        &self.public
    }

    pub(crate) fn object(&self) -> &Object<'t> {
        &self.object
    }

    pub(crate) fn into_object(self) -> Object<'t> {
        self.object
    }
}

impl Tpm {
    /// Makes an attestation key: ECC P-256, restricted to sign what this TPM states.
    pub fn create_ak(&self) -> Result<KeyBlob, TpmError> {
        self.create("attestation key", template::ak(), None)
    }

    /// Makes an ECC P-256 key that signs SHA-256 digests.
    pub fn create_ecdsa_key(&self) -> Result<KeyBlob, TpmError> {
        self.create("signing key", template::ecdsa_signing(), None)
    }

    /// Loads a key made by this TPM under its storage root key.
    pub fn load(&self, blob: &KeyBlob) -> Result<Key<'_>, TpmError> {
        self.load_labelled(blob, "key")
    }

    pub(crate) fn load_labelled(
        &self,
        blob: &KeyBlob,
        label: &'static str,
    ) -> Result<Key<'_>, TpmError> {
        let public = blob.parse_public()?;
        let private = blob.parse_private()?;
        let srk = self.srk()?;
        let handle = self
            .run_empty_auth("Load", label, |tpm| tpm.load(srk.handle(), private, public.clone()))?;
        Ok(Key { object: self.guard(handle, label)?, public })
    }

    /// Creates an object under the storage root key; `secret` travels encrypted.
    pub(crate) fn create(
        &self,
        label: &'static str,
        template: tss_esapi::Result<Public>,
        secret: Option<SensitiveData>,
    ) -> Result<KeyBlob, TpmError> {
        let template = template.map_err(|error| TpmError::command("Create", label, error))?;
        let srk = self.srk()?;
        let session = self.session(SessionType::Hmac, &srk)?;
        let made = self.run_with((Some(session.auth()), None), "Create", label, |tpm| {
            tpm.create(srk.handle(), template, None, secret, None, None)
        })?;
        KeyBlob::from_parts(&made.out_public, &made.out_private)
    }

    /// Creates a primary key, which is the same each time for the same template and TPM.
    pub(crate) fn create_primary(
        &self,
        hierarchy: Hierarchy,
        label: &'static str,
        template: tss_esapi::Result<Public>,
    ) -> Result<Key<'_>, TpmError> {
        let template =
            template.map_err(|error| TpmError::command("CreatePrimary", label, error))?;
        let made = self.run_empty_auth("CreatePrimary", label, |tpm| {
            tpm.create_primary(hierarchy, template, None, None, None, None)
        })?;
        Ok(Key { object: self.guard(made.key_handle, label)?, public: made.out_public })
    }

    /// Takes charge of a persistent key.
    pub(crate) fn persistent_key(
        &self,
        handle: KeyHandle,
        public: Public,
        label: &'static str,
    ) -> Result<Key<'_>, TpmError> {
        Ok(Key { object: self.guard_persistent(handle, label)?, public })
    }
}
