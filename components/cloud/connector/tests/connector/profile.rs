//! The certificates, as OpenSSL sees them.

use crate::support::device::{Device, Tpm as _};
use crate::support::openssl::{Pems, openssl};
use crate::support::software::SoftwareTpm;
use crate::support::{Fixture, PUBLIC_URL};

#[tokio::test]
async fn a_leaf_is_a_client_certificate_of_exactly_this_device() {
    let fixture = Fixture::start().await;
    fixture.publish_release().await;
    let device = Device::new("SN_0001", SoftwareTpm::new(&fixture.site));
    let registered = fixture.register("SN_0001", device.tpm.ek_sha256()).await;
    let id = registered["id"].as_str().unwrap();
    let chain = device.enrol(&fixture.server).await;

    let authority = fixture.server.app().authority();
    let pems = Pems::new();
    let leaf = pems.certificates("leaf.pem", &chain[..1]);
    let issuing = pems.certificates("issuing.pem", &chain[1..]);
    let root = pems.certificates("root.pem", &[authority.root().clone()]);
    let verify = |purpose: &str| {
        let fixed = ["verify", "-x509_strict", "-CAfile", &root, "-untrusted", &issuing];
        openssl(&[fixed.as_slice(), &["-purpose", purpose, &leaf]].concat())
    };
    let (good, text) = verify("sslclient");
    assert!(good, "{text}");
    assert!(!verify("sslserver").0);

    let ca = authority.issuing_cas().next().unwrap().id();
    let (_, text) = openssl(&["x509", "-noout", "-text", "-nameopt", "RFC2253", "-in", &leaf]);
    for expected in [
        &format!("Subject: O=demo,serialNumber=SN_0001,CN={id}"),
        &format!("URI:urn:holdfast:demo:device:{id}"),
        "Key Usage: critical\n                Digital Signature\n",
        "Extended Key Usage: \n                TLS Web Client Authentication\n",
        "Policy: 2.25.329800735698586629295641978511506172918.4",
        "CA:FALSE",
        "Authority Key Identifier",
        &format!("URI:{PUBLIC_URL}/crl/{ca}.crl"),
        &format!("OCSP - URI:{PUBLIC_URL}/ocsp\n"),
        &format!("CA Issuers - URI:{PUBLIC_URL}/ca/{ca}.crt"),
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert!(!text.contains("root of all devices"), "the request's subject was taken over");
}
