//! What each fuzzer does with its bytes. Each asserts more than the absence of panics: what is
//! accepted is written back to the same bytes, or stays inside its input.

use holdfast_attestation::csr::{self, CertificateRequest};
use holdfast_attestation::ek::EkCertificate;
use holdfast_attestation::evidence::Evidence;
use holdfast_attestation::nonce::{NonceRequest, NonceResponse};
use holdfast_attestation::tpm::{Attest, Name, PcrSelections, Public, Signature};
use holdfast_attestation::verify::{EkTrust, check_nonce_request};

/// Takes any bytes and panics if something is wrong.
pub type Target = fn(&[u8]);

/// Every fuzzer by its name, for a test that replays what is known.
pub const TARGETS: &[(&str, Target)] = &[
    ("certificate_request", certificate_request),
    ("ek_certificate", ek_certificate),
    ("est_body", est_body),
    ("evidence", evidence),
    ("nonce_body", nonce_body),
    ("tpm_structures", tpm_structures),
];

/// The parts of an accepted request are parts of its bytes; its signature can be checked.
pub fn certificate_request(bytes: &[u8]) {
    if let Ok(csr) = CertificateRequest::parse(bytes) {
        assert!(bytes.windows(csr.spki().len()).any(|part| part == csr.spki()));
        let _ = csr.evidence();
        let _ = csr.verify_signature();
    }
}

/// The lenient reader stays inside its input, and padding changes nothing but its strictness.
pub fn ek_certificate(bytes: &[u8]) {
    assert!(bytes.starts_with(EkCertificate::trim_padding(bytes)));
    if let Ok(certificate) = EkCertificate::parse(bytes) {
        assert!(bytes.starts_with(certificate.der()));
        let again = EkCertificate::parse(certificate.der());
        assert_eq!(again.map(|again| again.spki().to_vec()), Ok(certificate.spki().to_vec()));
    }
}

/// White space changes nothing, and what is decoded is never longer than what was sent.
pub fn est_body(bytes: &[u8]) {
    if let Some(der) = csr::decode_body(bytes) {
        assert!(!der.is_empty() && der.len() < bytes.len());
        let spread: Vec<u8> = bytes.iter().flat_map(|byte| [*byte, b'\n']).collect();
        assert_eq!(csr::decode_body(&spread).as_deref(), Some(der.as_slice()));
        certificate_request(&der);
    }
}

/// Accepted evidence is written and read again without a change.
pub fn evidence(bytes: &[u8]) {
    if let Ok(evidence) = Evidence::from_attribute_value_der(bytes) {
        let Ok(der) = evidence.to_attribute_value_der() else { panic!("cannot be written back") };
        assert_eq!(Evidence::from_attribute_value_der(&der), Ok(evidence));
    }
}

/// Accepted bodies of the nonce exchange are written and read again without a change; the server's
/// first checks judge whatever keys and certificates are in them.
pub fn nonce_body(bytes: &[u8]) {
    if let Ok(request) = NonceRequest::from_json(bytes) {
        let Ok(json) = request.to_json() else { panic!("cannot be written back") };
        let again = NonceRequest::from_json(&json);
        assert!(again.is_ok_and(|again| again == request));
        let _ = check_nonce_request(&request.type_info.info, &EkTrust::Sha256([0; 32]), 0);
    }
    if let Ok(response) = NonceResponse::from_json(bytes) {
        let Ok(json) = response.to_json() else { panic!("cannot be written back") };
        let again = NonceResponse::from_json(&json);
        assert!(again.is_ok_and(|again| again == response));
    }
}

/// Accepted structures marshal back to the bytes that were parsed.
pub fn tpm_structures(bytes: &[u8]) {
    if let Ok(public) = Public::parse(bytes) {
        assert_eq!(public.marshal(), bytes);
        let _ = public.to_spki_der();
    }
    if let Ok(attest) = Attest::parse(bytes) {
        assert_eq!(attest.marshal(), bytes);
    }
    if let Ok(signature) = Signature::parse(bytes) {
        assert_eq!(signature.marshal(), bytes);
    }
    if let Ok(selections) = PcrSelections::parse(bytes) {
        assert_eq!(selections.marshal(), bytes);
    }
    if let Ok(name) = Name::from_bytes(bytes) {
        assert_eq!(name.as_bytes(), bytes);
    }
}
