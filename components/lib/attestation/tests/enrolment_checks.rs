//! Checks 4 to 9, each violated alone.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;
#[path = "common/scenario.rs"]
mod scenario;

use common::data;
use holdfast_attestation::challenge::Challenge;
use holdfast_attestation::csr::CertificateRequest;
use holdfast_attestation::edge_id::EdgeId;
use holdfast_attestation::evidence::{CertifyStatement, Evidence, QuoteStatement};
use holdfast_attestation::hash::{HashAlgorithm, sha256};
use holdfast_attestation::pcr::{QUOTED_PCRS, QuotePolicy, expected_site_pcr};
use holdfast_attestation::refusal::Reason;
use holdfast_attestation::tpm::{
    Attest, Attested, EccScheme, ObjectAttributes, Parameters, PcrSelection, PcrSelections, Public,
    RsaScheme,
};
use holdfast_attestation::verify::{
    BootExpectation, EnrolmentContext, check_device_key, check_enrolment, check_evidence_signatures,
};
use p256::ecdsa::SigningKey;
use proptest::prelude::*;
use rand_core::OsRng;
use scenario::{NOW, Scenario, key_attributes, public_of, release, select, values};
use serde_json::Value;

/// Changes a valid enrolment and expects this check to refuse it for this reason.
#[track_caller]
fn refused(number: u8, reason: Reason, change: impl FnOnce(&mut Scenario)) -> String {
    let mut scenario = Scenario::valid();
    change(&mut scenario);
    match scenario.check() {
        Err(failure) => {
            assert_eq!((failure.number, failure.reason), (number, reason), "{failure}");
            failure.detail
        }
        Ok(_) => panic!("accepted, expected {reason}"),
    }
}

#[test]
fn a_valid_enrolment_passes() {
    let scenario = Scenario::valid();
    let verdict = scenario.check().unwrap();
    assert_eq!(verdict.csr.spki(), scenario.device.csr_spki);
    assert_eq!(verdict.device_key, scenario.device.key_public);
    assert_eq!(verdict.boot.pcr(7), Some(&[7; 32]));
    assert_eq!(verdict.boot.pcr(8), None);
    let known = verdict.boot.release.unwrap();
    assert_eq!(
        (known.version.as_str(), known.profile.as_str(), known.security_version),
        ("0.2.0", "release", 3)
    );
    assert_eq!(known.phase, "enter-initrd:leave-initrd");
    assert!(verdict.boot.deviations.is_empty());
}

/// What the server held when the request of the test data was made.
fn real_challenge() -> (Challenge, Vec<u8>) {
    let binding: Value = serde_json::from_slice(&data("binding.json")).unwrap();
    let bytes = |key: &str| hex::decode(binding[key].as_str().unwrap()).unwrap();
    let secret: [u8; 32] = bytes("secret").try_into().unwrap();
    let challenge = Challenge {
        nonce: bytes("nonce"),
        secret: secret.into(),
        edge_id: EdgeId::parse(binding["edge_id"].as_str().unwrap()).unwrap(),
        ak: Public::parse(&data("ak-p256.tpmt-public")).unwrap(),
        device_key_spki_sha256: sha256(&[&data("device-key-rsa2048.spki.der")]),
        tls_exporter: bytes("tls_exporter").try_into().unwrap(),
        expires_at: NOW + 600,
        used: false,
    };
    (challenge, binding["pairing_code"].as_str().unwrap().as_bytes().to_vec())
}

#[test]
fn a_tpms_enrolment_passes() {
    let (challenge, pairing_code) = real_challenge();
    let pcrs = data("pcr-values");
    let releases = [release("0.3.0", pcrs[32..64].try_into().unwrap())];
    let context = EnrolmentContext {
        challenge: Some(&challenge),
        tls_exporter: &challenge.tls_exporter,
        pairing_code: &pairing_code,
        now: NOW,
        boot: BootExpectation {
            releases: &releases,
            site_pcr: expected_site_pcr(&data("site.toml")),
            recorded_secure_boot_pcr: Some(pcrs[..32].try_into().unwrap()),
            policy: QuotePolicy::Enforce,
        },
    };
    for csr in ["csr-rsassa.der", "csr-rsapss.der"] {
        let verdict =
            check_enrolment(&data(csr), &context).unwrap_or_else(|f| panic!("{csr}: {f}"));
        assert_eq!(verdict.device_key.marshal(), data("device-key-rsa2048.tpmt-public"));
        assert_eq!(verdict.boot.release.unwrap().version, "0.3.0");
    }
}

