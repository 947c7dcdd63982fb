//! What device and server send each other.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::data;
use holdfast_attestation::binding::{BindingInput, qualifying_data};
use holdfast_attestation::edge_id::{EdgeId, EdgeIdError};
use holdfast_attestation::ek::{EkCertificate, ek_sha256};
use holdfast_attestation::evidence::{
    CertifyStatement, Evidence, EvidenceError, MAX_LENGTH, QuoteStatement,
};
use holdfast_attestation::hash::sha256;
use holdfast_attestation::nonce::{
    MAX_BODY, NonceError, NonceRequest, NonceResponse, RequestInfo, ResponseInfo,
};
use holdfast_attestation::oid;
use holdfast_attestation::pcr::{
    PcrValue, QUOTED_PCRS, ReleaseMeasurement, ReleaseMeasurementError, expected_site_pcr,
};
use holdfast_attestation::refusal::{Reason, Refusal};
use holdfast_attestation::tpm::{Attest, Public};
use proptest::prelude::*;
use serde_json::{Value, json};

fn fixture_evidence() -> Evidence {
    let pcrs = data("pcr-values");
    let pcr_values = QUOTED_PCRS
        .iter()
        .zip(pcrs.chunks(32))
        .map(|(index, digest)| PcrValue { index: *index, digest: digest.try_into().unwrap() });
    Evidence {
        certify: CertifyStatement {
            attest: data("certify.tpms-attest"),
            signature: data("certify.tpmt-signature"),
            public: data("device-key-rsa2048.tpmt-public"),
        },
        quote: QuoteStatement {
            attest: data("quote.tpms-attest"),
            signature: data("quote.tpmt-signature"),
            pcr_values: pcr_values.collect(),
        },
    }
}

#[test]
fn evidence_equals_that_of_the_second_implementation() {
    let evidence = fixture_evidence();
    assert_eq!(evidence.to_attribute_value_der().unwrap(), data("evidence.der"));
    assert_eq!(Evidence::from_attribute_value_der(&data("evidence.der")), Ok(evidence));
}

#[test]
fn truncated_evidence_is_refused() {
    let der = data("evidence.der");
    for length in 0..der.len() {
        assert!(Evidence::from_attribute_value_der(&der[..length]).is_err(), "cut to {length}");
    }
    assert!(Evidence::from_attribute_value_der(&[der.as_slice(), &[0]].concat()).is_err());
    assert_eq!(
        Evidence::from_attribute_value_der(&vec![0x30; MAX_LENGTH + 1]),
        Err(EvidenceError::TooLong(MAX_LENGTH + 1))
    );
}

/// DER with lengths below 64 KiB.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u16::try_from(body.len()).unwrap();
    let header = match length {
        0..0x80 => vec![tag, length.to_be_bytes()[1]],
        0x80..0x100 => vec![tag, 0x81, length.to_be_bytes()[1]],
        _ => [&[tag, 0x82], length.to_be_bytes().as_slice()].concat(),
    };
    [header, body].concat()
}

/// The statements of the fixture, one by one.
fn statements() -> [Vec<u8>; 2] {
    let evidence = fixture_evidence();
    let certify = der(
        0x30,
        &[
            &der(4, &[&evidence.certify.attest]),
            &der(4, &[&evidence.certify.signature]),
            &der(4, &[&evidence.certify.public]),
        ],
    );
    let quote = quote_statement(&[7, 11]);
    [
        der(0x30, &[&der(6, &[oid::TCG_ATTEST_TPM_CERTIFY.as_bytes()]), &certify]),
        der(0x30, &[&oid::QUOTE_STATEMENT.to_der(), &quote]),
    ]
}

fn quote_statement(indices: &[u8]) -> Vec<u8> {
    let values: Vec<_> = indices
        .iter()
        .map(|index| der(0x30, &[&der(2, &[&[*index]]), &der(4, &[&[0; 32]])]))
        .collect();
    der(0x30, &[&der(4, &[&[1]]), &der(4, &[&[2]]), &der(0x30, &[&values.concat()])])
}

