//! Keys on a software TPM: made, stored, loaded, used.

use holdfast_tpm::swtpm::Swtpm;
use holdfast_tpm::{SignatureMode, SignatureScheme};
use ring::signature as verify;
use sha2::{Digest, Sha256};

mod support;
use support::{ec_point, rsa_key};

const MESSAGE: &[u8] = b"hold fast";

#[test]
fn device_key_signs_for_tls_in_both_modes() {
    let swtpm = Swtpm::blank().unwrap();
    let tpm = swtpm.open().unwrap();
    let digest = Sha256::digest(MESSAGE).into();
    for mode in [SignatureMode::TpmPss, SignatureMode::SoftwarePss] {
        let blob = tpm.create_device_key(Some(mode)).unwrap();
        assert_eq!(blob.signature_mode().unwrap(), Some(mode));
        let key = tpm.load(&blob).unwrap();
        let public = rsa_key(blob.public());
        for (scheme, check) in [
            (SignatureScheme::RsaPssSha256, &verify::RSA_PSS_2048_8192_SHA256),
            (SignatureScheme::RsaPkcs1Sha256, &verify::RSA_PKCS1_2048_8192_SHA256),
        ] {
            let signature = tpm.sign(&key, scheme, &digest).unwrap();
            let components = verify::RsaPublicKeyComponents { n: &public.n, e: &public.e };
            components.verify(check, MESSAGE, &signature).unwrap_or_else(|_| {
                panic!("{mode} {scheme}: the signature does not verify");
            });
            components.verify(check, b"something else", &signature).unwrap_err();
        }
        tpm.sign(&key, SignatureScheme::EcdsaSha256, &digest).unwrap_err();
    }
}
