//! The lenient reader stays inside its input, and padding changes nothing but its strictness.
#![no_main]

use holdfast_attestation::ek::EkCertificate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    assert!(bytes.starts_with(EkCertificate::trim_padding(bytes)));
    if let Ok(certificate) = EkCertificate::parse(bytes) {
        assert!(bytes.starts_with(certificate.der()));
        let again = EkCertificate::parse(certificate.der());
        assert_eq!(again.map(|again| again.spki().to_vec()), Ok(certificate.spki().to_vec()));
    }
});