fn bundle(statements: &[&[u8]]) -> Vec<u8> {
    der(0x30, &[&der(0x30, statements)])
}

#[test]
fn each_statement_is_there_once() {
    let [certify, quote] = statements();
    let other = der(0x30, &[&der(6, &[&[0x2a, 3, 4]]), &[5, 0]]);
    let parse = |statements: &[&[u8]]| Evidence::from_attribute_value_der(&bundle(statements));
    assert!(parse(&[&certify, &quote]).is_ok());
    assert!(parse(&[&quote, &other, &certify]).is_ok(), "order and other statements do not matter");
    assert_eq!(parse(&[&certify]), Err(EvidenceError::Missing("quote")));
    assert_eq!(parse(&[&quote]), Err(EvidenceError::Missing("certify")));
    assert_eq!(parse(&[&certify, &certify, &quote]), Err(EvidenceError::Repeated("certify")));
    assert_eq!(parse(&[&certify, &quote, &quote]), Err(EvidenceError::Repeated("quote")));
}

#[test]
fn pcr_values_ascend() {
    let [certify, _] = statements();
    for (indices, accepted) in [
        ([7, 11].as_slice(), true),
        (&[], true),
        (&[11, 7], false),
        (&[7, 7], false),
        (&(0..25).collect::<Vec<_>>(), false),
    ] {
        let quote = der(0x30, &[&oid::QUOTE_STATEMENT.to_der(), &quote_statement(indices)]);
        let result = Evidence::from_attribute_value_der(&bundle(&[&certify, &quote]));
        let expected = (!accepted).then_some(EvidenceError::PcrValues);
        assert_eq!(result.err(), expected, "{indices:?}");
    }
}

#[test]
fn the_binding_equals_that_of_the_second_implementation() {
    let binding: Value = serde_json::from_slice(&data("binding.json")).unwrap();
    let bytes = |key: &str| hex::decode(binding[key].as_str().unwrap()).unwrap();
    let edge_id = EdgeId::parse(binding["edge_id"].as_str().unwrap()).unwrap();
    let spki_sha256 = sha256(&[&data("device-key-rsa2048.spki.der")]);
    let (secret, nonce, exporter) = (bytes("secret"), bytes("nonce"), bytes("tls_exporter"));
    let input = BindingInput {
        secret: &secret,
        nonce: &nonce,
        spki_sha256: &spki_sha256,
        edge_id: &edge_id,
        tls_exporter: &exporter,
        pairing_code: binding["pairing_code"].as_str().unwrap().as_bytes(),
    };
    let certify = Attest::parse(&data("certify.tpms-attest")).unwrap();
    assert_eq!(*certify.extra_data, qualifying_data(&input));

    let other_edge_id = EdgeId::parse("HF-0002").unwrap();
    for (field, changed) in [
        ("secret", BindingInput { secret: &[1; 32], ..input }),
        ("nonce", BindingInput { nonce: &[1; 32], ..input }),
        ("key", BindingInput { spki_sha256: &[1; 32], ..input }),
        ("Edge ID", BindingInput { edge_id: &other_edge_id, ..input }),
        ("exporter", BindingInput { tls_exporter: &[1; 32], ..input }),
        ("pairing code", BindingInput { pairing_code: b"", ..input }),
    ] {
        assert_ne!(qualifying_data(&changed), qualifying_data(&input), "{field}");
    }
    // The same bytes with another boundary between two fields.
    let (left, right) =
        (BindingInput { nonce: b"ab", ..input }, BindingInput { nonce: b"a", ..input });
    assert_ne!(qualifying_data(&left), qualifying_data(&right));
}

