//! Credentials, opened with a software EK. The opening is done by the openssl program, so that
//! nothing of the making is used to check it; a real TPM opens them in the tests of `holdfast-tpm`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;

use holdfast_attestation::credential::{CredentialError, make_credential};
use holdfast_attestation::hash::HashAlgorithm;
use holdfast_attestation::tpm::{
    Bounded, Name, ObjectAttributes, Parameters, Public, RsaScheme, Symmetric, SymmetricMode,
};
use rand_core::OsRng;
use tempfile::TempDir;

/// An EK whose private part is a file.
struct SoftwareEk {
    folder: TempDir,
    modulus: Vec<u8>,
}

fn openssl(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}: {output:?}");
    output.stdout
}

impl SoftwareEk {
    fn new(bits: u16) -> Self {
        let folder = TempDir::new().unwrap();
        let pkey = format!("rsa_keygen_bits:{bits}");
        openssl(folder.path(), &["genpkey", "-algorithm", "RSA", "-pkeyopt", &pkey, "-out", "ek"]);
        let text = openssl(folder.path(), &["rsa", "-in", "ek", "-noout", "-modulus"]);
        let text = String::from_utf8(text).unwrap();
        let modulus = hex::decode(text.trim().strip_prefix("Modulus=").unwrap()).unwrap();
        Self { folder, modulus }
    }

    fn public(&self, hash: HashAlgorithm, aes_bits: u16) -> Public {
        Public {
            name_algorithm: hash,
            attributes: ObjectAttributes::RESTRICTED
                | ObjectAttributes::DECRYPT
                | ObjectAttributes::FIXED_TPM
                | ObjectAttributes::FIXED_PARENT
                | ObjectAttributes::SENSITIVE_DATA_ORIGIN,
            auth_policy: Bounded::default(),
            parameters: Parameters::Rsa {
                symmetric: Symmetric::Aes { key_bits: aes_bits, mode: SymmetricMode::Cfb },
                scheme: RsaScheme::Null,
                key_bits: u16::try_from(self.modulus.len() * 8).unwrap(),
                exponent: 0,
                modulus: Bounded::new(&self.modulus).unwrap(),
            },
        }
    }

    fn decrypt_seed(&self, hash: &str, encrypted: &[u8]) -> Vec<u8> {
        std::fs::write(self.folder.path().join("encrypted"), encrypted).unwrap();
        let options = [
            "rsa_padding_mode:oaep".to_owned(),
            format!("rsa_oaep_md:{hash}"),
            format!("rsa_mgf1_md:{hash}"),
            format!("rsa_oaep_label:{}", hex::encode("IDENTITY\0")),
        ];
        let mut arguments = vec!["pkeyutl", "-decrypt", "-inkey", "ek", "-in", "encrypted"];
        for option in &options {
            arguments.extend(["-pkeyopt", option]);
        }
        openssl(self.folder.path(), &arguments)
    }

    /// KBKDF of SP 800-108 in counter mode is the TPM's `KDFa`.
    fn kdf(&self, hash: &str, key: &[u8], label: &str, context: &[u8], bytes: usize) -> Vec<u8> {
        let mut arguments =
            vec!["kdf".to_owned(), "-keylen".to_owned(), bytes.to_string(), "-binary".to_owned()];
        let mut options = vec![
            "mac:HMAC".to_owned(),
            format!("digest:{hash}"),
            format!("hexkey:{}", hex::encode(key)),
            format!("salt:{label}"),
        ];
        if !context.is_empty() {
            options.push(format!("hexinfo:{}", hex::encode(context)));
        }
        for option in options {
            arguments.extend(["-kdfopt".to_owned(), option]);
        }
        arguments.push("KBKDF".to_owned());
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        openssl(self.folder.path(), &arguments)
    }

    fn hmac(&self, hash: &str, key: &[u8], message: &[u8]) -> Vec<u8> {
        std::fs::write(self.folder.path().join("message"), message).unwrap();
        let key = format!("hexkey:{}", hex::encode(key));
        let digest = format!("digest:{hash}");
        let arguments =
            ["mac", "-binary", "-macopt", &digest, "-macopt", &key, "-in", "message", "HMAC"];
        openssl(self.folder.path(), &arguments)
    }

