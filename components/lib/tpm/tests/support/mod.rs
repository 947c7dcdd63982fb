//! What several tests need: public keys and signatures for a verifier that is not the TPM.
#![allow(dead_code)] // each test file uses its part

use std::path::Path;
use std::process::Command;

use holdfast_attestation::tpm::{Parameters, Public, Signature};
use holdfast_tpm::Statement;
use ring::signature as verify;

/// Modulus and exponent of an RSA key.
pub struct RsaKey {
    pub n: Vec<u8>,
    pub e: Vec<u8>,
}

pub fn rsa_key(public: &[u8]) -> RsaKey {
    match Public::parse(public).unwrap().parameters {
        Parameters::Rsa { modulus, exponent: 0, .. } => {
            RsaKey { n: modulus.to_vec(), e: vec![1, 0, 1] }
        }
        other => panic!("not an RSA key with the default exponent: {other:?}"),
    }
}

/// Uncompressed point of a P-256 key.
pub fn ec_point(public: &[u8]) -> Vec<u8> {
    match Public::parse(public).unwrap().parameters {
        Parameters::Ecc { x, y, .. } => [vec![4], fixed(&x), fixed(&y)].concat(),
        other => panic!("not an elliptic curve key: {other:?}"),
    }
}

fn fixed(number: &[u8]) -> Vec<u8> {
    [vec![0; 32 - number.len()], number.to_vec()].concat()
}

pub fn statement_verifies(ak_public: &[u8], statement: &Statement) -> bool {
    let Signature::Ecdsa { r, s, .. } = Signature::parse(&statement.signature).unwrap() else {
        panic!("not an ECDSA signature")
    };
    let signature = [fixed(&r), fixed(&s)].concat();
    verify::UnparsedPublicKey::new(&verify::ECDSA_P256_SHA256_FIXED, ec_point(ak_public))
        .verify(&statement.attest, &signature)
        .is_ok()
}

/// Runs a program in `folder`; its output, or a panic with what it complained about.
pub fn run(folder: &Path, tcti: Option<&str>, command: &str) -> Vec<u8> {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap();
    let mut child = Command::new(program);
    child.args(words).current_dir(folder).env("TSS2_LOG", "all+NONE");
    if let Some(tcti) = tcti {
        child.env("TPM2TOOLS_TCTI", tcti).env("TPM2OPENSSL_TCTI", tcti);
    }
    let done = child.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let complaint = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command}: {complaint}");
    done.stdout
}
