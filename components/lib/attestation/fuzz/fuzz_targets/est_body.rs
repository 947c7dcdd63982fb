#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| holdfast_attestation_fuzz::est_body(bytes));
