//! The certificates, as OpenSSL sees them.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustls_pki_types::CertificateDer;
use tempfile::TempDir;

use crate::support::Fixture;
use crate::support::device::{Device, Tpm as _};
use crate::support::software::SoftwareTpm;

fn write(folder: &TempDir, name: &str, der: &CertificateDer<'_>) -> PathBuf {
    let path = folder.path().join(name);
    let pem = der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, der);
    std::fs::write(&path, pem.unwrap()).unwrap();
    path
}

fn openssl(arguments: &[&str], files: &[&Path]) -> (bool, String) {
    let output = Command::new("openssl").args(arguments).args(files).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn a_leaf_is_a_client_certificate_of_exactly_this_device() {
    let fixture = Fixture::start().await;
    fixture.publish_release().await;
    let device = Device::new("SN_0001", SoftwareTpm::new(&fixture.site));
    let registered = fixture.register("SN_0001", device.tpm.ek_sha256()).await;
    let id = registered["id"].as_str().unwrap();
    let chain = device.enrol(&fixture.server).await;

    let folder = tempfile::tempdir().unwrap();
    let leaf = write(&folder, "leaf.pem", &chain[0]);
    let issuing = write(&folder, "issuing.pem", &chain[1]);
    let root = write(&folder, "root.pem", fixture.server.app().authority.root());
    let (issuing, root) = (issuing.to_str().unwrap(), root.to_str().unwrap());
    let verify = |purpose: &str| {
        let fixed = ["verify", "-x509_strict", "-CAfile", root, "-untrusted", issuing, "-purpose"];
        openssl(&[fixed.as_slice(), &[purpose]].concat(), &[&leaf])
    };
    let (good, text) = verify("sslclient");
    assert!(good, "{text}");
    assert!(!verify("sslserver").0);

    let shown = ["x509", "-noout", "-text", "-nameopt", "RFC2253", "-in"];
    let (_, text) = openssl(&shown, &[&leaf]);
    for expected in [
        &format!("Subject: O=demo,serialNumber=SN_0001,CN={id}"),
        &format!("URI:urn:holdfast:demo:device:{id}"),
        "Key Usage: critical\n                Digital Signature\n",
        "Extended Key Usage: \n                TLS Web Client Authentication\n",
        "Policy: 2.25.329800735698586629295641978511506172918.4",
        "CA:FALSE",
        "Authority Key Identifier",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert!(!text.contains("root of all devices"), "the request's subject was taken over");
}
