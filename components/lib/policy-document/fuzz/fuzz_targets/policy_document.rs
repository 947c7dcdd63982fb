#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| holdfast_policy_document_fuzz::policy(bytes));
