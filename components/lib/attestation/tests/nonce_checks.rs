//! Checks 1 to 3, each violated alone, and the challenge that follows them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::data;
use holdfast_attestation::challenge::{ChallengeContext, issue_challenge};
use holdfast_attestation::credential::CredentialError;
use holdfast_attestation::edge_id::EdgeId;
use holdfast_attestation::ek::ek_sha256;
use holdfast_attestation::nonce::RequestInfo;
use holdfast_attestation::pcr::QUOTED_PCRS;
use holdfast_attestation::refusal::Reason;
use holdfast_attestation::tpm::{
    Bounded, EccScheme, ObjectAttributes, Parameters, Public, RsaScheme,
};
use holdfast_attestation::verify::{
    EkProof, EkTrust, NonceVerdict, check_ak_attributes, check_nonce_request,
};
use rand_core::OsRng;

/// Later than the test data was made.
const NOW: u64 = 2_000_000_000;

fn request() -> RequestInfo {
    RequestInfo {
        edge_id: EdgeId::parse("HF-0001").unwrap(),
        ek_public: data("ek-rsa2048.tpmt-public"),
        ek_certificates: vec![data("ek-certificate.nv"), data("ek-intermediate.der")],
        ak_public: data("ak-p256.tpmt-public"),
        device_key_spki_sha256: [7; 32],
    }
}

fn registered_hash() -> [u8; 32] {
    let ek = Public::parse(&data("ek-rsa2048.tpmt-public")).unwrap();
    ek_sha256(&ek.to_spki_der().unwrap())
}

fn by_hash() -> EkTrust<'static> {
    EkTrust::Sha256(registered_hash())
}

#[track_caller]
fn refused(number: u8, reason: Reason, request: &RequestInfo, trust: &EkTrust<'_>) -> String {
    let failure = check_nonce_request(request, trust, NOW).unwrap_err();
    assert_eq!((failure.number, failure.reason), (number, reason), "{failure}");
    failure.detail
}

#[test]
fn a_registered_tpm_passes() {
    let verdict = check_nonce_request(&request(), &by_hash(), NOW).unwrap();
    let NonceVerdict { ek_sha256, ek_proof, ak, ak_name, certificate_problem, .. } = verdict;
    assert_eq!(ek_sha256, registered_hash());
    assert_eq!(ek_proof, EkProof::RegisteredHash);
    assert_eq!(ak_name.as_bytes(), data("ak-p256.name"));
    assert_eq!(ak.marshal(), data("ak-p256.tpmt-public"));
    assert_eq!(certificate_problem, None);
}

#[test]
fn a_vendors_tpm_passes() {
    for anchor in ["ek-root.der", "ek-intermediate.der"] {
        let anchors = [data(anchor)];
        let verdict = check_nonce_request(&request(), &EkTrust::Ca(&anchors), NOW).unwrap();
        assert_eq!(verdict.ek_proof, EkProof::CertifiedBy(data(anchor)));
    }
}

#[test]
fn a_pairing_code_leaves_the_tpm_unproven() {
    let verdict = check_nonce_request(&request(), &EkTrust::PairingCode, NOW).unwrap();
    assert_eq!(verdict.ek_proof, EkProof::Unproven);
}

#[test]
fn check_1_the_ek_is_the_key_in_its_certificate() {
    let mut request = request();
    request.ek_certificates = vec![data("ek-intermediate.der")];
    for trust in [by_hash(), EkTrust::Ca(&[data("ek-root.der")]), EkTrust::PairingCode] {
        let detail = refused(1, Reason::EkCertificateMismatch, &request, &trust);
        assert!(detail.contains(&hex::encode(registered_hash())), "{detail}");
    }
}

#[test]
fn check_1_the_ek_can_be_parsed() {
    for ek_public in [Vec::new(), data("sealed.tpmt-public"), vec![0; 100]] {
        let request = RequestInfo { ek_public, ..request() };
        refused(1, Reason::MalformedRequest, &request, &EkTrust::PairingCode);
    }
}

