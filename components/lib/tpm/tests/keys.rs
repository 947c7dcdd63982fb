//! Keys on a software TPM: made, stored, loaded, used.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

use holdfast_attestation::tpm::{ObjectAttributes as A, Public};
use holdfast_tpm::swtpm::Swtpm;
use holdfast_tpm::{KeyBlob, SignatureMode, SignatureScheme, TpmError};
use ring::signature as verify;
use sha2::{Digest, Sha256};

mod support;
use support::{ec_point, rsa_key};

const MESSAGE: &[u8] = b"hold fast";

fn digest() -> [u8; 32] {
    Sha256::digest(MESSAGE).into()
}

#[test]
fn device_key_signs_for_tls_in_both_modes() {
    let swtpm = Swtpm::blank().unwrap();
    let tpm = swtpm.open().unwrap();
    for mode in [SignatureMode::TpmPss, SignatureMode::SoftwarePss] {
        let blob = tpm.create_device_key(Some(mode)).unwrap();
        assert_eq!(blob.signature_mode().unwrap(), Some(mode));
        let key = tpm.load(&blob).unwrap();
        let public = rsa_key(blob.public());
        for (scheme, check) in [
            (SignatureScheme::RsaPssSha256, &verify::RSA_PSS_2048_8192_SHA256),
            (SignatureScheme::RsaPkcs1Sha256, &verify::RSA_PKCS1_2048_8192_SHA256),
        ] {
            let signature = tpm.sign(&key, scheme, &digest()).unwrap();
            let components = verify::RsaPublicKeyComponents { n: &public.n, e: &public.e };
            components
                .verify(check, MESSAGE, &signature)
                .unwrap_or_else(|_| panic!("{mode} {scheme}: the signature does not verify"));
            components.verify(check, b"something else", &signature).unwrap_err();
        }
        tpm.sign(&key, SignatureScheme::EcdsaSha256, &digest()).unwrap_err();
    }
}

#[test]
fn self_test_lets_a_current_tpm_pad() {
    let swtpm = Swtpm::blank().unwrap();
    let blob = swtpm.open().unwrap().create_device_key(None).unwrap();
    assert_eq!(blob.signature_mode().unwrap(), Some(SignatureMode::TpmPss));
}

#[test]
fn ecdsa_key_signs() {
    let swtpm = Swtpm::blank().unwrap();
    let tpm = swtpm.open().unwrap();
    let blob = tpm.create_ecdsa_key().unwrap();
    assert_eq!(blob.signature_mode().unwrap(), None);
    let key = tpm.load(&blob).unwrap();
    let public =
        verify::UnparsedPublicKey::new(&verify::ECDSA_P256_SHA256_ASN1, ec_point(blob.public()));
    // Enough that some number starts with a zero byte or a high bit.
    for number in 0..20_u8 {
        let digest = Sha256::digest([number]).into();
        let signature = tpm.sign(&key, SignatureScheme::EcdsaSha256, &digest).unwrap();
        public.verify(&[number], &signature).unwrap();
    }
}

#[test]
fn attestation_key_does_not_sign_what_comes_from_outside() {
    let swtpm = Swtpm::blank().unwrap();
    let tpm = swtpm.open().unwrap();
    let key = tpm.load(&tpm.create_ak().unwrap()).unwrap();
    let error = tpm.sign(&key, SignatureScheme::EcdsaSha256, &digest()).unwrap_err();
    assert!(error.to_string().starts_with("Sign on key: "), "{error}");
}