/// No byte of a TPM's request can be changed: everything is under one of the two signatures.
#[test]
fn a_tpms_request_cannot_be_changed() {
    let (challenge, pairing_code) = real_challenge();
    let pcrs = data("pcr-values");
    let releases = [release("0.3.0", pcrs[32..64].try_into().unwrap())];
    let context = EnrolmentContext {
        challenge: Some(&challenge),
        tls_exporter: &challenge.tls_exporter,
        pairing_code: &pairing_code,
        now: NOW,
        boot: BootExpectation {
            releases: &releases,
            site_pcr: expected_site_pcr(&data("site.toml")),
            recorded_secure_boot_pcr: None,
            policy: QuotePolicy::Record,
        },
    };
    let csr = data("csr-rsassa.der");
    for offset in 0..csr.len() {
        let mut changed = csr.clone();
        changed[offset] ^= 1;
        let number = check_enrolment(&changed, &context).err().map(|failure| failure.number);
        assert_eq!(number, Some(4), "byte {offset}");
        assert!(check_enrolment(&csr[..offset], &context).is_err(), "cut to {offset}");
    }
}

/// Evidence of the test data, signed by the AK with this RSA scheme.
fn rsa_evidence(scheme: &str) -> (Evidence, Public) {
    let evidence = Evidence {
        certify: CertifyStatement {
            attest: data(&format!("certify-{scheme}.tpms-attest")),
            signature: data(&format!("certify-{scheme}.tpmt-signature")),
            public: data("device-key-rsa2048.tpmt-public"),
        },
        quote: QuoteStatement {
            attest: data(&format!("quote-{scheme}.tpms-attest")),
            signature: data(&format!("quote-{scheme}.tpmt-signature")),
            pcr_values: Vec::new(),
        },
    };
    (evidence, Public::parse(&data(&format!("ak-{scheme}.tpmt-public"))).unwrap())
}

#[test]
fn aks_with_rsa_schemes_are_verified() {
    for (scheme, other) in [("rsassa", "rsapss"), ("rsapss", "rsassa")] {
        let (evidence, ak) = rsa_evidence(scheme);
        check_evidence_signatures(&evidence, &ak).unwrap();
        let (_, other_ak) = rsa_evidence(other);
        let failure = check_evidence_signatures(&evidence, &other_ak).unwrap_err();
        assert_eq!((failure.number, failure.reason), (7, Reason::EvidenceSignature));
    }
}

#[test]
fn check_4_the_request_is_signed_with_its_own_key() {
    refused(4, Reason::CsrSignature, |scenario| {
        scenario.device.signs_csr = SigningKey::random(&mut OsRng);
    });
}

#[test]
fn check_4_the_request_is_der() {
    let scenario = Scenario::valid();
    for csr in [Vec::new(), vec![0x30, 0x80], vec![0; 40 * 1024], data("evidence.der")] {
        let failure = check_enrolment(&csr, &scenario.server.context()).unwrap_err();
        assert_eq!((failure.number, failure.reason), (4, Reason::MalformedRequest));
    }
}

#[test]
fn check_5_the_nonce_is_known() {
    refused(5, Reason::NonceUnknown, |scenario| scenario.server.challenge = None);
}

#[test]
fn check_5_the_nonce_is_for_this_key() {
    refused(5, Reason::NonceUnknown, |scenario| {
        scenario.server.challenge().device_key_spki_sha256 = [9; 32];
    });
}

#[test]
fn check_5_the_nonce_is_unused() {
    refused(5, Reason::NonceUsed, |scenario| scenario.server.challenge().used = true);
}

#[test]
fn check_5_the_nonce_is_of_this_connection() {
    refused(5, Reason::NonceOtherConnection, |scenario| scenario.server.tls_exporter = [4; 32]);
}

#[test]
fn check_5_the_nonce_is_not_expired() {
    refused(5, Reason::NonceExpired, |scenario| scenario.server.now = NOW + 600);
    let mut scenario = Scenario::valid();
    scenario.server.now = NOW + 599;
    assert!(scenario.check().is_ok());
}

#[test]
fn check_6_both_statements_carry_the_binding() {
    for (statement, change) in [
        ("certify", (|scenario| scenario.device.certify_data[31] ^= 1) as fn(&mut Scenario)),
        ("certify", |scenario| scenario.device.certify_data.truncate(31)),
        ("certify", |scenario| scenario.device.certify_data.clear()),
        ("quote", |scenario| scenario.device.quote_data[0] ^= 1),
        ("quote", |scenario| scenario.device.quote_data.push(0)),
    ] {
        let detail = refused(6, Reason::BindingMismatch, change);
        assert!(detail.contains(statement), "{detail}");
    }
}

