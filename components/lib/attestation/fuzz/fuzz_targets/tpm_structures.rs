//! Accepted structures marshal back to the bytes that were parsed.
#![no_main]

use holdfast_attestation::tpm::{Attest, Name, PcrSelections, Public, Signature};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
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
});
