//! `TPMA_OBJECT` (Part 2, 8.3).

use core::ops::BitOr;

use super::buffer::DecodeError;

/// The attributes of a TPM object.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectAttributes(u32);

impl ObjectAttributes {
    /// No attribute.
    pub const NONE: Self = Self(0);
    /// The key cannot leave its TPM.
    pub const FIXED_TPM: Self = Self(1 << 1);
    /// The object does not survive a TPM restart.
    pub const ST_CLEAR: Self = Self(1 << 2);
    /// The key cannot move to another parent.
    pub const FIXED_PARENT: Self = Self(1 << 4);
    /// The TPM itself made the secret part.
    pub const SENSITIVE_DATA_ORIGIN: Self = Self(1 << 5);
    /// The authorization value suffices to use the object.
    pub const USER_WITH_AUTH: Self = Self(1 << 6);
    /// Administration needs the object's policy.
    pub const ADMIN_WITH_POLICY: Self = Self(1 << 7);
    /// The object is bound to the TPM's firmware.
    pub const FIRMWARE_LIMITED: Self = Self(1 << 8);
    /// The object is bound to the security version of the TPM's firmware.
    pub const SVN_LIMITED: Self = Self(1 << 9);
    /// Wrong authorizations do not count towards the lock-out.
    pub const NO_DA: Self = Self(1 << 10);
    /// A duplicate must be encrypted.
    pub const ENCRYPTED_DUPLICATION: Self = Self(1 << 11);
    /// The key only works on structures that the TPM knows or made.
    pub const RESTRICTED: Self = Self(1 << 16);
    /// The key may decrypt.
    pub const DECRYPT: Self = Self(1 << 17);
    /// The key may sign (or, if symmetric, encrypt).
    pub const SIGN: Self = Self(1 << 18);
    /// The key signs only X.509 certificates made by the TPM.
    pub const X509_SIGN: Self = Self(1 << 19);

    const NAMES: [(Self, &'static str); 14] = [
        (Self::FIXED_TPM, "fixedTPM"),
        (Self::ST_CLEAR, "stClear"),
        (Self::FIXED_PARENT, "fixedParent"),
        (Self::SENSITIVE_DATA_ORIGIN, "sensitiveDataOrigin"),
        (Self::USER_WITH_AUTH, "userWithAuth"),
        (Self::ADMIN_WITH_POLICY, "adminWithPolicy"),
        (Self::FIRMWARE_LIMITED, "firmwareLimited"),
        (Self::SVN_LIMITED, "svnLimited"),
        (Self::NO_DA, "noDA"),
        (Self::ENCRYPTED_DUPLICATION, "encryptedDuplication"),
        (Self::RESTRICTED, "restricted"),
        (Self::DECRYPT, "decrypt"),
        (Self::SIGN, "sign"),
        (Self::X509_SIGN, "x509sign"),
    ];

    /// The attributes in these bits; reserved bits must be zero.
    pub fn from_bits(bits: u32) -> Result<Self, DecodeError> {
        let known = Self::NAMES.iter().fold(0, |bits, (attribute, _)| bits | attribute.0);
        if bits & !known != 0 {
            return Err(DecodeError::Unsupported { field: "objectAttributes", value: bits });
        }
        Ok(Self(bits))
    }

    /// The bits as the TPM marshals them.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `others` are set.
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether any of `others` is set.
    pub const fn intersects(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Those of `required` that are not set.
    #[must_use]
    pub const fn missing(self, required: Self) -> Self {
        Self(required.0 & !self.0)
    }

    /// These attributes without `others`.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }
}

impl BitOr for ObjectAttributes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl core::fmt::Display for ObjectAttributes {
    /// The TCG's names, joined by `|`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut separator = "";
        for (attribute, name) in Self::NAMES {
            if self.contains(attribute) {
                write!(f, "{separator}{name}")?;
                separator = "|";
            }
        }
        if separator.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

impl core::fmt::Debug for ObjectAttributes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}
