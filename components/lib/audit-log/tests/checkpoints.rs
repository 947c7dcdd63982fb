//! Signed checkpoints: form, signature, and OpenSSL as an independent verifier.

mod common;

use std::fs;
use std::process::Command;

use common::{Signer, Writer, boot_binding, origin};
use holdfast_audit_log::Origin;
use holdfast_audit_log::checkpoint::{AuditKey, NotSigned, SignedCheckpoint};
use proptest::prelude::*;

fn signed() -> SignedCheckpoint {
    let mut writer = Writer::new(origin(), 1);
    writer.records(5);
    writer.signer.sign(writer.log.checkpoint(Some(boot_binding())))
}

#[test]
fn is_printed_as_a_note() {
    let checkpoint = signed();
    let text = checkpoint.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 8, "{text}");
    assert_eq!(lines[..2], ["holdfast.example/audit/3f9a", "5"]);
    assert!(lines[3].starts_with("head "));
    assert_eq!(lines[4..7], ["tpm-clock 86400000 12 0 safe", "nv-counter 12", ""]);
    assert!(lines[7].starts_with("\u{2014} holdfast.example/audit/3f9a "));
    assert_eq!(SignedCheckpoint::parse(text.as_bytes()), Ok(checkpoint));
}

#[test]
fn refusals_name_the_line() {
    let good = signed().to_string();
    let lines: Vec<&str> = good.lines().collect();
    let with = |number: usize, line: &str| {
        let mut lines = lines.clone();
        lines[number - 1] = line;
        lines.join("\n") + "\n"
    };
    let without = |number: usize| {
        let mut lines = lines.clone();
        lines.remove(number - 1);
        lines.join("\n") + "\n"
    };
    let short = "aGVsbG8=";
    let table: &[(&str, String, &str)] = &[
        ("nothing", String::new(), "line 1: the origin is missing"),
        ("origin with a space", with(1, "a b"), "line 1: \"a b\" names no log"),
        ("leading zero", with(2, "05"), "line 2: the size is not a decimal number"),
        ("sign", with(2, "+5"), "line 2: the size"),
        ("too large", with(2, "18446744073709551616"), "line 2: the size"),
        ("short root", with(3, short), "line 3: the root is not the base64 of 32 bytes"),
        ("no head", without(4), "line 4: expected head"),
        ("short head", with(4, "head aGVsbG8="), "line 4: the head"),
        ("unknown extension", with(5, "colour red"), "line 5: expected head"),
        ("clock alone", without(6), "line 6: the NV counter is missing"),
        ("counter alone", without(5), "line 5: expected head"),
        ("three fields", with(5, "tpm-clock 1 2 3"), "line 5: expected head"),
        ("neither safe nor not", with(5, "tpm-clock 1 2 3 maybe"), "line 5: expected head"),
        ("reset count", with(5, "tpm-clock 1 4294967296 3 safe"), "line 5: the reset count"),
        ("counter", with(6, "nv-counter -1"), "line 6: the NV counter"),
        ("one more extension", with(7, "x y"), "line 7: expected head"),
        ("no signature", lines[..7].join("\n") + "\n", "line 8: a signature is missing"),
        ("no empty line", lines[..6].join("\n") + "\n", "line 7: the empty line"),
        ("not a signature", with(8, "- a b"), "line 8: not a signature line"),
        ("bad base64", with(8, "\u{2014} a AAAAA"), "line 8: not a signature line"),
        ("key id only", with(8, "\u{2014} a AAAAAA=="), "line 8: not a signature line"),
        ("key name with +", with(8, "\u{2014} a+b AAAAAAA="), "line 8: not a signature line"),
        ("no line end", good.trim_end().to_owned(), "line 8: the line has no end"),
        (
            "carriage return",
            good.replace("12\n\n", "12\r\n\n"),
            "line 6: not UTF-8 without control",
        ),
        ("empty line", with(4, ""), "line 4: the head is missing"),
        ("long", good.clone() + &"x".repeat(20_000), "line 1: a checkpoint of"),
        ("many", good.clone() + &"\u{2014} a AAAAAAA=\n".repeat(32), "line 40: more than 32"),
    ];
    for (name, text, message) in table {
        let error = SignedCheckpoint::parse(text.as_bytes()).expect_err(name).to_string();
        assert!(error.starts_with(message), "{name}: {error}");
    }
    assert!(SignedCheckpoint::parse(b"a\n\xFF\n").unwrap_err().to_string().starts_with("line 2"));
}