#[test]
fn check_6_every_input_of_the_binding_counts() {
    for change in [
        (|scenario| scenario.server.challenge().secret = [9; 32].into()) as fn(&mut Scenario),
        |scenario| scenario.server.challenge().nonce = vec![9; 32],
        |scenario| scenario.server.challenge().edge_id = EdgeId::parse("HF-0002").unwrap(),
        |scenario| scenario.server.pairing_code = b"another",
        |scenario| scenario.server.pairing_code = b"",
        |scenario| {
            // A man in the middle has the same connection to the server from nonce to request, but
            // the device answers for its own.
            scenario.server.tls_exporter = [4; 32];
            scenario.server.challenge().tls_exporter = [4; 32];
        },
    ] {
        refused(6, Reason::BindingMismatch, change);
    }
}

#[test]
fn check_7_the_ak_signed() {
    refused(7, Reason::EvidenceSignature, |scenario| {
        scenario.device.signs_attests = SigningKey::random(&mut OsRng);
    });
}

#[test]
fn check_7_a_tpm_made_the_statements() {
    refused(7, Reason::EvidenceInvalid, |scenario| {
        scenario.device.change_certify = |mut attest| {
            attest[0] = 0;
            attest
        };
    });
    refused(7, Reason::EvidenceInvalid, |scenario| {
        scenario.device.change_quote = |mut attest| {
            attest.push(0);
            attest
        };
    });
    refused(7, Reason::EvidenceInvalid, |scenario| scenario.device.swap_statements = true);
    refused(7, Reason::EvidenceInvalid, |scenario| scenario.device.without_evidence = true);
}

#[test]
fn check_8_the_certified_object_is_the_one_sent() {
    refused(8, Reason::DeviceKeyName, |scenario| {
        scenario.device.certified_name = scenario.server.challenge().ak.name();
    });
}

/// A TPM certifies its key, the certificate is asked for one in software.
#[test]
fn check_8_the_certified_key_is_that_of_the_request() {
    refused(8, Reason::DeviceKeyMismatch, |scenario| {
        let other = SigningKey::random(&mut OsRng);
        scenario.device.set_key_public(public_of(&other, key_attributes(), EccScheme::Null));
    });
}

#[test]
fn check_8_the_device_key_cannot_leave_the_tpm() {
    for (attributes, named) in [
        (key_attributes().without(ObjectAttributes::FIXED_TPM), "lacks fixedTPM;"),
        (key_attributes().without(ObjectAttributes::FIXED_PARENT), "lacks fixedParent;"),
        (
            key_attributes().without(ObjectAttributes::SENSITIVE_DATA_ORIGIN),
            "lacks sensitiveDataOrigin;",
        ),
        (key_attributes().without(ObjectAttributes::SIGN), "lacks sign;"),
        (ObjectAttributes::NONE, "lacks fixedTPM|fixedParent|sensitiveDataOrigin|sign;"),
        (key_attributes() | ObjectAttributes::RESTRICTED, "no plain signing key"),
        (key_attributes() | ObjectAttributes::X509_SIGN, "no plain signing key"),
        (key_attributes() | ObjectAttributes::DECRYPT, "size or scheme"),
    ] {
        let detail = refused(8, Reason::DeviceKeyAttributes, |scenario| {
            let key = scenario.device.signs_csr.clone();
            scenario.device.set_key_public(public_of(&key, attributes, EccScheme::Null));
        });
        assert!(detail.contains(named), "{detail}");
    }
}

/// The two kinds of RSA device keys; a decryption key has to be one without a scheme.
#[test]
fn check_8_rsa_keys_that_decrypt_have_no_scheme() {
    let csr = CertificateRequest::parse(&data("csr-rsassa.der")).unwrap();
    for (decrypts, scheme, accepted) in [
        (false, RsaScheme::Null, true),
        (false, RsaScheme::RsaPss(HashAlgorithm::Sha256), true),
        (true, RsaScheme::Null, true),
        (true, RsaScheme::RsaPss(HashAlgorithm::Sha256), false),
        (true, RsaScheme::Oaep(HashAlgorithm::Sha256), false),
    ] {
        let mut key = Public::parse(&data("device-key-rsa2048.tpmt-public")).unwrap();
        if decrypts {
            key.attributes = key.attributes | ObjectAttributes::DECRYPT;
        }
        if let Parameters::Rsa { scheme: field, .. } = &mut key.parameters {
            *field = scheme;
        }
        let mut attest = Attest::parse(&data("certify.tpms-attest")).unwrap();
        if let Attested::Certify { name, .. } = &mut attest.attested {
            *name = key.name();
        }
        let statement = CertifyStatement {
            attest: attest.marshal(),
            signature: Vec::new(),
            public: key.marshal(),
        };
        let result = check_device_key(&csr, &statement);
        let reason = result.err().map(|failure| failure.reason);
        assert_eq!(reason, (!accepted).then_some(Reason::DeviceKeyAttributes), "{scheme:?}");
    }
}

