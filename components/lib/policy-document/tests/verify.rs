//! What is taken and what is not.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

mod common;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use common::{DEVICE_ID, NOW, Signer, Site, expectation, policy};
use holdfast_attestation::oid::{PURPOSE_AUDIT_RECEIPT, PURPOSE_POLICY};
use holdfast_policy_document::{
    Expectation, FormError, MAX_POLICY_BYTES, MakeError, Policy, Unsigned, VerifyError,
    read_unverified, verify,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const DAY: u64 = 86_400;

/// Signs whatever header and payload.
fn signed(signer: &Signer, header: &Value, payload: &[u8]) -> String {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let input = format!("{}.{}", encode(header.to_string().as_bytes()), encode(payload));
    format!("{input}.{}", encode(&signer.signature(input.as_bytes())))
}

fn header(signer: &Signer, alg: &str, typ: &str) -> Value {
    let x5c: Vec<String> = signer.chain.iter().map(|der| BASE64_STANDARD.encode(der)).collect();
    json!({ "alg": alg, "typ": typ, "x5c": x5c })
}

fn refusal(document: &str, expected: &Expectation<'_>) -> String {
    let Err(error) = verify(document.as_bytes(), expected) else { return "taken".to_owned() };
    error.to_string()
}

#[test]
fn a_document_says_what_was_signed() {
    let site = Site::found();
    let (signer, roots) = (site.signer(), [site.root.clone()]);
    let document = signer.sign(&policy(7));
    let read = verify(document.as_bytes(), &expectation(&roots, None)).unwrap();
    assert_eq!(read.policy, policy(7));
    assert_eq!(read_unverified(document.as_bytes()).unwrap(), read);
    let payload = document.split('.').nth(1).unwrap();
    let json = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    let form = format!(r#"{{"kind":"usb","device_id":"{DEVICE_ID}","edge_id":"SN-1","version":7,"#);
    assert!(json.starts_with(&form), "{json}");
    assert!(!json.contains("ports") && !json.contains("not_after"), "{json}");
}

#[test]
fn only_newer_documents_are_taken_and_the_same_again() {
    let site = Site::found();
    let (signer, roots) = (site.signer(), [site.root.clone()]);
    let (first, again) = (signer.sign(&policy(7)), site.signer().sign(&policy(7)));
    assert_ne!(first, again, "signed by another key");
    let floor = verify(first.as_bytes(), &expectation(&roots, None)).unwrap();
    let with_floor = expectation(&roots, Some(&floor));
    assert_eq!(verify(again.as_bytes(), &with_floor).unwrap(), floor);
    verify(signer.sign(&policy(8)).as_bytes(), &with_floor).unwrap();
    let other = Policy { rules: None, ..policy(7) };
    for (document, part) in [
        (signer.sign(&policy(6)), "version is 6, and 7 was taken before"),
        (signer.sign(&other), "version is 7, as that of another document"),
    ] {
        assert!(refusal(&document, &with_floor).starts_with(part), "{part}");
    }

    let mut of_another = floor.clone();
    of_another.policy.device_id = "before it was registered anew".to_owned();
    let registered_anew = expectation(&roots, Some(&of_another));
    verify(signer.sign(&policy(6)).as_bytes(), &registered_anew).unwrap();
}

#[test]
fn signers_that_are_not_the_sites_are_refused() {
    let (site, other) = (Site::found(), Site::found());
    let roots = [site.root.clone()];
    let expected = expectation(&roots, None);
    let sign = |signer: &Signer| signer.sign(&policy(7));
    let expired = site.signer_for(&[&PURPOSE_POLICY], -60..-1);
    let foreign = Signer { chain: other.signer().chain, ..site.signer() };
    let table = [
        ("taken", sign(&site.signer())),
        ("taken", sign(&site.signer_for(&[&PURPOSE_POLICY], 5..30))),
        ("not believed: InvalidSignature", sign(&other.signer())),
        ("Expired", sign(&expired)),
        ("not for policies alone", sign(&site.signer_for(&[&PURPOSE_AUDIT_RECEIPT], -1..30))),
        ("not for policies alone", sign(&site.signer_for(&[], -1..30))),
        (
            "not for policies alone",
            sign(&site.signer_for(&[&PURPOSE_POLICY, &PURPOSE_AUDIT_RECEIPT], -1..30)),
        ),
        ("not believed: InvalidSignature", sign(&foreign)),
    ];
    for (part, document) in table {
        let error = refusal(&document, &expected);
        assert!(error.to_lowercase().contains(&part.to_lowercase()), "{part}: {error}");
    }
    let no_roots = expectation(&[], None);
    assert!(refusal(&sign(&site.signer()), &no_roots).contains("UnknownIssuer"));
    let rubbish = [b"rubbish".to_vec()];
    let error = refusal(&sign(&site.signer()), &expectation(&rubbish, None));
    assert!(error.contains("an anchor of the site"), "{error}");
}

#[test]
fn what_is_signed_otherwise_is_refused() {
    let site = Site::found();
    let (signer, roots) = (site.signer(), [site.root.clone()]);
    let expected = expectation(&roots, None);
    let good = signer.sign(&policy(7));
    let payload = serde_json::to_vec(&policy(7)).unwrap();
    let typ = "holdfast-policy+jwt";
    let other_key = Signer { chain: signer.chain.clone(), ..site.signer() };
    let (start, _) = good.rsplit_once('.').unwrap();
    let with = |change: fn(&mut Value)| {
        let mut header = header(&signer, "ES256", typ);
        change(&mut header);
        signed(&signer, &header, &payload)
    };
    let table = [
        ("taken", signed(&signer, &header(&signer, "ES256", typ), &payload)),
        ("alg is \"none\"", signed(&signer, &header(&signer, "none", typ), &payload)),
        ("alg is \"HS256\"", signed(&signer, &header(&signer, "HS256", typ), &payload)),
        ("alg is \"RS256\"", signed(&signer, &header(&signer, "RS256", typ), &payload)),
        ("typ is \"JWT\"", signed(&signer, &header(&signer, "ES256", "JWT"), &payload)),
        ("header: missing field `x5c`", with(|h| drop(h.as_object_mut().unwrap().remove("x5c")))),
        ("header: unknown field `crit`", with(|h| h["crit"] = json!(["b64"]))),
        ("header: not a JSON object", with(|h| *h = json!(["ES256", "JWT", []]))),
        ("no certificate is in x5c", with(|h| h["x5c"] = json!([]))),
        ("more than 8 certificates", with(|h| h["x5c"] = json!(vec![h["x5c"][0].clone(); 9]))),
        ("x5c: Invalid symbol", with(|h| h["x5c"] = json!(["?"]))),
        ("x5c: the signer", with(|h| h["x5c"] = json!(["AAAA"]))),
        ("the signature is not by", other_key.sign(&policy(7))),
        ("the signature is not by", format!("{start}.")),
        ("the signature is not by", format!("{start}.{}", "A".repeat(86))),
        ("not three parts", start.to_owned()),
        ("not three parts", format!("{good}.")),
        ("not three parts", String::new()),
        ("header: not a JSON object", "..".to_owned()),
        ("signature: ", format!("{good}=")),
        ("signature: ", good[..good.len() - 1].to_owned()),
        ("over the limit of 1048576", format!("{good}{}", "A".repeat(MAX_POLICY_BYTES))),
    ];
    for (part, document) in table {
        let error = refusal(&document, &expected);
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn what_is_meant_for_others_or_over_is_refused() {
    let site = Site::found();
    let (signer, roots) = (site.signer(), [site.root.clone()]);
    let expected = expectation(&roots, None);
    let until = |not_after| Policy { not_after: Some(not_after), ..policy(7) };
    let device = Policy { device_id: "another".to_owned(), ..policy(7) };
    let edge = Policy { edge_id: "SN-2".to_owned(), ..policy(7) };
    let table = [
        ("taken", signer.sign(&until(NOW))),
        ("taken", signer.sign(&until(NOW + DAY))),
        ("not_after is 1799999999, and it is 1800000000", signer.sign(&until(NOW - 1))),
        ("device_id is \"another\", this device has", signer.sign(&device)),
        ("edge_id is \"SN-2\", this device has \"SN-1\"", signer.sign(&edge)),
    ];
    for (part, document) in table {
        assert!(refusal(&document, &expected).contains(part), "{part}");
    }
}

#[test]
fn payloads_that_nobody_makes_are_refused() {
    let site = Site::found();
    let (signer, roots) = (site.signer(), [site.root.clone()]);
    let expected = expectation(&roots, None);
    let header = header(&signer, "ES256", "holdfast-policy+jwt");
    let with = |member: &str, value: Value| {
        let mut payload = serde_json::to_value(policy(7)).unwrap();
        payload[member] = value;
        payload.to_string()
    };
    let table = [
        ("unknown variant `users`", with("kind", json!("users"))),
        ("unknown field `colour`", with("colour", json!("red"))),
        ("payload: invalid value", with("version", json!(-1))),
        ("payload: invalid type", with("version", json!(1.5))),
        ("payload: invalid type", with("rules", json!(["allow"]))),
        ("payload: not a JSON object", "[\"usb\"]".to_owned()),
        ("payload: EOF", "{".to_owned()),
        ("payload: trailing", format!("{} 1", with("version", json!(7)))),
        (
            "duplicate field `version`",
            with("version", json!(7)).replace("\"version\":7", "\"version\":7,\"version\":8"),
        ),
    ];
    for (part, payload) in table {
        let error = refusal(&signed(&signer, &header, payload.as_bytes()), &expected);
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_document_that_devices_would_not_take_is_not_made() {
    let signer = Site::found().signer();
    let make = |length: usize| {
        let rules = Some("#".repeat(length));
        Unsigned::new(&Policy { rules, ..policy(7) }, &signer.chain)
    };
    let first = make(700_000).unwrap().sign(&[0; 64]);
    let fits = 700_000 + (MAX_POLICY_BYTES - first.len()) / 4 * 3;
    let longest = make(fits).unwrap().sign(&[0; 64]);
    assert!(longest.len() <= MAX_POLICY_BYTES && longest.len() > MAX_POLICY_BYTES - 8);
    assert!(matches!(make(fits + 8), Err(MakeError::TooLong(_))));
    let error = read_unverified(&vec![b'.'; MAX_POLICY_BYTES + 1]).unwrap_err();
    assert_eq!(error, FormError::TooLong(MAX_POLICY_BYTES + 1));
}

proptest! {
    #[test]
    fn whatever_the_bytes_are(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(verify(&bytes, &expectation(&[], None)).is_err());
        let _ = read_unverified(&bytes);
    }
}

#[test]
fn a_document_with_any_byte_changed_is_refused() {
    let site = Site::found();
    let (signer, roots) = (site.signer(), [site.root.clone()]);
    let expected = expectation(&roots, None);
    let good = signer.sign(&policy(7)).into_bytes();
    for index in 0..good.len() {
        let mut bad = good.clone();
        bad[index] = if bad[index] == b'A' { b'B' } else { b'A' };
        let error = verify(&bad, &expected).unwrap_err();
        assert!(!matches!(error, VerifyError::Conflict(_) | VerifyError::Version { .. }));
        assert!(verify(&good[..index], &expected).is_err(), "{index}");
    }
}
