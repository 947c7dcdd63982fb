//! Revocation lists, read by OpenSSL.

use http::StatusCode;

use super::{EDGE_ID, enrolled};
use crate::support::Fixture;
use crate::support::http::get_plain;
use crate::support::openssl::{Pems, openssl};

const DAY: i64 = 24 * 3600;

impl Fixture {
    async fn crl(&self, ca: &str) -> Vec<u8> {
        let answer = get_plain(&self.server, &format!("/crl/{ca}.crl")).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["content-type"], "application/pkix-crl");
        answer.body.to_vec()
    }

    /// As text, after the signature was verified by the CA's certificate.
    async fn crl_text(&self, ca: &serde_json::Value) -> String {
        let pems = Pems::new();
        let list = pems.path().join("list.crl");
        std::fs::write(&list, self.crl(ca["id"].as_str().unwrap()).await).unwrap();
        let issuer = pems.path().join("issuer.pem");
        std::fs::write(&issuer, ca["certificate"].as_str().unwrap()).unwrap();
        let (list, issuer) = (list.to_str().unwrap(), issuer.to_str().unwrap());
        let shown = ["crl", "-inform", "der", "-in", list, "-CAfile", issuer, "-noout", "-text"];
        let (good, text) = openssl(&shown);
        assert!(good && text.contains("verify OK"), "{text}");
        text
    }
}

