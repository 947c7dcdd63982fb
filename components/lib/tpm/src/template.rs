//! Public templates of the keys that Holdfast uses.

use tss_esapi::Result;
use tss_esapi::abstraction::ek;
use tss_esapi::attributes::{ObjectAttributes, ObjectAttributesBuilder};
use tss_esapi::interface_types::algorithm::PublicAlgorithm;
use tss_esapi::interface_types::algorithm::{AsymmetricAlgorithm, HashingAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::structures::{
    Digest, EccPoint, EccScheme, HashScheme, KeyDerivationFunctionScheme, KeyedHashScheme, Public,
    PublicBuilder, PublicEccParametersBuilder, PublicKeyRsa, PublicKeyedHashParameters,
    PublicRsaParametersBuilder, RsaExponent, RsaScheme, SymmetricDefinitionObject,
};

use crate::SignatureMode;

/// Keys born in this TPM that never leave it. `noDA` is set on all of them: they have no password
/// to guess, and using a key that counts for dictionary attacks before a power cut costs a try of
/// the lockout counter (TPM 2.0 part 1, section 19.8.6), so that a few power cuts would lock it.
fn bound() -> ObjectAttributesBuilder {
    ObjectAttributesBuilder::new().with_fixed_tpm(true).with_fixed_parent(true).with_no_da(true)
}

fn born_here() -> ObjectAttributesBuilder {
    bound().with_sensitive_data_origin(true).with_user_with_auth(true)
}

/// Storage root key: ECC P-256 as in the TCG TPM v2.0 Provisioning Guidance, section 7.5.1.
pub(crate) fn srk() -> Result<Public> {
    let attributes = born_here().with_restricted(true).with_decrypt(true).build()?;
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(
            PublicEccParametersBuilder::new_restricted_decryption_key(
                SymmetricDefinitionObject::AES_128_CFB,
                EccCurve::NistP256,
            )
            .build()?,
        )
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
}

/// Endorsement key: template L-1 (RSA-2048) of the TCG EK Credential Profile.
pub(crate) fn ek() -> Result<Public> {
    ek::create_ek_public_from_default_template(AsymmetricAlgorithm::Rsa, None)
}

/// Attestation key: ECC P-256, signs only what the TPM itself made.
pub(crate) fn ak() -> Result<Public> {
    ecdsa(born_here().with_restricted(true).with_sign_encrypt(true).build()?, true)
}

/// ECC P-256 signing key for digests made outside.
pub(crate) fn ecdsa_signing() -> Result<Public> {
    ecdsa(born_here().with_sign_encrypt(true).build()?, false)
}

fn ecdsa(attributes: ObjectAttributes, restricted: bool) -> Result<Public> {
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(
            PublicEccParametersBuilder::new()
                .with_ecc_scheme(EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256)))
                .with_curve(EccCurve::NistP256)
                .with_is_signing_key(true)
                .with_is_decryption_key(false)
                .with_restricted(restricted)
                .with_key_derivation_function_scheme(KeyDerivationFunctionScheme::Null)
                .build()?,
        )
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
}

/// RSA-2048 key for TLS. The scheme stays open (NULL), so that TLS 1.2 may ask for PKCS #1.
pub(crate) fn device_key(mode: SignatureMode) -> Result<Public> {
    let decrypts = mode == SignatureMode::SoftwarePss;
    let attributes = born_here().with_sign_encrypt(true).with_decrypt(decrypts).build()?;
    rsa(attributes, decrypts, PublicKeyRsa::default())
}

/// The RSA public key that signs boot policies, as an object to verify with. systemd loads it with
/// the same attributes, so that its Name, and with it the policy digest, is the same.
pub(crate) fn policy_signer(modulus: &[u8]) -> Result<Public> {
    let attributes = ObjectAttributesBuilder::new()
        .with_user_with_auth(true)
        .with_sign_encrypt(true)
        .with_decrypt(true)
        .build()?;
    let bits = match modulus.len() {
        256 => RsaKeyBits::Rsa2048,
        384 => RsaKeyBits::Rsa3072,
        _ => RsaKeyBits::Rsa4096,
    };
    rsa_sized(attributes, true, bits, PublicKeyRsa::try_from(modulus)?)
}

fn rsa(attributes: ObjectAttributes, decrypts: bool, unique: PublicKeyRsa) -> Result<Public> {
    rsa_sized(attributes, decrypts, RsaKeyBits::Rsa2048, unique)
}

fn rsa_sized(
    attributes: ObjectAttributes,
    decrypts: bool,
    bits: RsaKeyBits,
    unique: PublicKeyRsa,
) -> Result<Public> {
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Rsa)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_rsa_parameters(
            PublicRsaParametersBuilder::new()
                .with_scheme(RsaScheme::Null)
                .with_key_bits(bits)
                .with_exponent(RsaExponent::default())
                .with_is_signing_key(true)
                .with_is_decryption_key(decrypts)
                .with_restricted(false)
                .build()?,
        )
        .with_rsa_unique_identifier(unique)
        .build()
}

/// A sealed secret: opens by policy only.
pub(crate) fn sealed(policy: &[u8; 32]) -> Result<Public> {
    keyed_hash(bound().build()?, KeyedHashScheme::Null, policy)
}

/// An HMAC key that only its policy lets one use.
pub(crate) fn boot_bound_hmac(policy: &[u8; 32]) -> Result<Public> {
    let attributes = bound().with_sensitive_data_origin(true).with_sign_encrypt(true).build()?;
    keyed_hash(attributes, KeyedHashScheme::HMAC_SHA_256, policy)
}

fn keyed_hash(
    attributes: ObjectAttributes,
    scheme: KeyedHashScheme,
    policy: &[u8; 32],
) -> Result<Public> {
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::KeyedHash)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_auth_policy(Digest::try_from(policy.as_slice())?)
        .with_keyed_hash_parameters(PublicKeyedHashParameters::new(scheme))
        .with_keyed_hash_unique_identifier(Digest::default())
        .build()
}