/// No certificate, or none that can be read: the hash still proves the TPM.
#[test]
fn check_1_passes_without_a_readable_certificate() {
    for ek_certificates in [Vec::new(), vec![b"garbage".to_vec()]] {
        let unreadable = !ek_certificates.is_empty();
        let request = RequestInfo { ek_certificates, ..request() };
        let verdict = check_nonce_request(&request, &by_hash(), NOW).unwrap();
        assert_eq!(verdict.ek_proof, EkProof::RegisteredHash);
        assert_eq!(verdict.certificate_problem.is_some(), unreadable);
        refused(2, Reason::EkNotTrusted, &request, &EkTrust::Ca(&[data("ek-root.der")]));
    }
}

#[test]
fn check_2_the_ek_is_the_registered_one() {
    let detail = refused(2, Reason::EkNotTrusted, &request(), &EkTrust::Sha256([1; 32]));
    assert!(detail.contains(&hex::encode([1; 32])), "{detail}");
}

#[test]
fn check_2_the_ek_is_of_an_allowed_ca() {
    let no_ca: &[Vec<u8>] = &[];
    refused(2, Reason::EkNotTrusted, &request(), &EkTrust::Ca(no_ca));
    // The EK's own certificate is no CA, nor is the CA of another vendor.
    let own = [data("ek-certificate.nv")];
    refused(2, Reason::EkNotTrusted, &request(), &EkTrust::Ca(&own));
    let garbage = [b"garbage".to_vec()];
    let detail = refused(2, Reason::EkNotTrusted, &request(), &EkTrust::Ca(&garbage));
    assert!(detail.contains("1 of the 1 allowed CA certificates cannot be read"), "{detail}");
}

#[test]
fn check_2_the_chain_is_complete() {
    let anchors = [data("ek-root.der")];
    let mut request = request();
    request.ek_certificates.pop();
    refused(2, Reason::EkNotTrusted, &request, &EkTrust::Ca(&anchors));
    request.ek_certificates.push(data("ek-certificate.nv"));
    refused(2, Reason::EkNotTrusted, &request, &EkTrust::Ca(&anchors));
}

#[test]
fn check_2_the_certificates_are_valid_now() {
    let anchors = [data("ek-root.der")];
    let failure =
        check_nonce_request(&request(), &EkTrust::Ca(&anchors), 1_000_000_000).unwrap_err();
    assert_eq!((failure.number, failure.reason), (2, Reason::EkNotTrusted));
    assert!(failure.detail.contains("not valid at this time"), "{failure}");
}

/// A certificate that is not quite DER never proves the vendor, but the hash does.
#[test]
fn check_2_leniency_proves_no_vendor() {
    let der = data("ek-certificate.nv");
    let mut request = request();
    request.ek_certificates[0] = [&[0x30, 0x83, 0], &der[2..]].concat();
    let anchors = [data("ek-root.der")];
    let detail = refused(2, Reason::EkNotTrusted, &request, &EkTrust::Ca(&anchors));
    assert!(detail.contains("malformed"), "{detail}");
    let verdict = check_nonce_request(&request, &by_hash(), NOW).unwrap();
    assert_eq!(verdict.certificate_problem.as_deref(), Some("the EK certificate is malformed"));
}

/// A changed byte in the signed part or the signature ends the chain.
#[test]
fn check_2_the_certificate_cannot_be_changed() {
    let anchors = [data("ek-root.der")];
    let der = data("ek-certificate.nv");
    for offset in (0..der.len()).step_by(7) {
        let mut request = request();
        request.ek_certificates[0][offset] ^= 1;
        let failure = check_nonce_request(&request, &EkTrust::Ca(&anchors), NOW).unwrap_err();
        assert!(matches!(failure.number, 1 | 2), "byte {offset}: {failure}");
    }
}

#[test]
fn check_3_the_ak_only_attests_and_stays() {
    let ak = Public::parse(&data("ak-p256.tpmt-public")).unwrap();
    for (attributes, named) in [
        (ak.attributes.without(ObjectAttributes::RESTRICTED), "lacks restricted;"),
        (ak.attributes.without(ObjectAttributes::SIGN), "lacks sign;"),
        (ak.attributes.without(ObjectAttributes::FIXED_TPM), "lacks fixedTPM;"),
        (ak.attributes.without(ObjectAttributes::FIXED_PARENT), "lacks fixedParent;"),
        (
            ak.attributes.without(ObjectAttributes::SENSITIVE_DATA_ORIGIN),
            "lacks sensitiveDataOrigin;",
        ),
        (ak.attributes | ObjectAttributes::DECRYPT, "more than attest"),
        (ak.attributes | ObjectAttributes::X509_SIGN, "more than attest"),
    ] {
        let changed = Public { attributes, ..ak.clone() };
        let request = RequestInfo { ak_public: changed.marshal(), ..request() };
        let detail = refused(3, Reason::AkAttributes, &request, &by_hash());
        assert!(detail.contains(named), "{detail}");
    }
}