fn request() -> NonceRequest {
    NonceRequest::new(RequestInfo {
        edge_id: EdgeId::parse("HF-0001").unwrap(),
        ek_public: data("ek-rsa2048.tpmt-public"),
        ek_certificates: vec![data("ek-certificate.nv"), data("ek-intermediate.der")],
        ak_public: data("ak-p256.tpmt-public"),
        device_key_spki_sha256: [7; 32],
    })
}

fn response() -> NonceResponse {
    let info = ResponseInfo {
        credential_blob: vec![1, 2, 3],
        encrypted_secret: vec![0xff; 256],
        pcrs: QUOTED_PCRS.to_vec(),
    };
    NonceResponse::new(vec![9; 32], 600, info)
}

#[test]
fn nonce_messages_have_the_agreed_names() {
    let value: Value = serde_json::from_slice(&request().to_json().unwrap()).unwrap();
    assert_eq!(value["len"], 32);
    let info = &value["reqTypeInfo"];
    assert_eq!(info["type"], "2.25.329800735698586629295641978511506172918.1");
    assert_eq!(info["reqInfo"]["edge_id"], "HF-0001");
    assert_eq!(
        info["reqInfo"]["device_key_spki_sha256"],
        "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"
    );
    assert_eq!(info["reqInfo"]["ek_certificates"].as_array().unwrap().len(), 2);
    let value: Value = serde_json::from_slice(&response().to_json().unwrap()).unwrap();
    assert_eq!(value["respTypeInfo"]["type"], "2.25.329800735698586629295641978511506172918.2");
    assert_eq!(value["expiry"], 600);
    assert_eq!(value["respTypeInfo"]["respInfo"]["credential_blob"], "AQID");
    assert_eq!(value["respTypeInfo"]["respInfo"]["pcrs"], json!([7, 11, 12, 14]));
}

#[test]
fn nonce_messages_round_trip() {
    let request = request();
    assert_eq!(NonceRequest::from_json(&request.to_json().unwrap()).unwrap(), request);
    let response = response();
    assert_eq!(NonceResponse::from_json(&response.to_json().unwrap()).unwrap(), response);
}

/// Changes one place of a valid request.
fn changed_request(pointer: &str, value: Value) -> Result<NonceRequest, NonceError> {
    let mut json = serde_json::to_value(request()).unwrap();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    json.pointer_mut(parent).unwrap()[key] = value;
    NonceRequest::from_json(&serde_json::to_vec(&json).unwrap())
}

#[test]
fn nonce_requests_with_one_fault_are_refused() {
    for (pointer, value, message) in [
        ("/len", json!(16), "a nonce of 16 bytes"),
        ("/len", json!(-1), "invalid value"),
        ("/extra", json!(1), "unknown field `extra`"),
        ("/reqTypeInfo/type", json!("1.2.3"), "the information type is 1.2.3"),
        ("/reqTypeInfo/extra", json!(1), "unknown field `extra`"),
        ("/reqTypeInfo/reqInfo/extra", json!(1), "unknown field `extra`"),
        ("/reqTypeInfo/reqInfo/edge_id", json!("Default string"), "placeholder"),
        ("/reqTypeInfo/reqInfo/edge_id", json!("a/b"), "the character '/' at position 2"),
        ("/reqTypeInfo/reqInfo/ek_public", json!("AA=="), "base64url"),
        ("/reqTypeInfo/reqInfo/ek_public", json!("+/+/"), "base64url"),
        ("/reqTypeInfo/reqInfo/ek_certificates", json!(["*"]), "base64url"),
        ("/reqTypeInfo/reqInfo/device_key_spki_sha256", json!("AQID"), "32 bytes"),
    ] {
        let error = changed_request(pointer, value).unwrap_err().to_string();
        assert!(error.contains(message), "{pointer}: {error}");
    }
    assert!(matches!(
        NonceRequest::from_json(&vec![b' '; MAX_BODY + 1]),
        Err(NonceError::TooLong(_))
    ));
}

