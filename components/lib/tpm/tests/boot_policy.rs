//! Sealing and boot-bound codes under PCR values signed in the way of systemd-measure.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

use holdfast_tpm::swtpm::Swtpm;
use holdfast_tpm::{BootPolicy, Tpm, TpmError};

mod support;
use support::PcrKey;

const SECRET: &[u8] = b"a data key of thirty-two bytes!!";
const KERNEL: [u8; 32] = [0xa; 32];
const NEXT_KERNEL: [u8; 32] = [0xb; 32];
const PHASE: [u8; 32] = [0xc; 32];
const SECURE_BOOT: [u8; 32] = [0xd; 32];

/// Measures what firmware and boot loader measure.
fn boot(swtpm: &mut Swtpm, secure_boot: &[u8; 32], kernel: &[u8; 32]) -> Tpm {
    swtpm.power_cycle().unwrap();
    let tpm = swtpm.open().unwrap();
    tpm.pcr_extend(7, secure_boot).unwrap();
    tpm.pcr_extend(11, kernel).unwrap();
    tpm
}

/// A key that signed one kernel, in two boot phases.
fn signer_of(kernel: &[u8; 32]) -> PcrKey {
    let swtpm = Swtpm::blank().unwrap();
    let mut key = PcrKey::new();
    for step in [kernel, &PHASE] {
        swtpm.open().unwrap().pcr_extend(11, step).unwrap();
        key.sign(&swtpm.tcti());
    }
    key
}

/// The signatures of a later kernel by the same key.
fn sign_too(key: &mut PcrKey, kernel: &[u8; 32]) {
    let swtpm = Swtpm::blank().unwrap();
    swtpm.open().unwrap().pcr_extend(11, kernel).unwrap();
    key.sign(&swtpm.tcti());
}

#[test]
fn secret_opens_in_every_signed_phase_and_after_a_signed_update() {
    let mut swtpm = Swtpm::blank().unwrap();
    let mut key = signer_of(&KERNEL);
    let tpm = boot(&mut swtpm, &SECURE_BOOT, &KERNEL);
    let sealed = tpm.seal(&key.policy(), SECRET).unwrap();
    assert_eq!(*tpm.unseal(&key.policy(), &sealed).unwrap(), SECRET);
    tpm.pcr_extend(11, &PHASE).unwrap();
    assert_eq!(*tpm.unseal(&key.policy(), &sealed).unwrap(), SECRET);
    drop(tpm);

    sign_too(&mut key, &NEXT_KERNEL);
    let tpm = boot(&mut swtpm, &SECURE_BOOT, &NEXT_KERNEL);
    assert_eq!(*tpm.unseal(&key.policy(), &sealed).unwrap(), SECRET);
}

#[test]
fn secret_stays_closed_under_an_unsigned_system() {
    let mut swtpm = Swtpm::blank().unwrap();
    let key = signer_of(&KERNEL);
    let tpm = boot(&mut swtpm, &SECURE_BOOT, &KERNEL);
    let sealed = tpm.seal(&key.policy(), SECRET).unwrap();
    tpm.pcr_extend(11, &NEXT_KERNEL).unwrap();
    let error = tpm.unseal(&key.policy(), &sealed).unwrap_err();
    assert!(matches!(error, TpmError::BootNotSigned { .. }), "{error}");
}

#[test]
fn secret_stays_closed_for_another_signer() {
    let mut swtpm = Swtpm::blank().unwrap();
    let (key, attacker) = (signer_of(&KERNEL), signer_of(&NEXT_KERNEL));
    let tpm = boot(&mut swtpm, &SECURE_BOOT, &KERNEL);
    let sealed = tpm.seal(&key.policy(), SECRET).unwrap();
    drop(tpm);
    let tpm = boot(&mut swtpm, &SECURE_BOOT, &NEXT_KERNEL);
    let error = tpm.unseal(&attacker.policy(), &sealed).unwrap_err();
    assert!(error.to_string().contains("not sealed for the PCR key"), "{error}");
}

#[test]
fn signature_of_another_policy_is_refused_by_the_tpm() {
    let mut swtpm = Swtpm::blank().unwrap();
    let key = signer_of(&KERNEL);
    let forged = {
        let mut entries: serde_json::Value = serde_json::from_str(&key.json()).unwrap();
        entries["sha256"][0]["sig"] = entries["sha256"][1]["sig"].clone();
        BootPolicy::load(&entries.to_string(), &key.pem()).unwrap()
    };
    let tpm = boot(&mut swtpm, &SECURE_BOOT, &KERNEL);
    let sealed = tpm.seal(&forged, SECRET).unwrap();
    let error = tpm.unseal(&forged, &sealed).unwrap_err();
    assert!(error.to_string().starts_with("VerifySignature on PCR public key: "), "{error}");
}

