//! The parts of an accepted request are parts of its bytes; its signature can be checked.
#![no_main]

use holdfast_attestation::csr::CertificateRequest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(csr) = CertificateRequest::parse(bytes) {
        assert!(bytes.windows(csr.spki().len()).any(|part| part == csr.spki()));
        let _ = csr.evidence();
        let _ = csr.verify_signature();
    }
});
