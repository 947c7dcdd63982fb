//! The key file: a PEM that every TPM program understands.
//!
//! `TSS2 PRIVATE KEY` as in "ASN.1 Specification for TPM 2.0 Key Files" (draft-bottomley-tpm2-keys),
//! for keys without password or policy under the storage root key of the owner hierarchy.

use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::pem::LineEnding;
use der::{Decode, Encode};

use crate::{KeyBlob, TpmError};

const WHAT: &str = "key file";
const LABEL: &str = "TSS2 PRIVATE KEY";
/// id-loadablekey
const LOADABLE_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.10.1.3");
/// `TPM_RH_OWNER`: the parent is derived from the owner hierarchy's standard template.
const OWNER: u32 = 0x4000_0001;

#[derive(der::Sequence)]
struct TpmKey<'a> {
    kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    empty_auth: Option<bool>,
    parent: u32,
    public: OctetStringRef<'a>,
    private: OctetStringRef<'a>,
}

impl KeyBlob {
    /// Writes the key file.
    pub fn to_pem(&self) -> Result<String, TpmError> {
        let (public, private) = (sized(self.public())?, sized(self.private())?);
        let encode = || {
            let key = TpmKey {
                kind: LOADABLE_KEY,
                empty_auth: Some(true),
                parent: OWNER,
                public: OctetStringRef::new(&public)?,
                private: OctetStringRef::new(&private)?,
            };
            let der = key.to_der()?;
            Ok(der::pem::encode_string(LABEL, LineEnding::LF, &der)?)
        };
        encode().map_err(|error: der::Error| TpmError::malformed(WHAT, error))
    }

    /// Reads a key file.
    pub fn from_pem(pem: &str) -> Result<Self, TpmError> {
        let (label, bytes) = der::pem::decode_vec(pem.as_bytes())
            .map_err(|error| TpmError::malformed(WHAT, error))?;
        if label != LABEL {
            return Err(TpmError::malformed(WHAT, format!("it is a {label} PEM, not {LABEL}")));
        }
        let key = TpmKey::from_der(&bytes).map_err(|error| TpmError::malformed(WHAT, error))?;
        if key.kind != LOADABLE_KEY {
            return Err(TpmError::malformed(WHAT, format!("key type {} is not known", key.kind)));
        }
        if key.empty_auth != Some(true) {
            return Err(TpmError::malformed(WHAT, "the key has a password"));
        }
        if key.parent != OWNER {
            let detail = format!("parent {:#010x}, expected {OWNER:#010x}", key.parent);
            return Err(TpmError::malformed(WHAT, detail));
        }
        let public = unsized_contents("TPM2B_PUBLIC", key.public.as_bytes())?;
        let private = unsized_contents("TPM2B_PRIVATE", key.private.as_bytes())?;
        Self::new(public.to_vec(), private.to_vec())
    }

    /// `TPM2B_PUBLIC` followed by `TPM2B_PRIVATE`, for use inside other files.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TpmError> {
        Ok([sized(self.public())?, sized(self.private())?].concat())
    }

    /// Reads what [`KeyBlob::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TpmError> {
        let (public, rest) = split_sized("TPM2B_PUBLIC", bytes)?;
        let private = unsized_contents("TPM2B_PRIVATE", rest)?;
        Self::new(public.to_vec(), private.to_vec())
    }
}

fn sized(contents: &[u8]) -> Result<Vec<u8>, TpmError> {
    let length = u16::try_from(contents.len())
        .map_err(|_| TpmError::malformed(WHAT, "a part has more than 64 KiB"))?;
    Ok([&length.to_be_bytes(), contents].concat())
}

fn unsized_contents<'a>(what: &'static str, bytes: &'a [u8]) -> Result<&'a [u8], TpmError> {
    match split_sized(what, bytes)? {
        (contents, []) => Ok(contents),
        (_, rest) => Err(TpmError::malformed(what, format!("{} bytes follow it", rest.len()))),
    }
}

fn split_sized<'a>(what: &'static str, bytes: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), TpmError> {
    let split = || {
        let (length, rest) = bytes.split_first_chunk()?;
        rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
    };
    split().ok_or_else(|| TpmError::malformed(what, "it is cut short"))
}