#[test]
fn check_9_the_quote_is_over_the_pcrs_asked_for() {
    refused(9, Reason::QuoteSelection, |scenario| {
        scenario.device.quote_selection = select(HashAlgorithm::Sha256, &[7, 11, 14]);
    });
    refused(9, Reason::QuoteSelection, |scenario| {
        scenario.device.quote_selection = select(HashAlgorithm::Sha384, &QUOTED_PCRS);
    });
    refused(9, Reason::QuoteSelection, |scenario| {
        let both = [HashAlgorithm::Sha256, HashAlgorithm::Sha384]
            .map(|hash| PcrSelection::new(hash, &QUOTED_PCRS).unwrap());
        scenario.device.quote_selection = PcrSelections::new(both.to_vec()).unwrap();
    });
    refused(9, Reason::QuoteSelection, |scenario| {
        scenario.device.sent = values(&[7, 11, 12, 15], &[[7; 32], [11; 32], [0; 32], [14; 32]]);
    });
    refused(9, Reason::QuoteSelection, |scenario| {
        scenario.device.sent.pop();
    });
}

/// A selection or digest that does not fit is refused in `record` mode as well.
#[test]
fn check_9_the_values_sent_are_those_quoted() {
    for policy in [QuotePolicy::Enforce, QuotePolicy::Record] {
        refused(9, Reason::QuoteDigest, |scenario| {
            scenario.server.policy = policy;
            scenario.device.quoted[1] = [66; 32];
        });
    }
}

/// The values of [`QUOTED_PCRS`] that differ from the valid ones in one place.
const DEVIATIONS: [(Reason, [[u8; 32]; 4]); 4] = [
    (Reason::ReleaseUnknown, [[7; 32], [66; 32], [0; 32], [14; 32]]),
    (Reason::CommandLineAdded, [[7; 32], [11; 32], [66; 32], [14; 32]]),
    (Reason::SiteMismatch, [[7; 32], [11; 32], [0; 32], [66; 32]]),
    (Reason::SecureBootChanged, [[66; 32], [11; 32], [0; 32], [14; 32]]),
];

#[test]
fn check_9_the_boot_is_one_that_is_known() {
    for (reason, pcrs) in DEVIATIONS {
        let detail = refused(9, reason, |scenario| scenario.device.set_pcrs(pcrs));
        assert!(detail.contains(&hex::encode([66; 32])), "{detail}");
    }
}

#[test]
fn check_9_all_deviations_are_told() {
    let detail = refused(9, Reason::ReleaseUnknown, |scenario| {
        scenario.device.set_pcrs([[66; 32]; 4]);
    });
    for pcr in ["PCR 7 ", "PCR 11 ", "PCR 12 ", "PCR 14 "] {
        assert!(detail.contains(pcr), "{detail}");
    }
}

#[test]
fn check_9_record_takes_deviations_down() {
    for (reason, pcrs) in DEVIATIONS {
        let mut scenario = Scenario::valid();
        scenario.server.policy = QuotePolicy::Record;
        scenario.device.set_pcrs(pcrs);
        let verdict = scenario.check().unwrap();
        let reasons: Vec<_> =
            verdict.boot.deviations.iter().map(|failure| failure.reason).collect();
        assert_eq!(reasons, [reason]);
        assert_eq!(verdict.boot.pcr_values, values(&QUOTED_PCRS, &pcrs));
        assert_eq!(verdict.boot.release.is_none(), reason == Reason::ReleaseUnknown);
    }
}

#[test]
fn check_9_the_first_enrolment_brings_its_secure_boot_state() {
    let mut scenario = Scenario::valid();
    scenario.server.recorded_secure_boot_pcr = None;
    scenario.device.set_pcrs([[66; 32], [11; 32], [0; 32], [14; 32]]);
    let verdict = scenario.check().unwrap();
    assert_eq!(verdict.boot.pcr(7), Some(&[66; 32]));
}

#[test]
fn check_9_no_release_is_known_before_one_is_published() {
    refused(9, Reason::ReleaseUnknown, |scenario| scenario.server.releases.clear());
}

proptest! {
    #[test]
    fn arbitrary_requests_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(check_enrolment(&bytes, &Scenario::valid().server.context()).is_err());
    }

    /// Without the signature's protection every parser behind it sees the changed byte.
    #[test]
    fn changed_requests_do_not_panic(offset in any::<proptest::sample::Index>(), value in any::<u8>()) {
        let mut bytes = data("csr-rsassa.der");
        let offset = offset.index(bytes.len());
        bytes[offset] = value;
        if let Ok(csr) = CertificateRequest::parse(&bytes) {
            let _ = csr.evidence();
            let _ = csr.verify_signature();
        }
    }
}
