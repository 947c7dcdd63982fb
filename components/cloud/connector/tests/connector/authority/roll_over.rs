//! Roll-over of the issuing CA and of the root, seen from devices and from OpenSSL.

use http::StatusCode;
use rustls_pki_types::CertificateDer;

use super::{EDGE_ID, enrolled};
use crate::support::Fixture;
use crate::support::device::{Device, certificates};
use crate::support::http::{Connection, Dial};
use crate::support::openssl::{Pems, foreign, openssl};
use crate::support::software::SoftwareTpm;

const SELF: &str = "/api/v1/device/self";
const CACERTS: &str = "/.well-known/est/cacerts";

/// A device that knows one root.
fn dial(
    fixture: &Fixture,
    root: &CertificateDer<'static>,
    chain: &[CertificateDer<'static>],
    device: &Device<SoftwareTpm>,
) -> Dial {
    let dial = Dial { root: root.clone(), ..Dial::device(&fixture.server) };
    dial.with_identity(chain.to_vec(), device.tpm.private_key())
}

async fn status(dial: Dial) -> Option<(StatusCode, String)> {
    let mut connection: Connection = dial.connect().await.ok()?;
    let answer = connection.get(SELF).await.ok()?;
    let code = if answer.status == StatusCode::OK { String::new() } else { answer.code() };
    Some((answer.status, code))
}

async fn is_served(dial: Dial) -> bool {
    status(dial).await.is_some_and(|(status, _)| status == StatusCode::OK)
}

/// What /cacerts gives to somebody who knows one root.
async fn cacerts(
    fixture: &Fixture,
    root: &CertificateDer<'static>,
) -> Vec<CertificateDer<'static>> {
    let dial = Dial { root: root.clone(), ..Dial::est(&fixture.server) };
    let answer = dial.connect().await.unwrap().get(CACERTS).await.unwrap();
    certificates(&answer.body)
}

#[tokio::test]
async fn a_new_issuing_ca_signs_and_the_certificates_of_the_old_one_stay_good() {
    let (fixture, mut device, old) = enrolled().await;
    let (root, old_key) = (fixture.root(), device.tpm.private_key());
    fixture.roll_issuing().await;
    device.tpm.renew_device_key();
    let new = device.enrol(&fixture.server).await;
    assert_ne!(old[1], new[1]);
    assert_eq!(fixture.root(), root);

    let with_old = Dial::device(&fixture.server).with_identity(old, old_key);
    assert!(is_served(with_old).await);
    assert!(is_served(dial(&fixture, &root, &new, &device)).await);
    let published = cacerts(&fixture, &root).await;
    assert_eq!(published.len(), 3, "root, both issuing CAs");
    assert_eq!(fixture.audit().await.iter().filter(|r| r.0 == "authority.roll-issuing").count(), 1);
    let cas = fixture.cas().await;
    assert!(cas[1]["superseded_at"].is_null() && cas[2]["superseded_at"].is_string());
}

#[tokio::test]
async fn after_a_root_roll_over_devices_with_either_root_are_served() {
    let (fixture, mut device, old) = enrolled().await;
    let old_root = fixture.root();
    let old_key = device.tpm.private_key();
    fixture.roll_root().await;
    let new_root = fixture.root();
    assert_ne!(old_root, new_root);

    // The old certificate, by a device that knows the old root only.
    assert!(is_served(dial(&fixture, &old_root, &old, &device)).await);
    // Certificate alone, without its CA.
    assert!(is_served(dial(&fixture, &old_root, &old[..1], &device)).await);
    // A new certificate; the enrolment itself trusts the old root.
    device.tpm.renew_device_key();
    let new = device.enrol_trusting(&fixture.server, &old_root).await;
    for root in [&old_root, &new_root] {
        assert!(is_served(dial(&fixture, root, &new, &device)).await);
        assert!(is_served(dial(&fixture, root, &new[..1], &device)).await);
    }
    let with_old = Dial::device(&fixture.server).with_identity(old, old_key);
    assert!(is_served(Dial { root: new_root, ..with_old }).await);
    // A third root is nobody's.
    let other = Fixture::start().await;
    assert!(!is_served(dial(&fixture, &other.root(), &new, &device)).await);
    assert_eq!(fixture.audit().await.iter().filter(|r| r.0 == "authority.roll-root").count(), 1);
}

#[tokio::test]
async fn openssl_verifies_old_and_new_chains_from_old_and_new_root() {
    let (fixture, mut device, old) = enrolled().await;
    let old_root = fixture.root();
    fixture.roll_root().await;
    let new_root = fixture.root();
    device.tpm.renew_device_key();
    let new = device.enrol(&fixture.server).await;
    assert_eq!(new.len(), 3, "certificate, issuing CA, new root signed by the old one");
    let published = cacerts(&fixture, &old_root).await;
    assert_eq!(published[..2], [new_root.clone(), old_root.clone()]);
    let cross = &published[2..4];

    let pems = Pems::new();
    let old_anchor = pems.certificates("old-root.pem", &[old_root]);
    let new_anchor = pems.certificates("new-root.pem", &[new_root]);
    let old_leaf = pems.certificates("old-leaf.pem", &old[..1]);
    let new_leaf = pems.certificates("new-leaf.pem", &new[..1]);
    let new_with_old = pems.certificates("new-with-old.pem", &cross[..1]);
    let old_with_new = pems.certificates("old-with-new.pem", &cross[1..]);
    // OpenSSL ends a path at the first self-signed certificate, trusted or not.
    let all = pems.certificates("intermediates.pem", &published[2..]);
    let sent = pems.certificates("sent.pem", &new[1..]);
    let verify = |anchor: &str, untrusted: &str, certificate: &str| {
        let fixed = ["verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-CAfile", anchor];
        openssl(&[fixed.as_slice(), &["-untrusted", untrusted, certificate]].concat())
    };
    // RFC 4210, 4.4: the contract by which devices take a new root over.
    for (anchor, untrusted, certificate) in [
        (&old_anchor, &all, &new_with_old),
        (&new_anchor, &all, &old_with_new),
        (&old_anchor, &all, &old_leaf),
        (&old_anchor, &all, &new_leaf),
        (&new_anchor, &all, &new_leaf),
        (&new_anchor, &all, &old_leaf),
        // What a TLS peer gets to see is enough.
        (&old_anchor, &sent, &new_leaf),
        (&new_anchor, &sent, &new_leaf),
    ] {
        let (good, text) = verify(anchor, untrusted, certificate);
        assert!(good, "{anchor} {certificate}: {text}");
    }
    // Without the cross certificate the new root means nothing to who knows the old one.
    let alone = pems.certificates("alone.pem", &new[1..2]);
    assert!(!verify(&old_anchor, &alone, &new_leaf).0);

    let chain = pems.certificates("chain.pem", &new);
    let gnutls = ["--verify", "--load-ca-certificate", &old_anchor, "--infile", &chain];
    let (good, text) = foreign("certtool", &gnutls);
    assert!(good, "{text}");
}