    fn decrypt_cfb(&self, cipher: &str, key: &[u8], data: &[u8]) -> Vec<u8> {
        std::fs::write(self.folder.path().join("data"), data).unwrap();
        let (key, iv) = (hex::encode(key), "0".repeat(32));
        openssl(
            self.folder.path(),
            &["enc", "-d", cipher, "-K", &key, "-iv", &iv, "-nopad", "-in", "data"],
        )
    }
}

fn ak_name() -> Name {
    Name::of_public_area(HashAlgorithm::Sha256, b"a public area")
}

/// The first `TPM2B` of a buffer, and what follows it.
fn split_sized(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = bytes.split_first_chunk::<2>().unwrap();
    rest.split_at(u16::from_be_bytes(*length).into())
}

#[test]
fn openssl_opens_the_credential() {
    for (rsa_bits, hash, hash_name, aes_bits, cipher) in [
        (2048, HashAlgorithm::Sha256, "SHA256", 128, "-aes-128-cfb"),
        (3072, HashAlgorithm::Sha384, "SHA384", 256, "-aes-256-cfb"),
    ] {
        let ek = SoftwareEk::new(rsa_bits);
        for secret in [b"0123456789abcdef0123456789abcdef".as_slice(), b"x", b""] {
            let public = ek.public(hash, aes_bits);
            let blob = make_credential(&public, &ak_name(), secret, &mut OsRng).unwrap();
            let seed = ek.decrypt_seed(hash_name, &blob.encrypted_secret);
            assert_eq!(seed.len(), hash.size());
            let (integrity, encrypted_identity) = split_sized(&blob.id_object);
            let name = ak_name();
            let hmac_key = ek.kdf(hash_name, &seed, "INTEGRITY", &[], hash.size());
            let message = [encrypted_identity, name.as_bytes()].concat();
            assert_eq!(integrity, ek.hmac(hash_name, &hmac_key, &message));
            let key_bytes = usize::from(aes_bits / 8);
            let key = ek.kdf(hash_name, &seed, "STORAGE", name.as_bytes(), key_bytes);
            let identity = ek.decrypt_cfb(cipher, &key, encrypted_identity);
            assert_eq!(split_sized(&identity), (secret, [].as_slice()));
        }
    }
}

#[test]
fn two_credentials_share_nothing() {
    let ek = SoftwareEk::new(2048).public(HashAlgorithm::Sha256, 128);
    let first = make_credential(&ek, &ak_name(), &[1; 32], &mut OsRng).unwrap();
    let second = make_credential(&ek, &ak_name(), &[1; 32], &mut OsRng).unwrap();
    assert_ne!(first.encrypted_secret, second.encrypted_secret);
    assert_ne!(first.id_object, second.id_object);
}

#[test]
fn keys_that_are_no_ek_are_refused() {
    let software = SoftwareEk::new(2048);
    let ek = software.public(HashAlgorithm::Sha256, 128);
    let make = |ek: &Public, secret: &[u8]| {
        make_credential(ek, &ak_name(), secret, &mut OsRng).unwrap_err()
    };

    let mut unrestricted = ek.clone();
    unrestricted.attributes = ek.attributes.without(ObjectAttributes::RESTRICTED);
    assert!(matches!(make(&unrestricted, b"s"), CredentialError::NotRestrictedDecryption(_)));

    let mut without_cipher = ek.clone();
    if let Parameters::Rsa { symmetric, .. } = &mut without_cipher.parameters {
        *symmetric = Symmetric::Null;
    }
    assert_eq!(make(&without_cipher, b"s"), CredentialError::UnsupportedKind);

    for modulus in [vec![0; 256], vec![0xfe; 256], vec![0xff; 255], vec![]] {
        let mut broken = ek.clone();
        if let Parameters::Rsa { modulus: field, .. } = &mut broken.parameters {
            *field = Bounded::new(&modulus).unwrap();
        }
        assert!(matches!(make(&broken, b"s"), CredentialError::Key(_)), "{:x?}", modulus.first());
    }

    assert_eq!(make(&ek, &[0; 33]), CredentialError::SecretLength(33));
}
