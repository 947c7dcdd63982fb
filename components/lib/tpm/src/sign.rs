//! Signatures over digests, and the device key that makes them for TLS.

use std::fmt;
use std::str::FromStr;

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents};
use sha2::{Digest as _, Sha256};
use tss_esapi::constants::tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::structures::{
    Data, Digest, HashScheme, HashcheckTicket, Public, PublicKeyRsa, RsaDecryptionScheme,
    Signature, SignatureScheme as TssScheme,
};
use tss_esapi::tss2_esys::TPMT_TK_HASHCHECK;

use crate::{Key, KeyBlob, Tpm, TpmError, pss, template};

const LABEL: &str = "device key";
const SIGN: &str = "Sign";
/// The only exponent that the templates use.
const EXPONENT: [u8; 3] = [1, 0, 1];

/// Who pads RSA-PSS signatures.
///
/// TLS 1.3 wants a salt as long as the hash. TPMs of specification revision 1.16 take the longest
/// salt that fits; for those the padding is made in software.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureMode {
    /// The TPM; the key can sign, nothing else.
    TpmPss,
    /// Software; the key can sign and decrypt, since the raw RSA operation is `TPM2_RSA_Decrypt`.
    SoftwarePss,
}

impl SignatureMode {
    pub(crate) fn of(public: &Public) -> Option<Self> {
        let Public::Rsa { object_attributes, .. } = public else { return None };
        if object_attributes.decrypt() { Some(Self::SoftwarePss) } else { Some(Self::TpmPss) }
    }

    /// `tpm-pss` or `software-pss`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TpmPss => "tpm-pss",
            Self::SoftwarePss => "software-pss",
        }
    }
}

impl fmt::Display for SignatureMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for SignatureMode {
    type Err = TpmError;

    fn from_str(text: &str) -> Result<Self, TpmError> {
        [Self::TpmPss, Self::SoftwarePss].into_iter().find(|mode| mode.as_str() == text).ok_or_else(
            || {
                TpmError::malformed(
                    "signature mode",
                    format!("{text:?} is neither tpm-pss nor software-pss"),
                )
            },
        )
    }
}

/// A signature scheme over a SHA-256 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureScheme {
    /// RSASSA-PSS, MGF1 with SHA-256, salt of 32 bytes.
    RsaPssSha256,
    /// RSASSA-PKCS1-v1_5.
    RsaPkcs1Sha256,
    /// ECDSA; the signature is a DER `ECDSA-Sig-Value`.
    EcdsaSha256,
}

impl SignatureScheme {
    const ALL: [Self; 3] = [Self::RsaPssSha256, Self::RsaPkcs1Sha256, Self::EcdsaSha256];

    /// `rsa-pss-sha256`, `rsa-pkcs1-sha256` or `ecdsa-sha256`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RsaPssSha256 => "rsa-pss-sha256",
            Self::RsaPkcs1Sha256 => "rsa-pkcs1-sha256",
            Self::EcdsaSha256 => "ecdsa-sha256",
        }
    }

    fn for_tpm(self) -> TssScheme {
        let hash_scheme = HashScheme::new(HashingAlgorithm::Sha256);
        match self {
            Self::RsaPssSha256 => TssScheme::RsaPss { hash_scheme },
            Self::RsaPkcs1Sha256 => TssScheme::RsaSsa { hash_scheme },
            Self::EcdsaSha256 => TssScheme::EcDsa { hash_scheme },
        }
    }
}

impl fmt::Display for SignatureScheme {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for SignatureScheme {
    type Err = TpmError;

    fn from_str(text: &str) -> Result<Self, TpmError> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            TpmError::malformed("signature scheme", format!("{text:?} is none of {known}"))
        })
    }
}

impl Tpm {
    /// Makes an RSA-2048 device key and proves with one signature that it suits TLS 1.3.
    ///
    /// Without `forced` the TPM pads if it does so correctly, else software does.
    pub fn create_device_key(&self, forced: Option<SignatureMode>) -> Result<KeyBlob, TpmError> {
        first_suitable(forced, |mode| {
            let key = self.create(LABEL, template::device_key(mode), None)?;
            self.test_pss(&key).map(|()| key)
        })
    }

