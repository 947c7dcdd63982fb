#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| holdfast_audit_log_fuzz::audit_export(bytes));