#[test]
fn secret_stays_closed_on_another_tpm() {
    let (mut home, mut abroad) = (Swtpm::blank().unwrap(), Swtpm::blank().unwrap());
    let policy = signer_of(&KERNEL).policy();
    let sealed = boot(&mut home, &SECURE_BOOT, &KERNEL).seal(&policy, SECRET).unwrap();
    let error = boot(&mut abroad, &SECURE_BOOT, &KERNEL).unseal(&policy, &sealed).unwrap_err();
    assert!(error.to_string().starts_with("Load on sealed secret: "), "{error}");
}

#[test]
fn sealed_secret_needs_the_policy_session() {
    let mut swtpm = Swtpm::blank().unwrap();
    let tpm = boot(&mut swtpm, &SECURE_BOOT, &KERNEL);
    let sealed = tpm.seal(&signer_of(&KERNEL).policy(), SECRET).unwrap();
    drop(tpm);
    let folder = tempfile::TempDir::new().unwrap();
    let tcti = swtpm.tcti();
    let bytes = sealed.to_bytes().unwrap();
    let public_length = 2 + usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    std::fs::write(folder.path().join("public"), &bytes[..public_length]).unwrap();
    std::fs::write(folder.path().join("private"), &bytes[public_length..]).unwrap();
    let steps = [
        "tpm2_createprimary -C o -G ecc -c srk -a \
         fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|decrypt|noda",
        "tpm2_flushcontext -t",
        "tpm2_load -C srk -u public -r private -c sealed",
        "tpm2_flushcontext -t",
    ];
    for step in steps {
        support::run(folder.path(), Some(&tcti), step);
    }
    let unseal = support::try_run(folder.path(), Some(&tcti), "tpm2_unseal -c sealed");
    let complaint = unseal.unwrap_err();
    assert!(complaint.contains("0x12F"), "TPM_RC_AUTH_UNAVAILABLE expected: {complaint}");
}

#[test]
fn seals_up_to_128_bytes() {
    let mut swtpm = Swtpm::blank().unwrap();
    let policy = signer_of(&KERNEL).policy();
    let tpm = boot(&mut swtpm, &SECURE_BOOT, &KERNEL);
    for length in [1, 128] {
        let secret = vec![7; length];
        let sealed = tpm.seal(&policy, &secret).unwrap();
        assert_eq!(*tpm.unseal(&policy, &sealed).unwrap(), secret);
    }
    tpm.seal(&policy, &[7; 129]).unwrap_err();
}

#[test]
fn boot_bound_code_is_stable_across_power_cycles_and_signed_phases() {
    let mut swtpm = Swtpm::blank().unwrap();
    let policy = signer_of(&KERNEL).policy();
    let first = boot(&mut swtpm, &SECURE_BOOT, &KERNEL).boot_bound_hmac(&policy, b"var").unwrap();
    let tpm = boot(&mut swtpm, &SECURE_BOOT, &KERNEL);
    assert_eq!(tpm.boot_bound_hmac(&policy, b"var").unwrap(), first);
    tpm.pcr_extend(11, &PHASE).unwrap();
    assert_eq!(tpm.boot_bound_hmac(&policy, b"var").unwrap(), first);
    assert_ne!(tpm.boot_bound_hmac(&policy, b"other").unwrap(), first);
    let long = vec![1; 5000];
    assert_ne!(tpm.boot_bound_hmac(&policy, &long).unwrap(), first);
}

#[test]
fn boot_bound_code_differs_under_other_secure_boot_keys() {
    let mut swtpm = Swtpm::blank().unwrap();
    let policy = signer_of(&KERNEL).policy();
    let first = boot(&mut swtpm, &SECURE_BOOT, &KERNEL).boot_bound_hmac(&policy, b"var").unwrap();
    let other = boot(&mut swtpm, &[0xe; 32], &KERNEL).boot_bound_hmac(&policy, b"var").unwrap();
    assert_ne!(other, first);
}

#[test]
fn boot_bound_code_is_refused_to_an_unsigned_system() {
    let mut swtpm = Swtpm::blank().unwrap();
    let policy = signer_of(&KERNEL).policy();
    let tpm = boot(&mut swtpm, &SECURE_BOOT, &NEXT_KERNEL);
    let error = tpm.boot_bound_hmac(&policy, b"var").unwrap_err();
    assert!(matches!(error, TpmError::BootNotSigned { .. }), "{error}");
}

