//! Accepted evidence is written and read again without a change.
#![no_main]

use holdfast_attestation::evidence::Evidence;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(evidence) = Evidence::from_attribute_value_der(bytes) {
        let Ok(der) = evidence.to_attribute_value_der() else { panic!("cannot be written back") };
        assert_eq!(Evidence::from_attribute_value_der(&der), Ok(evidence));
    }
});
