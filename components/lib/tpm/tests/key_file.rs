//! The key file, read back and opened by foreign programs.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

use std::fs;
use std::path::Path;

use holdfast_attestation::tpm::Public;
use holdfast_tpm::swtpm::Swtpm;
use holdfast_tpm::{KeyBlob, SignatureMode, SignatureScheme};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

mod support;
use support::{rsa_key, run};

fn device_key(swtpm: &Swtpm) -> KeyBlob {
    swtpm.open().unwrap().create_device_key(Some(SignatureMode::TpmPss)).unwrap()
}

#[test]
fn key_file_reads_back() {
    let swtpm = Swtpm::blank().unwrap();
    let tpm = swtpm.open().unwrap();
    for blob in [tpm.create_ak().unwrap(), tpm.create_device_key(None).unwrap()] {
        let pem = blob.to_pem().unwrap();
        assert!(pem.starts_with("-----BEGIN TSS2 PRIVATE KEY-----\n"), "{pem}");
        assert_eq!(KeyBlob::from_pem(&pem).unwrap(), blob);
        assert_eq!(KeyBlob::from_bytes(&blob.to_bytes().unwrap()).unwrap(), blob);
    }
}

#[test]
fn openssl_signs_with_the_key_file() {
    if !has_openssl_provider() {
        eprintln!("skipped: OpenSSL has no provider \"tpm2\" (package tpm2-openssl)");
        return;
    }
    let swtpm = Swtpm::blank().unwrap();
    let blob = device_key(&swtpm);
    let folder = TempDir::new().unwrap();
    let file = |name: &str| folder.path().join(name);
    fs::write(file("device.tss"), blob.to_pem().unwrap()).unwrap();
    fs::write(file("message"), "hold fast").unwrap();
    let tcti = swtpm.tcti();
    let openssl = |command: &str| run(folder.path(), Some(&tcti), command);

    let ours = Public::parse(blob.public()).unwrap().to_spki_der().unwrap();
    let public =
        "openssl pkey -provider tpm2 -provider default -in device.tss -pubout -outform der";
    assert_eq!(openssl(public), ours);
    openssl(
        "openssl pkeyutl -provider tpm2 -provider default -propquery ?provider=tpm2 -sign \
         -inkey device.tss -rawin -digest sha256 -in message -out signature",
    );
    let key = rsa_key(blob.public());
    ring::signature::RsaPublicKeyComponents { n: &key.n, e: &key.e }
        .verify(
            &ring::signature::RSA_PKCS1_2048_8192_SHA256,
            b"hold fast",
            &fs::read(file("signature")).unwrap(),
        )
        .unwrap();
}

#[test]
fn key_file_of_openssl_is_usable_here() {
    if !has_openssl_provider() {
        eprintln!("skipped: OpenSSL has no provider \"tpm2\" (package tpm2-openssl)");
        return;
    }
    let swtpm = Swtpm::blank().unwrap();
    let folder = TempDir::new().unwrap();
    let generate = "openssl genpkey -provider tpm2 -algorithm RSA -pkeyopt bits:2048 -out rsa.tss";
    run(folder.path(), Some(&swtpm.tcti()), generate);
    let blob = KeyBlob::from_pem(&fs::read_to_string(folder.path().join("rsa.tss")).unwrap());
    let tpm = swtpm.open().unwrap();
    let key = tpm.load(&blob.unwrap()).unwrap();
    let digest = Sha256::digest(b"hold fast").into();
    tpm.sign(&key, SignatureScheme::RsaPkcs1Sha256, &digest).unwrap();
}

#[test]
fn tpm2_tools_load_the_parts() {
    let swtpm = Swtpm::blank().unwrap();
    let blob = device_key(&swtpm);
    let folder = TempDir::new().unwrap();
    let bytes = blob.to_bytes().unwrap();
    let public_length = 2 + blob.public().len();
    fs::write(folder.path().join("public"), &bytes[..public_length]).unwrap();
    fs::write(folder.path().join("private"), &bytes[public_length..]).unwrap();
    let tcti = swtpm.tcti();
    for step in [
        "tpm2_createprimary -C o -G ecc -c srk -a \
         fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|decrypt|noda",
        "tpm2_flushcontext -t",
        "tpm2_load -C srk -u public -r private -c key -n name",
    ] {
        run(folder.path(), Some(&tcti), step);
    }
    assert_eq!(fs::read(folder.path().join("name")).unwrap(), blob.name().as_bytes());
}

#[test]
fn malformed_key_files_are_refused() {
    let swtpm = Swtpm::blank().unwrap();
    let pem = swtpm.open().unwrap().create_ak().unwrap().to_pem().unwrap();
    let (_, der) = der::pem::decode_vec(pem.as_bytes()).unwrap();
    let with = |offset: usize, byte: u8| {
        let mut changed = der.clone();
        changed[offset] = byte;
        der::pem::encode_string("TSS2 PRIVATE KEY", der::pem::LineEnding::LF, &changed).unwrap()
    };
    // SEQUENCE header of 3 bytes, OID of 8, [0] { BOOLEAN } of 5, INTEGER header of 2.
    let cases = [
        ("empty", String::new(), "PEM"),
        ("a plain key", pem.replace("TSS2 PRIVATE KEY", "PRIVATE KEY"), "it is a PRIVATE KEY PEM"),
        ("cut", pem.lines().take(3).collect(), "PEM"),
        ("importable key", with(10, 4), "key type 2.23.133.10.1.4"),
        ("with password", with(15, 0), "password"),
        ("another parent", with(21, 0xb), "parent 0x4000000b"),
    ];
    for (what, text, expected) in cases {
        let error = KeyBlob::from_pem(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
}

fn has_openssl_provider() -> bool {
    let list = std::process::Command::new("openssl")
        .args(["list", "-providers", "-provider", "tpm2"])
        .current_dir(Path::new("/"))
        .output()
        .unwrap();
    list.status.success()
}