#[test]
fn nonce_responses_of_another_type_or_length_are_refused() {
    let mut response = response();
    response.nonce.pop();
    assert!(matches!(
        NonceResponse::from_json(&response.to_json().unwrap()),
        Err(NonceError::Length(31))
    ));
    let mut json = serde_json::to_value(self::response()).unwrap();
    json["respTypeInfo"]["type"] = json!("1.2.3");
    assert!(matches!(
        NonceResponse::from_json(&serde_json::to_vec(&json).unwrap()),
        Err(NonceError::Type { .. })
    ));
}

#[test]
fn a_newer_server_may_add_to_its_response() {
    let mut json = serde_json::to_value(response()).unwrap();
    json["respTypeInfo"]["respInfo"]["hint"] = json!("new");
    assert!(NonceResponse::from_json(&serde_json::to_vec(&json).unwrap()).is_ok());
}

#[test]
fn refusals_have_the_agreed_form() {
    let refusal = Refusal::new(Reason::EdgeIdBoundElsewhere, "r-1".to_owned(), None);
    let json = serde_json::to_value(&refusal).unwrap();
    assert_eq!(json, json!({"error": {"code": "edge-id-bound-elsewhere", "request_id": "r-1"}}));
    let refusal = Refusal::new(Reason::SiteMismatch, "r-2".to_owned(), Some("why".to_owned()));
    let text = serde_json::to_string(&refusal).unwrap();
    assert_eq!(serde_json::from_str::<Refusal>(&text).unwrap(), refusal);
    let newer = r#"{"error":{"code":"of-tomorrow","request_id":"r-3","more":1}}"#;
    let newer: Refusal = serde_json::from_str(newer).unwrap();
    assert_eq!((newer.code.as_str(), newer.reason()), ("of-tomorrow", None));
}

#[test]
fn reason_codes_are_kebab_case_and_unique() {
    for (index, reason) in Reason::ALL.iter().enumerate() {
        let code = reason.code();
        assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{code}");
        assert_eq!(Reason::from_code(code), Some(*reason));
        assert!(Reason::ALL[..index].iter().all(|other| other.code() != code), "{code} twice");
    }
    assert_eq!(Reason::from_code("nothing"), None);
}

#[test]
fn edge_ids_are_normalised() {
    for (text, normal) in [
        ("hf-0001", "HF-0001"),
        ("  HF-0001\n", "HF-0001"),
        ("hf-0001\0\0", "HF-0001"),
        ("52:54:00:12:34:56", "52:54:00:12:34:56"),
        ("a.b_c", "A.B_C"),
        ("7", "7"),
        ("1234567890", "1234567890"),
        ("0001", "0001"),
    ] {
        assert_eq!(EdgeId::parse(text).unwrap().as_str(), normal, "{text:?}");
    }
    let longest = "A1".repeat(32);
    assert_eq!(EdgeId::parse(&longest).unwrap().as_str(), longest);
}

#[test]
fn edge_ids_that_name_nothing_are_refused() {
    for text in ["", " ", "\n", "\0"] {
        assert_eq!(EdgeId::parse(text), Err(EdgeIdError::Empty), "{text:?}");
    }
    for text in [
        "To be filled by O.E.M.",
        "TO BE FILLED BY O.E.M.\n",
        "Default string",
        "System Serial Number",
        "Not Specified",
        "None",
        "N/A",
        "0",
        "00000000",
        "00:00:00:00:00:00",
        "FF:FF:FF:FF:FF:FF",
        "ffffffff",
        "XXXXXXXX",
        "1111",
        "........",
        "0123456789",
        "123456789",
        "Unknown",
        "INVALID",
    ] {
        let result = EdgeId::parse(text);
        assert!(matches!(result, Err(EdgeIdError::Placeholder(_))), "{text:?}: {result:?}");
    }
    for (text, character, position) in
        [("a b", ' ', 2), ("gerät", 'ä', 4), ("a/b", '/', 2), ("a\u{200b}", '\u{200b}', 2)]
    {
        let result = EdgeId::parse(text);
        assert_eq!(result, Err(EdgeIdError::Character { character, position }), "{text:?}");
    }
    assert_eq!(EdgeId::parse(&"A1".repeat(33)), Err(EdgeIdError::TooLong(66)));
}

