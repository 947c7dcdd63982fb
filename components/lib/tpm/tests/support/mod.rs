//! What several tests need: public keys and signatures for a verifier that is not the TPM.
#![allow(dead_code)] // each test file uses its part

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use holdfast_attestation::tpm::{Parameters, Public, Signature};
use holdfast_tpm::{BootPolicy, Statement};
use ring::signature as verify;
use sha2::{Digest, Sha256};

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
    try_run(folder, tcti, command).unwrap_or_else(|complaint| panic!("{command}: {complaint}"))
}

/// Runs a program in `folder`; its output, or what it complained about.
pub fn try_run(folder: &Path, tcti: Option<&str>, command: &str) -> Result<Vec<u8>, String> {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap();
    let mut child = Command::new(program);
    child.args(words).current_dir(folder).env("TSS2_LOG", "all+NONE");
    if let Some(tcti) = tcti {
        child.env("TPM2TOOLS_TCTI", tcti).env("TPM2OPENSSL_TCTI", tcti);
    }
    let done = child.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    if done.status.success() {
        Ok(done.stdout)
    } else {
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }
}

/// A PCR signing key, and signatures made with it in the way of systemd-measure: by OpenSSL, over
/// a policy digest that tpm2-tools computed.
pub struct PcrKey {
    folder: tempfile::TempDir,
    entries: Vec<serde_json::Value>,
}

impl PcrKey {
    pub fn new() -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        let generate = "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem";
        run(folder.path(), None, generate);
        run(folder.path(), None, "openssl pkey -in key.pem -pubout -out public.pem");
        Self { folder, entries: Vec::new() }
    }

    /// Signs "PCR 11 has the value that it has in this TPM now".
    pub fn sign(&mut self, tcti: &str) {
        let folder = self.folder.path();
        run(folder, Some(tcti), "tpm2_createpolicy --policy-pcr -l sha256:11 -L policy");
        run(folder, None, "openssl dgst -sha256 -sign key.pem -out signature policy");
        let pkcs1 = "openssl rsa -pubin -in public.pem -RSAPublicKey_out -outform der -out pkcs1";
        run(folder, None, pkcs1);
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        self.entries.push(serde_json::json!({
            "pcrs": [11],
            "pkfp": hex::encode(Sha256::digest(read("pkcs1"))),
            "pol": hex::encode(read("policy")),
            "sig": BASE64.encode(read("signature")),
        }));
    }

    pub fn json(&self) -> String {
        serde_json::json!({ "sha256": self.entries }).to_string()
    }

    pub fn pem(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("public.pem")).unwrap()
    }

    pub fn policy(&self) -> BootPolicy {
        BootPolicy::load(&self.json(), &self.pem()).unwrap()
    }
}