#[test]
fn witnesses_may_sign_too() {
    let text = signed().to_string() + "\u{2014} witness.example/w AAAAAAA=\n";
    let checkpoint = SignedCheckpoint::parse(text.as_bytes()).unwrap();
    assert_eq!(checkpoint.signatures().len(), 2);
    assert_eq!(checkpoint.to_string(), text);
    assert!(Signer::new(1).audit_key().verify(&checkpoint, &origin()).is_ok());
}

#[test]
fn only_the_logs_own_key_counts() {
    let checkpoint = signed();
    let key = Signer::new(1).audit_key();
    assert_eq!(key.verify(&checkpoint, &origin()).unwrap().size, 5);
    let other = Origin::new("holdfast.example/audit/other").unwrap();
    assert!(matches!(key.verify(&checkpoint, &other), Err(NotSigned::OtherLog { .. })));
    let stranger = Signer::new(2).audit_key();
    assert_eq!(stranger.verify(&checkpoint, &origin()), Err(NotSigned::NoSignature));
    let text = checkpoint.to_string().replace("nv-counter 12", "nv-counter 13");
    let changed = SignedCheckpoint::parse(text.as_bytes()).unwrap();
    assert_eq!(key.verify(&changed, &origin()), Err(NotSigned::Mismatch));
    assert!(AuditKey::from_pem("-----BEGIN PUBLIC KEY-----\n").is_err());
    assert!(AuditKey::from_spki_der(&[0x30, 0]).is_err());
}

#[test]
fn key_for_other_verifiers_of_notes() {
    let vkey = Signer::new(1).audit_key().to_vkey(&origin());
    let fields: Vec<&str> = vkey.splitn(3, '+').collect();
    assert_eq!(fields[..2], ["holdfast.example/audit/3f9a", "f857ae4e"]);
    // 0x02, then SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 } ... }.
    assert!(fields[2].starts_with("AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABG"), "{vkey}");
}

/// What a person does who has nothing but OpenSSL and coreutils:
///
/// ```text
/// $ sed '/^$/,$d' checkpoint > text
/// $ sed -n 's/^— [^ ]* //p' checkpoint | base64 -d | tail -c +5 > signature
/// $ openssl dgst -sha256 -verify audit.pub -signature signature text
/// ```
#[test]
fn openssl_verifies_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("checkpoint"), signed().to_string()).unwrap();
    fs::write(folder.path().join("audit.pub"), Signer::new(1).pem()).unwrap();
    let script = "
        sed '/^$/,$d' checkpoint > text
        sed -n 's/^— [^ ]* //p' checkpoint | base64 -d | tail -c +5 > signature
        openssl dgst -sha256 -verify audit.pub -signature signature text
        sed -i 's/^5$/6/' text
        ! openssl dgst -sha256 -verify audit.pub -signature signature text
        openssl pkey -pubin -in audit.pub -outform DER | openssl dgst -sha256 | sed 's/.*= //'
    ";
    let output =
        Command::new("sh").args(["-ec", script]).current_dir(folder.path()).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[..2], ["Verified OK", "Verification failure"], "{stdout}");
    // The key id is the beginning of the hash of the key.
    let id = signed().signatures()[0].key;
    assert!(lines[2].starts_with(&hex::encode(id.as_bytes())), "{stdout}");
}

proptest! {
    #[test]
    fn a_changed_checkpoint_is_refused_or_printed_back(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let good = signed();
        let mut bytes = good.to_string().into_bytes();
        for (index, byte) in changes {
            let place = index.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(checkpoint) = SignedCheckpoint::parse(&bytes) {
            prop_assert_eq!(checkpoint.to_string().into_bytes(), bytes);
            let verified = Signer::new(1).audit_key().verify(&checkpoint, &origin()).is_ok();
            prop_assert_eq!(verified, checkpoint == good);
        }
    }
}