#[test]
fn the_site_pcr_is_one_extension() {
    let pcrs = data("pcr-values");
    assert_eq!(expected_site_pcr(&data("site.toml")), pcrs[96..128]);
    assert_ne!(expected_site_pcr(b"another"), pcrs[96..128]);
}

fn release() -> Value {
    json!({
        "format": 1, "name": "holdfast", "version": "0.1.0", "profile": "release",
        "security_version": 1,
        "pcr11": [
            {"phase": "enter-initrd", "sha256": "11".repeat(32)},
            {"phase": "enter-initrd:leave-initrd:sysinit", "sha256": "ab".repeat(32)},
        ],
        "uki_sha256": "22".repeat(32), "root_hash": "33".repeat(32),
    })
}

#[test]
fn release_measurements() {
    let parse = |json: &Value| ReleaseMeasurement::from_json(&serde_json::to_vec(json).unwrap());
    let measurement = parse(&release()).unwrap();
    assert_eq!(serde_json::to_value(&measurement).unwrap(), release());
    assert_eq!(measurement.phase_of(&[0xab; 32]), Some("enter-initrd:leave-initrd:sysinit"));
    assert_eq!(measurement.phase_of(&[0; 32]), None);
    for (key, value, message) in [
        ("format", json!(2), "format 2"),
        ("pcr11", json!([]), "no value of PCR 11"),
        ("pcr11", json!([{"phase": "x", "sha256": "00"}]), "64 hexadecimal digits"),
        ("uki_sha256", json!("zz".repeat(32)), "64 hexadecimal digits"),
        ("extra", json!(1), "unknown field `extra`"),
    ] {
        let mut changed = release();
        changed[key] = value;
        let error = parse(&changed).unwrap_err().to_string();
        assert!(error.contains(message), "{key}: {error}");
    }
    assert!(matches!(ReleaseMeasurement::from_json(b"{"), Err(ReleaseMeasurementError::Json(_))));
}

#[test]
fn a_tpm_vendors_certificate_is_read() {
    let nv = data("ek-certificate.nv");
    let certificate = EkCertificate::parse(&nv).unwrap();
    let ek = Public::parse(&data("ek-rsa2048.tpmt-public")).unwrap();
    assert_eq!(certificate.spki(), ek.to_spki_der().unwrap());
    assert!(certificate.is_strict() && certificate.is_ek() && !certificate.is_ca());
    assert!(!certificate.has_unknown_critical_extension());
    assert_eq!(certificate.not_after(), Some(253_402_300_799), "the year 9999");
    assert!(!certificate.is_valid_at(0));
    assert!(certificate.is_valid_at(253_402_300_799));
    let intermediate = EkCertificate::parse(&data("ek-intermediate.der")).unwrap();
    assert!(intermediate.is_ca() && !intermediate.is_ek());
    assert_eq!(intermediate.subject(), certificate.issuer());
    assert_eq!(ek_sha256(certificate.spki()), sha256(&[certificate.spki()]));
}

#[test]
fn padding_of_an_nv_index_is_cut_off() {
    let der = data("ek-certificate.nv");
    for padding in [0x00, 0xff] {
        let padded = [der.as_slice(), &[padding; 500]].concat();
        assert_eq!(EkCertificate::trim_padding(&padded), der);
        let certificate = EkCertificate::parse(&padded).unwrap();
        assert_eq!(certificate.der(), der);
        assert!(!certificate.is_strict());
    }
    assert_eq!(EkCertificate::trim_padding(b"no certificate"), b"no certificate");
    assert_eq!(EkCertificate::trim_padding(&[]), b"");
}