#[test]
fn boot_bound_code_differs_for_another_signer_and_another_tpm() {
    let (mut home, mut abroad) = (Swtpm::blank().unwrap(), Swtpm::blank().unwrap());
    let (policy, other_policy) = (signer_of(&KERNEL).policy(), signer_of(&KERNEL).policy());
    let tpm = boot(&mut home, &SECURE_BOOT, &KERNEL);
    let code = tpm.boot_bound_hmac(&policy, b"var").unwrap();
    assert_ne!(tpm.boot_bound_hmac(&other_policy, b"var").unwrap(), code);
    let tpm = boot(&mut abroad, &SECURE_BOOT, &KERNEL);
    assert_ne!(tpm.boot_bound_hmac(&policy, b"var").unwrap(), code);
}

#[test]
fn malformed_signature_files_say_where() {
    let key = signer_of(&KERNEL);
    let pem = key.pem();
    let edit = |field: &str, value: serde_json::Value| {
        let mut json: serde_json::Value = serde_json::from_str(&key.json()).unwrap();
        json["sha256"][1][field] = value;
        json.to_string()
    };
    let cases = [
        ("no JSON", "{".to_owned(), "EOF"),
        ("another bank only", r#"{"sha1":[]}"#.to_owned(), "no \"sha256\""),
        ("no list", r#"{"sha256":7}"#.to_owned(), "sha256: invalid type"),
        ("short policy", edit("pol", "00".into()), "sha256[1].pol"),
        ("policy not hexadecimal", edit("pol", "zz".into()), "sha256[1].pol"),
        ("signature not base64", edit("sig", "!".into()), "sha256[1].sig"),
        ("register out of range", edit("pcrs", vec![1000].into()), "sha256: "),
    ];
    for (what, json, expected) in cases {
        let error = BootPolicy::load(&json, &pem).unwrap_err().to_string();
        assert!(error.starts_with("malformed PCR signature file: "), "{what}: {error}");
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn entries_of_other_keys_and_registers_are_passed_over() {
    let mut swtpm = Swtpm::blank().unwrap();
    let (key, other) = (signer_of(&KERNEL), signer_of(&KERNEL));
    let mut mixed: serde_json::Value = serde_json::from_str(&other.json()).unwrap();
    let mut wider: serde_json::Value = serde_json::from_str(&key.json()).unwrap();
    wider["sha256"][0]["pcrs"] = vec![11, 12].into();
    let tpm = boot(&mut swtpm, &SECURE_BOOT, &KERNEL);
    for json in [mixed.to_string(), wider.to_string()] {
        let policy = BootPolicy::load(&json, &key.pem()).unwrap();
        tpm.boot_bound_hmac(&policy, b"var").unwrap_err();
    }
    let own: serde_json::Value = serde_json::from_str(&key.json()).unwrap();
    for entry in own["sha256"].as_array().unwrap() {
        mixed["sha256"].as_array_mut().unwrap().push(entry.clone());
    }
    mixed["sha1"] = "not looked at".into();
    let policy = BootPolicy::load(&mixed.to_string(), &key.pem()).unwrap();
    tpm.boot_bound_hmac(&policy, b"var").unwrap();
}

#[test]
fn public_keys_that_cannot_sign_policies_are_refused() {
    let key = signer_of(&KERNEL);
    let folder = tempfile::TempDir::new().unwrap();
    let make = |options: &str| {
        let generate = format!("openssl genpkey {options} -out key.pem");
        support::run(folder.path(), None, &generate);
        let pem = support::run(folder.path(), None, "openssl pkey -in key.pem -pubout");
        String::from_utf8(pem).unwrap()
    };
    let cases = [
        ("P-256", make("-algorithm EC -pkeyopt ec_paramgen_curve:P-256"), "not an RSA key"),
        ("1024 bits", make("-algorithm RSA -pkeyopt rsa_keygen_bits:1024"), "1024 bits"),
        ("exponent 3", make("-algorithm RSA -pkeyopt rsa_keygen_pubexp:3"), "exponent"),
        ("no PEM", "hello".to_owned(), "PEM"),
        ("another PEM", key.pem().replace("PUBLIC KEY", "RSA PUBLIC KEY"), "RSA PUBLIC KEY"),
    ];
    for (what, pem, expected) in cases {
        let error = BootPolicy::load(&key.json(), &pem).unwrap_err().to_string();
        assert!(error.starts_with("malformed PCR public key: "), "{what}: {error}");
        assert!(error.contains(expected), "{what}: {error}");
    }
}