    /// Signs a SHA-256 digest.
    pub fn sign(
        &self,
        key: &Key<'_>,
        scheme: SignatureScheme,
        digest: &[u8; 32],
    ) -> Result<Vec<u8>, TpmError> {
        let in_software = SignatureMode::of(key.public()) == Some(SignatureMode::SoftwarePss);
        if in_software && scheme == SignatureScheme::RsaPssSha256 {
            self.sign_with_software_pss(key, digest)
        } else {
            self.sign_in_tpm(key, scheme, digest)
        }
    }

    fn sign_in_tpm(
        &self,
        key: &Key<'_>,
        scheme: SignatureScheme,
        digest: &[u8; 32],
    ) -> Result<Vec<u8>, TpmError> {
        let signature = self.run_empty_auth(SIGN, key.label(), |tpm| {
            // The digest was made outside: a null ticket.
            let ticket = HashcheckTicket::try_from(TPMT_TK_HASHCHECK {
                tag: TPM2_ST_HASHCHECK,
                hierarchy: TPM2_RH_NULL,
                digest: tss_esapi::tss2_esys::TPM2B_DIGEST::default(),
            })?;
            let digest = Digest::try_from(digest.as_slice())?;
            tpm.sign(key.handle(), digest, scheme.for_tpm(), ticket)
        })?;
        match signature {
            Signature::RsaPss(rsa) | Signature::RsaSsa(rsa) => Ok(rsa.signature().value().to_vec()),
            Signature::EcDsa(ecdsa) => {
                ecdsa_der(ecdsa.signature_r().value(), ecdsa.signature_s().value())
            }
            _ => Err(TpmError::check(SIGN, key.label(), "unexpected kind of signature")),
        }
    }

    fn sign_with_software_pss(
        &self,
        key: &Key<'_>,
        digest: &[u8; 32],
    ) -> Result<Vec<u8>, TpmError> {
        const OPERATION: &str = "RSA_Decrypt";
        let Public::Rsa { unique, .. } = key.public() else {
            return Err(TpmError::check(OPERATION, key.label(), "not an RSA key"));
        };
        let mut salt = [0; 32];
        SystemRandom::new()
            .fill(&mut salt)
            .map_err(|_| TpmError::check(OPERATION, key.label(), "no random numbers"))?;
        let encoded = pss::encode(digest, &salt, 8 * unique.len())
            .ok_or_else(|| TpmError::check(OPERATION, key.label(), "the modulus is too short"))?;
        let signature = self.run_empty_auth(OPERATION, key.label(), |tpm| {
            let message = PublicKeyRsa::try_from(encoded)?;
            tpm.rsa_decrypt(key.handle(), message, RsaDecryptionScheme::Null, Data::default())
        })?;
        Ok(signature.value().to_vec())
    }

    fn test_pss(&self, blob: &KeyBlob) -> Result<(), TpmError> {
        let key = self.load_labelled(blob, LABEL)?;
        let message = self.random(32)?;
        let digest = Sha256::digest(&message).into();
        let signature = self.sign(&key, SignatureScheme::RsaPssSha256, &digest)?;
        match key.public() {
            Public::Rsa { unique, .. } if suits_tls13(unique.value(), &message, &signature) => {
                Ok(())
            }
            _ => Err(TpmError::UnsuitablePss),
        }
    }
}

/// Tries the modes in order of preference: a key that only signs is the narrower one.
fn first_suitable<T>(
    forced: Option<SignatureMode>,
    mut try_mode: impl FnMut(SignatureMode) -> Result<T, TpmError>,
) -> Result<T, TpmError> {
    match (forced, try_mode(forced.unwrap_or(SignatureMode::TpmPss))) {
        (None, Err(error)) if is_about_padding(&error) => try_mode(SignatureMode::SoftwarePss),
        (_, result) => result,
    }
}

fn is_about_padding(error: &TpmError) -> bool {
    // A TPM without the scheme refuses to sign.
    matches!(error, TpmError::UnsuitablePss | TpmError::Command { operation: SIGN, .. })
}