fn number(crl: &str) -> u64 {
    let at = crl.find("X509v3 CRL Number:").unwrap();
    crl[at..].lines().nth(1).unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn a_list_names_what_ended_and_why() {
    let (fixture, ..) = enrolled().await;
    let ca = fixture.cas().await[1].clone();
    let first = fixture.crl_text(&ca).await;
    for expected in ["No Revoked Certificates", "Authority Key Identifier", "Next Update"] {
        assert!(first.contains(expected), "{expected} is not in\n{first}");
    }
    let shown = fixture.device(EDGE_ID).await;
    let serial = shown["certificates"][0]["serial"].as_str().unwrap().to_uppercase();
    let mut last = number(&first);
    // After "retire" the list says the same as before, so it is the same list.
    for (verb, reason, grown) in [
        ("suspend", Some("Certificate Hold"), 1),
        ("resume", None, 1),
        ("revoke", Some("Privilege Withdrawn"), 1),
        ("retire", Some("Privilege Withdrawn"), 0),
    ] {
        fixture.change(EDGE_ID, verb).await.unwrap();
        fixture.clock.advance(60);
        let text = fixture.crl_text(&ca).await;
        assert_eq!(
            text.contains(&format!("Serial Number: {serial}\n")),
            reason.is_some(),
            "{text}"
        );
        assert!(reason.is_none_or(|reason| text.contains(reason)), "{verb}: {text}");
        assert_eq!(number(&text) - last, grown, "{verb}");
        last = number(&text);
    }
}

#[tokio::test]
async fn a_superseded_certificate_is_listed_from_its_overlap_to_its_end() {
    let (fixture, mut device, _) = enrolled().await;
    let ca = fixture.cas().await[1].clone();
    device.tpm.renew_device_key();
    device.enrol(&fixture.server).await;
    let shown = fixture.device(EDGE_ID).await;
    let serial =
        |index: usize| shown["certificates"][index]["serial"].as_str().unwrap().to_uppercase();
    assert!(fixture.crl_text(&ca).await.contains("No Revoked Certificates"));
    fixture.clock.advance(DAY);
    let text = fixture.crl_text(&ca).await;
    assert!(text.contains(&serial(1)) && text.contains("Superseded"), "{text}");
    assert!(!text.contains(&serial(0)), "{text}");
    fixture.clock.advance(91 * DAY);
    let text = fixture.crl_text(&ca).await;
    assert!(text.contains("No Revoked Certificates"), "{text}");
}

#[tokio::test]
async fn the_list_of_the_root_names_a_retired_issuing_ca() {
    let (fixture, ..) = enrolled().await;
    fixture.roll_issuing().await;
    let cas = fixture.cas().await;
    let former = cas[2]["id"].as_str().unwrap();
    assert!(fixture.crl_text(&cas[0]).await.contains("No Revoked Certificates"));
    let key = fixture.data().join("ca/root.key");
    let arguments = ["retire", former, "--force", "--root-key", key.to_str().unwrap()];
    assert!(fixture.ca(&arguments).await);
    let text = fixture.crl_text(&cas[0]).await;
    let pems = Pems::new();
    let certificate = pems.path().join("former.pem");
    std::fs::write(&certificate, cas[2]["certificate"].as_str().unwrap()).unwrap();
    let serial = openssl(&["x509", "-noout", "-serial", "-in", certificate.to_str().unwrap()]).1;
    let serial = serial.trim().trim_start_matches("serial=").trim_start_matches('0').to_owned();
    assert!(text.contains(&serial) && text.contains("Superseded"), "{serial}: {text}");
    assert_eq!(number(&text), 3);
    let gone = get_plain(&fixture.server, &format!("/crl/{former}.crl")).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn numbers_go_on_after_a_restart() {
    let (fixture, ..) = enrolled().await;
    let ca = fixture.cas().await[1].clone();
    let first = number(&fixture.crl_text(&ca).await);
    assert_eq!(number(&fixture.crl_text(&ca).await), first);
    let fixture = fixture.restart().await;
    let second = number(&fixture.crl_text(&ca).await);
    assert_eq!(second, first + 1);
    // Twelve hours are half of its life.
    fixture.clock.advance(DAY / 2);
    assert_eq!(number(&fixture.crl_text(&ca).await), second + 1);
}

#[tokio::test]
async fn openssl_checks_whole_chains_against_the_lists() {
    let (fixture, mut device, _) = enrolled().await;
    fixture.roll_root().await;
    device.tpm.renew_device_key();
    let new = device.enrol(&fixture.server).await;
    let cas = fixture.cas().await;

    let verify = async |root: usize| {
        let pems = Pems::new();
        let mut lists = Vec::new();
        for ca in &cas {
            lists.push(fixture.crl(ca["id"].as_str().unwrap()).await);
        }
        let lists: Vec<&[u8]> = lists.iter().map(Vec::as_slice).collect();
        let lists = pems.crls("lists.pem", &lists);
        let anchor = pems.path().join("root.pem");
        std::fs::write(&anchor, cas[root]["certificate"].as_str().unwrap()).unwrap();
        let leaf = pems.certificates("leaf.pem", &new[..1]);
        let rest = pems.certificates("rest.pem", &new[1..]);
        openssl(&[
            "verify",
            "-x509_strict",
            "-crl_check_all",
            "-CRLfile",
            &lists,
            "-CAfile",
            anchor.to_str().unwrap(),
            "-untrusted",
            &rest,
            &leaf,
        ])
    };
    // From the new root, and from the old one through the cross certificate.
    for root in [0, 1] {
        let (good, text) = verify(root).await;
        assert!(good, "{text}");
    }
    fixture.change(EDGE_ID, "revoke").await.unwrap();
    fixture.clock.advance(60);
    for root in [0, 1] {
        let (good, text) = verify(root).await;
        assert!(!good && text.contains("certificate revoked"), "{text}");
    }
}

#[tokio::test]
async fn the_public_listener_has_what_is_public_and_nothing_else() {
    let (fixture, ..) = enrolled().await;
    let ca = fixture.cas().await[1].clone();
    let id = ca["id"].as_str().unwrap();
    let answer = get_plain(&fixture.server, &format!("/ca/{id}.crt")).await;
    assert_eq!(answer.headers["content-type"], "application/pkix-cert");
    assert_eq!(hex::encode(holdfast_attestation::hash::sha256(&[&answer.body])), ca["sha256"]);
    for path in [
        "/",
        "/crl/",
        "/crl/00ab00ab00ab00ab.crl",
        &format!("/crl/{id}"),
        &format!("/crl/{id}.crt"),
        &format!("/ca/{id}.crl"),
        "/ca/..%2froot.key.crt",
        "/ca/authority.json",
        "/api/v1/authority",
        "/.well-known/est/cacerts",
    ] {
        let answer = get_plain(&fixture.server, path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
}