/// Certificates as vendors get them wrong are read, and marked.
#[test]
fn malformed_certificates_are_read_leniently() {
    let der = data("ek-certificate.nv");
    // The outer length in one byte more than needed.
    let long_length = [&[0x30, 0x83, 0], &der[2..]].concat();
    let certificate = EkCertificate::parse(&long_length).unwrap();
    assert!(!certificate.is_strict());
    assert_eq!(certificate.spki(), EkCertificate::parse(&der).unwrap().spki());
    // A validity that is no time.
    let place = der.windows(2).position(|bytes| bytes == [0x17, 13]).unwrap();
    let mut no_time = der;
    no_time[place + 2] = b'x';
    let certificate = EkCertificate::parse(&no_time).unwrap();
    assert!(!certificate.is_strict());
    assert!(!certificate.is_valid_at(2_000_000_000));
}

#[test]
fn truncated_certificates_are_refused() {
    let der = data("ek-certificate.nv");
    for length in 0..der.len() {
        assert!(EkCertificate::parse(&der[..length]).is_err(), "cut to {length}");
    }
    assert!(EkCertificate::parse(&vec![0x30; 9000]).is_err());
}

#[test]
fn the_private_arc_is_encoded_as_openssl_does() {
    // openssl asn1parse -genstr OID:2.25.329800735698586629295641978511506172918.3
    let der = "06156983f09da7ebcfdee0c7a1a7b2c0948cc8f9d77603";
    assert_eq!(hex::encode(oid::QUOTE_STATEMENT.to_der()), der);
    assert_eq!(oid::POLICY_ATTESTED.to_string(), "2.25.329800735698586629295641978511506172918.4");
    assert_eq!(
        hex::encode(oid::POLICY_NOT_ATTESTED.to_certificate_policies_der()),
        "3019301706156983f09da7ebcfdee0c7a1a7b2c0948cc8f9d77605"
    );
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..700);
    let indices = proptest::sample::subsequence((0_u8..24).collect::<Vec<_>>(), 0..=24);
    (bytes(), bytes(), bytes(), bytes(), bytes(), indices, any::<[u8; 32]>()).prop_map(
        |(a, b, c, d, e, indices, digest)| Evidence {
            certify: CertifyStatement { attest: a, signature: b, public: c },
            quote: QuoteStatement {
                attest: d,
                signature: e,
                pcr_values: indices.into_iter().map(|index| PcrValue { index, digest }).collect(),
            },
        },
    )
}

proptest! {
    #[test]
    fn evidence_round_trips(evidence in evidence()) {
        let der = evidence.to_attribute_value_der().unwrap();
        prop_assert_eq!(Evidence::from_attribute_value_der(&der), Ok(evidence));
    }

    #[test]
    fn edge_ids_are_stable(text in "\\PC{0,70}") {
        if let Ok(edge_id) = EdgeId::parse(&text) {
            prop_assert_eq!(EdgeId::parse(edge_id.as_str()), Ok(edge_id));
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Evidence::from_attribute_value_der(&bytes);
        let _ = EkCertificate::parse(&bytes);
        let _ = EkCertificate::trim_padding(&bytes);
        let _ = NonceRequest::from_json(&bytes);
        let _ = NonceResponse::from_json(&bytes);
        let _ = ReleaseMeasurement::from_json(&bytes);
    }

    #[test]
    fn changed_bytes_do_not_panic(
        offset in any::<proptest::sample::Index>(),
        value in any::<u8>(),
    ) {
        for name in ["evidence.der", "ek-certificate.nv", "ek-intermediate.der"] {
            let mut bytes = data(name);
            let offset = offset.index(bytes.len());
            bytes[offset] = value;
            let _ = Evidence::from_attribute_value_der(&bytes);
            if let Ok(certificate) = EkCertificate::parse(&bytes) {
                prop_assert!(certificate.der().len() <= bytes.len());
            }
        }
    }
}