/// Whether an RSA-PSS signature has the salt length that TLS 1.3 wants (RFC 8446, 4.2.3): ring
/// accepts only a salt as long as the hash.
fn suits_tls13(modulus: &[u8], message: &[u8], signature: &[u8]) -> bool {
    RsaPublicKeyComponents { n: modulus, e: &EXPONENT }
        .verify(&RSA_PSS_2048_8192_SHA256, message, signature)
        .is_ok()
}

fn ecdsa_der(r: &[u8], s: &[u8]) -> Result<Vec<u8>, TpmError> {
    #[derive(der::Sequence)]
    struct EcdsaSigValue<'a> {
        r: der::asn1::UintRef<'a>,
        s: der::asn1::UintRef<'a>,
    }
    let encode = || {
        let value =
            EcdsaSigValue { r: der::asn1::UintRef::new(r)?, s: der::asn1::UintRef::new(s)? };
        der::Encode::to_der(&value)
    };
    encode().map_err(|error: der::Error| TpmError::malformed("ECDSA signature", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for scheme in SignatureScheme::ALL {
            assert_eq!(scheme.as_str().parse::<SignatureScheme>().unwrap(), scheme);
        }
        for mode in [SignatureMode::TpmPss, SignatureMode::SoftwarePss] {
            assert_eq!(mode.as_str().parse::<SignatureMode>().unwrap(), mode);
        }
        let error = "md5".parse::<SignatureScheme>().unwrap_err().to_string();
        assert!(error.contains("rsa-pss-sha256"), "{error}");
    }

    fn failed(operation: &'static str) -> TpmError {
        let code = tss_esapi::constants::response_code::Tss2ResponseCode::from(0x92);
        TpmError::command(operation, LABEL, tss_esapi::Error::Tss2Error(code))
    }

    #[test]
    fn software_pads_only_where_the_tpm_does_so_wrongly() {
        use SignatureMode::{SoftwarePss, TpmPss};
        type Outcome = fn() -> Result<(), TpmError>;
        let good: Outcome = || Ok(());
        let long_salt: Outcome = || Err(TpmError::UnsuitablePss);
        let no_scheme: Outcome = || Err(failed(SIGN));
        let no_key: Outcome = || Err(failed("Create"));
        let cases = [
            ("good", None, good, vec![TpmPss], true),
            ("long salt", None, long_salt, vec![TpmPss, SoftwarePss], true),
            ("no scheme", None, no_scheme, vec![TpmPss, SoftwarePss], true),
            ("no key", None, no_key, vec![TpmPss], false),
            ("forced, good", Some(TpmPss), good, vec![TpmPss], true),
            ("forced, long salt", Some(TpmPss), long_salt, vec![TpmPss], false),
            ("software forced", Some(SoftwarePss), long_salt, vec![SoftwarePss], true),
        ];
        for (what, forced, in_tpm, expected, succeeds) in cases {
            let mut tried = Vec::new();
            let result = first_suitable(forced, |mode| {
                tried.push(mode);
                if mode == TpmPss { in_tpm() } else { Ok(()) }
            });
            assert_eq!(tried, expected, "{what}");
            assert_eq!(result.is_ok(), succeeds, "{what}");
        }
    }

    #[test]
    fn salt_of_another_length_does_not_suit() {
        let folder = tempfile::TempDir::new().unwrap();
        let openssl = |arguments: &str| {
            let mut command = std::process::Command::new("openssl");
            command.args(arguments.split_whitespace()).current_dir(folder.path());
            let done = command.output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            done.stdout
        };
        openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem");
        let text = String::from_utf8(openssl("rsa -in key.pem -noout -modulus")).unwrap();
        let modulus = hex::decode(text.trim().strip_prefix("Modulus=").unwrap()).unwrap();
        std::fs::write(folder.path().join("message"), "hold fast").unwrap();
        for (salt, suits) in [("32", true), ("max", false), ("20", false), ("0", false)] {
            let signature = openssl(&format!(
                "dgst -sha256 -sign key.pem -sigopt rsa_padding_mode:pss \
                 -sigopt rsa_pss_saltlen:{salt} -binary message"
            ));
            assert_eq!(suits_tls13(&modulus, b"hold fast", &signature), suits, "salt {salt}");
        }
    }
}