#[test]
fn check_3_the_ak_has_a_scheme_and_a_strong_key() {
    let mut without_scheme = Public::parse(&data("ak-p256.tpmt-public")).unwrap();
    let mut off_curve = without_scheme.clone();
    let mut key_exchange = without_scheme.clone();
    if let Parameters::Ecc { scheme, .. } = &mut without_scheme.parameters {
        *scheme = EccScheme::Null;
    }
    if let Parameters::Ecc { x, .. } = &mut off_curve.parameters {
        *x = Bounded::new(&[1; 32]).unwrap();
    }
    if let Parameters::Ecc { scheme, .. } = &mut key_exchange.parameters {
        *scheme = EccScheme::Ecdh(holdfast_attestation::hash::HashAlgorithm::Sha256);
    }
    let mut rsa_without_scheme = Public::parse(&data("ak-rsassa.tpmt-public")).unwrap();
    let mut short_rsa = rsa_without_scheme.clone();
    if let Parameters::Rsa { scheme, .. } = &mut rsa_without_scheme.parameters {
        *scheme = RsaScheme::Null;
    }
    if let Parameters::Rsa { key_bits, modulus, .. } = &mut short_rsa.parameters {
        *key_bits = 1024;
        *modulus = Bounded::new(&[0xff; 128]).unwrap();
    }
    for ak in [without_scheme, off_curve, key_exchange, rsa_without_scheme, short_rsa] {
        let request = RequestInfo { ak_public: ak.marshal(), ..request() };
        refused(3, Reason::AkAttributes, &request, &by_hash());
    }
    for ak in ["ak-p256", "ak-rsassa", "ak-rsapss"] {
        let ak = Public::parse(&data(&format!("{ak}.tpmt-public"))).unwrap();
        assert_eq!(check_ak_attributes(&ak), Ok(()));
    }
}

#[test]
fn check_3_the_ak_can_be_parsed() {
    let request = RequestInfo { ak_public: vec![1, 2, 3], ..request() };
    refused(3, Reason::MalformedRequest, &request, &by_hash());
}

#[test]
fn a_challenge_is_fresh_and_bound_to_the_connection() {
    let verdict = check_nonce_request(&request(), &by_hash(), NOW).unwrap();
    let context = ChallengeContext { tls_exporter: [5; 32], now: NOW, lifetime: 600 };
    let issue =
        || issue_challenge(&verdict.ek, &verdict.ak, &request(), &context, &mut OsRng).unwrap();
    let (challenge, response) = issue();
    assert_eq!(challenge.nonce, response.nonce);
    assert_eq!(challenge.expires_at, NOW + 600);
    assert_eq!(challenge.tls_exporter, [5; 32]);
    assert_eq!(challenge.device_key_spki_sha256, [7; 32]);
    assert_eq!(challenge.edge_id.as_str(), "HF-0001");
    assert!(!challenge.used);
    assert_eq!(response.expiry, 600);
    assert_eq!(response.type_info.info.pcrs, QUOTED_PCRS);
    assert_eq!(response.type_info.info.encrypted_secret.len(), 256);
    let (second, _) = issue();
    assert_ne!(challenge.nonce, second.nonce);
    assert_ne!(challenge.secret, second.secret);
}

#[test]
fn no_challenge_for_a_key_that_is_no_ek() {
    let key = Public::parse(&data("device-key-rsa2048.tpmt-public")).unwrap();
    let ak = Public::parse(&data("ak-p256.tpmt-public")).unwrap();
    let context = ChallengeContext { tls_exporter: [5; 32], now: NOW, lifetime: 600 };
    let result = issue_challenge(&key, &ak, &request(), &context, &mut OsRng);
    assert!(matches!(result, Err(CredentialError::NotRestrictedDecryption(_))));
}
