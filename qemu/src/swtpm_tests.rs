use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use super::{EkInfo, LocalCa, Swtpm};
use crate::Toolchain;
use crate::process::find_program;

/// A toolchain of which only the software TPM is used.
fn toolchain() -> Option<Toolchain> {
    let [swtpm, swtpm_setup, swtpm_localca] =
        ["swtpm", "swtpm_setup", "swtpm_localca"].map(find_program);
    let (Some(swtpm), Some(swtpm_setup), Some(swtpm_localca)) = (swtpm, swtpm_setup, swtpm_localca)
    else {
        crate::testing::left_out("swtpm (packages swtpm, swtpm-tools) is not on this machine");
        return None;
    };
    Some(Toolchain {
        qemu_command: Vec::new(),
        qemu_env: Vec::new(),
        ovmf_code: PathBuf::new(),
        ovmf_vars_template: PathBuf::new(),
        virt_fw_vars: Vec::new(),
        swtpm,
        swtpm_setup,
        swtpm_localca,
    })
}

#[test]
fn every_tpm_has_an_endorsement_key_of_its_own_and_a_copy_has_the_same() {
    let Some(toolchain) = toolchain() else { return };
    let folder = tempfile::tempdir().unwrap();
    let ca = LocalCa::at(&folder.path().join("ca")).unwrap();
    let at = |name: &str| folder.path().join(name);
    let first = Swtpm::manufacture(&toolchain, &ca, &at("first")).unwrap();
    let second = Swtpm::manufacture(&toolchain, &ca, &at("second")).unwrap();
    let ek = first.ek().unwrap();
    assert_eq!(ek.ek_sha256.len(), 64);
    assert_ne!(ek, second.ek().unwrap());
    assert_eq!(ek, first.duplicate(&at("copy")).unwrap().ek().unwrap());
    assert_eq!(ek, Swtpm::open(&at("first")).unwrap().ek().unwrap());
    for certificate in ca.certificates() {
        let text = std::fs::read_to_string(&certificate).unwrap();
        assert!(text.contains("BEGIN CERTIFICATE"), "{}", certificate.display());
    }
    let error = Swtpm::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("no software TPM"), "{error}");
    openssl_agrees(&ek);
}

/// A second opinion on the digest.
fn openssl_agrees(ek: &EkInfo) {
    if find_program("openssl").is_none() {
        crate::testing::left_out("openssl is not on this machine");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ek.crt");
    std::fs::write(&path, &ek.certificate).unwrap();
    let command = "openssl x509 -inform der -in \"$1\" -noout -pubkey \
                   | openssl pkey -pubin -outform der | openssl dgst -sha256 -r";
    let output = std::process::Command::new("sh").args(["-c", command, "sh"]).arg(&path).output();
    let output = String::from_utf8(output.unwrap().stdout).unwrap();
    assert_eq!(output.split(' ').next(), Some(ek.ek_sha256.as_str()));
}

#[test]
fn a_certificate_padded_to_the_size_of_its_nv_index_is_read() {
    let Some(toolchain) = toolchain() else { return };
    let folder = tempfile::tempdir().unwrap();
    let ca = LocalCa::at(&folder.path().join("ca")).unwrap();
    let tpm = Swtpm::manufacture(&toolchain, &ca, &folder.path().join("tpm")).unwrap();
    let ek = tpm.ek().unwrap();
    let mut padded = ek.certificate.clone();
    padded.extend([0xFF; 100]);
    assert_eq!(EkInfo::from_certificate(padded).unwrap().ek_sha256, ek.ek_sha256);
    assert!(EkInfo::from_certificate(b"no certificate".to_vec()).is_err());
}

/// `TPM2_GetRandom(8)` over TCP, as the TCTI of tpm2-tss sends it.
fn random_bytes(port: u16) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(&[0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7b, 0, 8]).unwrap();
    let mut response = [0; 20];
    stream.read_exact(&mut response).unwrap();
    assert_eq!(response[..12], [0x80, 0x01, 0, 0, 0, 20, 0, 0, 0, 0, 0, 8]);
    response[12..].to_vec()
}

#[test]
fn a_tpm_on_tcp_answers_again_and_again_and_ends_with_its_owner() {
    let Some(toolchain) = toolchain() else { return };
    let folder = tempfile::tempdir().unwrap();
    let ca = LocalCa::at(&folder.path().join("ca")).unwrap();
    let tpm = Swtpm::manufacture(&toolchain, &ca, &folder.path().join("tpm")).unwrap();
    let log = folder.path().join("log");
    // Ports for two TPMs that are free now.
    let port = (20_000..30_000)
        .step_by(4)
        .find(|port| (*port..=port + 3).all(|p| TcpListener::bind(("127.0.0.1", p)).is_ok()))
        .unwrap();
    let process = tpm.start_tcp(&toolchain, port, &log).unwrap();
    assert_ne!(random_bytes(port), random_bytes(port));
    let error = tpm.start_tcp(&toolchain, port + 2, &log).unwrap_err().to_string();
    assert!(error.contains("swtpm socket --tpm2"), "{error}");
    let pid = process.pid();
    drop(process);
    assert!(!PathBuf::from(format!("/proc/{pid}")).exists());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}