#[tokio::test]
async fn after_the_end_of_the_overlap_the_old_root_is_nothing() {
    let (fixture, mut device, old) = enrolled().await;
    let (old_root, old_key) = (fixture.root(), device.tpm.private_key());
    fixture.roll_root().await;
    let new_root = fixture.root();
    let cas = fixture.cas().await;
    let former = cas[1]["id"].as_str().unwrap();

    // A device still has nothing but a certificate below it.
    assert!(!fixture.ca(&["retire", former]).await);
    assert_eq!(fixture.cas().await.len(), 4);
    device.tpm.renew_device_key();
    let new = device.enrol(&fixture.server).await;
    assert!(fixture.ca(&["retire", former]).await);

    let published = cacerts(&fixture, &new_root).await;
    assert_eq!(published.len(), 2, "new root and its issuing CA");
    assert!(!published.contains(&old_root));
    let old_dial = || Dial {
        root: new_root.clone(),
        ..Dial::device(&fixture.server).with_identity(old.clone(), old_key.clone_key())
    };
    assert_eq!(status(old_dial()).await, None, "no TLS with a certificate of the old root");
    assert!(!is_served(dial(&fixture, &old_root, &new, &device)).await);
    assert!(is_served(dial(&fixture, &new_root, &new, &device)).await);
    let shown = fixture.device(EDGE_ID).await;
    assert!(shown["certificates"][1]["revoked_at"].is_string());
    let acts: Vec<_> = fixture.audit().await;
    let retired: Vec<_> = acts.iter().filter(|record| record.0 == "authority.retire").collect();
    assert_eq!(retired.len(), 2);
    assert_eq!(retired[1].2, "failed");

    // Only now may the root be rolled over again, and with its own key alone.
    let third = fixture.data().join("root-3.key");
    let again = ["roll-root", "--new-root-key", third.to_str().unwrap()];
    assert!(!fixture.ca(&again).await, "root.key is that of the retired root");
    let second = fixture.data().join("root-2.key");
    let key = ["--root-key", second.to_str().unwrap()];
    assert!(fixture.ca(&[again.as_slice(), &key].concat()).await);
}

#[tokio::test]
async fn an_open_connection_with_a_retired_certificate_is_refused() {
    let (fixture, device, old) = enrolled().await;
    let mut open = dial(&fixture, &fixture.root(), &old, &device).connect().await.unwrap();
    assert_eq!(open.get(SELF).await.unwrap().status, StatusCode::OK);
    fixture.roll_issuing().await;
    let former = fixture.cas().await[2]["id"].as_str().unwrap().to_owned();
    assert!(fixture.ca(&["retire", &former, "--force"]).await);
    assert_eq!(open.get(SELF).await.unwrap().code(), "certificate-revoked");
}

#[tokio::test]
async fn what_is_in_force_or_in_its_overlap_is_kept() {
    let (fixture, ..) = enrolled().await;
    let before = fixture.cas().await;
    for ca in &before {
        assert!(!fixture.ca(&["retire", ca["id"].as_str().unwrap(), "--force"]).await);
    }
    assert!(!fixture.ca(&["retire", "00ab00ab00ab00ab"]).await);
    fixture.roll_root().await;
    let other = fixture.data().join("root-3.key");
    assert!(!fixture.ca(&["roll-root", "--new-root-key", other.to_str().unwrap()]).await);
    assert!(!other.exists());
    // A key file is never overwritten.
    let existing = fixture.data().join("root-2.key");
    let kept = std::fs::read(&existing).unwrap();
    let former = fixture.cas().await[1]["id"].as_str().unwrap().to_owned();
    assert!(fixture.ca(&["retire", &former, "--force"]).await);
    let path = existing.to_str().unwrap();
    assert!(!fixture.ca(&["roll-root", "--root-key", path, "--new-root-key", path]).await);
    assert_eq!(std::fs::read(&existing).unwrap(), kept);
}

#[tokio::test]
async fn a_rolled_over_authority_survives_a_restart() {
    let (fixture, device, old) = enrolled().await;
    let old_root = fixture.root();
    fixture.roll_root().await;
    let (cas, new_root) = (fixture.cas().await, fixture.root());
    let fixture = fixture.restart().await;
    assert_eq!(fixture.cas().await, cas);
    for root in [&old_root, &new_root] {
        assert!(is_served(dial(&fixture, root, &old, &device)).await);
    }
}