#[test]
fn keys_have_the_attributes_that_the_server_asks_for() {
    let swtpm = Swtpm::blank().unwrap();
    let tpm = swtpm.open().unwrap();
    let bound = A::FIXED_TPM | A::FIXED_PARENT | A::SENSITIVE_DATA_ORIGIN;
    let usual = bound | A::USER_WITH_AUTH | A::NO_DA | A::SIGN;
    let device = |mode| tpm.create_device_key(Some(mode)).unwrap();
    let cases = [
        ("attestation key", tpm.create_ak().unwrap(), usual | A::RESTRICTED),
        ("signing key", tpm.create_ecdsa_key().unwrap(), usual),
        ("device key", device(SignatureMode::TpmPss), usual),
        ("device key for software padding", device(SignatureMode::SoftwarePss), usual | A::DECRYPT),
    ];
    for (what, blob, expected) in cases {
        assert_eq!(Public::parse(blob.public()).unwrap().attributes, expected, "{what}");
    }
}

#[test]
fn key_survives_power_cycles_and_keeps_its_name() {
    let mut swtpm = Swtpm::blank().unwrap();
    let blob = swtpm.open().unwrap().create_device_key(None).unwrap();
    // More than the tries of a TPM's lockout counter: a power cut must not use one up.
    for _ in 0..35 {
        swtpm.power_cycle().unwrap();
        let tpm = swtpm.open().unwrap();
        let key = tpm.load(&blob).unwrap();
        assert_eq!(*key.name(), blob.name());
        tpm.sign(&key, SignatureScheme::RsaPssSha256, &digest()).unwrap();
    }
}

#[test]
fn key_is_useless_on_another_tpm() {
    let (home, abroad) = (Swtpm::blank().unwrap(), Swtpm::blank().unwrap());
    let blob = home.open().unwrap().create_ak().unwrap();
    let error = abroad.open().unwrap().load(&blob).unwrap_err();
    assert!(error.to_string().starts_with("Load on key: "), "{error}");
}

#[test]
fn storage_root_key_is_the_same_at_each_derivation() {
    let mut swtpm = Swtpm::blank().unwrap();
    let name = |swtpm: &Swtpm| swtpm.open().unwrap().srk().unwrap().name().clone();
    let first = name(&swtpm);
    assert_eq!(name(&swtpm), first);
    swtpm.power_cycle().unwrap();
    assert_eq!(name(&swtpm), first);
}

#[test]
fn dropped_keys_free_their_slots() {
    let swtpm = Swtpm::blank().unwrap();
    let tpm = swtpm.open().unwrap();
    let blob = tpm.create_ak().unwrap();
    for _ in 0..10 {
        let _ak = tpm.load(&blob).unwrap();
        let _another = tpm.load(&blob).unwrap();
    }
}

#[test]
fn says_that_the_tpm_is_full() {
    let swtpm = Swtpm::blank().unwrap();
    let tpm = swtpm.open().unwrap();
    let _slots = [tpm.srk().unwrap(), tpm.srk().unwrap(), tpm.srk().unwrap()];
    let error = tpm.srk().unwrap_err();
    assert!(matches!(error, TpmError::OutOfSlots { slot: "object", .. }), "{error}");
    assert!(error.to_string().contains("/dev/tpmrm0"), "{error}");
}

#[test]
fn refuses_malformed_blobs() {
    let swtpm = Swtpm::blank().unwrap();
    let blob = swtpm.open().unwrap().create_ak().unwrap();
    let (public, private) = (blob.public().to_vec(), blob.private().to_vec());
    assert_eq!(KeyBlob::new(public.clone(), private.clone()).unwrap(), blob);
    let cases = [
        ("empty public", vec![], private.clone()),
        ("short public", public[..public.len() - 1].to_vec(), private.clone()),
        ("long public", [&public[..], &[0]].concat(), private.clone()),
        ("huge private", public, vec![0; 10_000]),
    ];
    for (what, public, private) in cases {
        let error = KeyBlob::new(public, private).unwrap_err();
        assert!(matches!(error, TpmError::Malformed { .. }), "{what}: {error}");
    }
}

#[test]
fn says_where_no_tpm_answers() {
    for tcti in ["swtpm:host=127.0.0.1,port=1", "device:/nonexistent/tpm0", "nonsense"] {
        let error = holdfast_tpm::Tpm::open(tcti).unwrap_err().to_string();
        assert!(error.contains(tcti), "{error}");
    }
}
