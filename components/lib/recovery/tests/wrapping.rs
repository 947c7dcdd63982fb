//! Wrapping to the operator's key, and opening with ours and with openssl.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use holdfast_recovery::{
    KeySet, Occasion, Operator, Recipient, RecoveryError, RecoveryKey, Statement, WrappedKey,
};
use proptest::prelude::*;
use rand_core::OsRng;
use tempfile::TempDir;
use time::OffsetDateTime;

const UUID: &str = "6b1e2a34-1f7c-4f2a-9a55-0d7c3a2b1c0d";

fn statement() -> Statement {
    Statement {
        edge_id: "SN-0001".into(),
        luks_uuid: UUID.into(),
        keyslot: 1,
        created: OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap(),
        occasion: Occasion::First,
        key: RecoveryKey::from_bytes(&[0x5a; 32]),
    }
}

fn openssl(folder: &Path, arguments: &[&str]) -> Output {
    let done = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    done
}

/// A key pair that openssl made, in `key.pem` and `key.pub`.
fn foreign_key(algorithm: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    openssl(folder.path(), &[&["genpkey", "-out", "key.pem"], algorithm].concat());
    openssl(folder.path(), &["pkey", "-in", "key.pem", "-pubout", "-out", "key.pub"]);
    folder
}

const P256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const RSA: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];

fn text(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

#[test]
fn openssl_alone_opens_a_wrapped_key() {
    for algorithm in [P256, RSA] {
        let folder = foreign_key(algorithm);
        let recipient = Recipient::from_pem(&text(&folder, "key.pub")).unwrap();
        let wrapped = WrappedKey::seal(&statement(), &recipient).unwrap();
        fs::write(folder.path().join("wrapped.pem"), &wrapped.message).unwrap();
        let words = ["cms", "-decrypt", "-inform", "PEM", "-in", "wrapped.pem", "-inkey"];
        let opened = openssl(folder.path(), &[&words[..], &["key.pem"]].concat());
        let opened = String::from_utf8(opened.stdout).unwrap();
        for part in [statement().key.as_str(), "edge_id = \"SN-0001\"", UUID, "keyslot = 1"] {
            assert!(opened.contains(part), "{part}: {opened}");
        }
    }
}

#[test]
fn keys_of_openssl_open_a_wrapped_key() {
    for algorithm in [P256, RSA] {
        let folder = foreign_key(algorithm);
        let recipient = Recipient::from_pem(&text(&folder, "key.pub")).unwrap();
        let wrapped = WrappedKey::seal(&statement(), &recipient).unwrap();
        let operator = Operator::from_pem(&text(&folder, "key.pem"), None).unwrap();
        assert_eq!(operator.recipient(), &recipient);
        assert_eq!(wrapped.open(&operator).unwrap(), statement());
        assert_eq!(Statement::open(&wrapped.message, &operator).unwrap(), statement());
    }
}

#[test]
fn an_operators_key_with_a_passphrase_opens_with_it_only() {
    let operator = Operator::generate(&mut OsRng).unwrap();
    let pem = operator.to_pem(Some("correct horse")).unwrap();
    assert!(Operator::is_encrypted(&pem));
    for (passphrase, part) in [(None, "give its passphrase"), (Some("x"), "does not open it")] {
        let error = Operator::from_pem(&pem, passphrase).err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    }
    let again = Operator::from_pem(&pem, Some("correct horse")).unwrap();
    assert_eq!(again.recipient(), operator.recipient());

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("key.pem"), &*pem).unwrap();
    let words = ["pkey", "-in", "key.pem", "-passin", "pass:correct horse", "-pubout"];
    let public = openssl(folder.path(), &words);
    assert_eq!(public.stdout, operator.recipient().to_pem().unwrap().as_bytes());
}

#[test]
fn another_operators_key_is_told_so() {
    let (one, other) =
        (Operator::generate(&mut OsRng).unwrap(), Operator::generate(&mut OsRng).unwrap());
    let wrapped = WrappedKey::seal(&statement(), one.recipient()).unwrap();
    assert!(matches!(wrapped.open(&other), Err(RecoveryError::OtherOperator { .. })));
}

#[test]
fn a_key_of_one_volume_is_not_passed_off_as_anothers() {
    let operator = Operator::generate(&mut OsRng).unwrap();
    let wrapped = WrappedKey::seal(&statement(), operator.recipient()).unwrap();
    let other_volume = WrappedKey { luks_uuid: UUID.replace('6', "7"), ..wrapped.clone() };
    let other_slot = WrappedKey { keyslot: 2, ..wrapped };
    for moved in [other_volume, other_slot] {
        assert_eq!(moved.open(&operator), Err(RecoveryError::DoesNotOpen));
    }
}

#[test]
fn each_message_is_encrypted_anew() {
    let operator = Operator::generate(&mut OsRng).unwrap();
    let seal = || WrappedKey::seal(&statement(), operator.recipient()).unwrap();
    assert_ne!(seal().message, seal().message);
    assert_ne!(seal().sha256(), seal().sha256());
}

#[test]
fn keys_that_cannot_be_used_are_named() {
    let small = foreign_key(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    let p384 = foreign_key(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]);
    let ed25519 = foreign_key(&["-algorithm", "ED25519"]);
    for (folder, part) in [(&small, "1024 bits"), (&p384, "P-256"), (&ed25519, "1.3.101.112")] {
        let error = Recipient::from_pem(&text(folder, "key.pub")).unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
    let private = Recipient::from_pem(&text(&small, "key.pem")).unwrap_err().to_string();
    assert!(private.contains("expected \"PUBLIC KEY\""), "{private}");
    for folder in [&p384, &ed25519] {
        assert!(Operator::from_pem(&text(folder, "key.pem"), None).is_err());
    }
}

#[test]
fn what_a_device_sends_is_checked() {
    let operator = Operator::generate(&mut OsRng).unwrap();
    let good = WrappedKey::seal(&statement(), operator.recipient()).unwrap();
    let set = |keys: Vec<WrappedKey>| KeySet::new(keys).check();
    assert_eq!(set(vec![good.clone()]), Ok(()));
    assert_eq!(set(vec![good.clone(), good.clone()]), Ok(()));
    let changed = |change: fn(&mut WrappedKey)| {
        let mut key = good.clone();
        change(&mut key);
        vec![key]
    };
    for (keys, part) in [
        (vec![], "0 keys"),
        (vec![good.clone(); 3], "3 keys"),
        (changed(|key| key.luks_uuid = "../x".into()), "luks_uuid"),
        (changed(|key| key.keyslot = 32), "keyslot"),
        (changed(|key| key.recipient_sha256 = "00".repeat(31)), "recipient_sha256"),
        (changed(|key| key.recipient_sha256 = "00".repeat(32)), "another public key"),
        (changed(|key| key.message = "x".repeat(10_000)), "too long"),
        (changed(|key| key.message = "-----BEGIN CMS-----\n".into()), "not understood"),
        (changed(|key| key.message = key.message.replace("CMS", "PKCS7")), "PKCS7"),
    ] {
        let error = set(keys).unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}

/// Every bit counts, those of the form as well.
#[test]
fn no_bit_can_change() {
    let operator = Operator::generate(&mut OsRng).unwrap();
    let wrapped = WrappedKey::seal(&statement(), operator.recipient()).unwrap();
    let (_, der) = der::pem::decode_vec(wrapped.message.as_bytes()).unwrap();
    for bit in 0..der.len() * 8 {
        let mut changed = der.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let pem = der::pem::encode_string("CMS", der::pem::LineEnding::LF, &changed).unwrap();
        assert!(Statement::open(&pem, &operator).is_err(), "bit {} of byte {}", bit % 8, bit / 8);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Every byte counts: a message that was changed anywhere is refused.
    #[test]
    fn no_byte_can_change(at: prop::sample::Index, flip in 1..=255_u8) {
        let operator = Operator::generate(&mut OsRng).unwrap();
        let wrapped = WrappedKey::seal(&statement(), operator.recipient()).unwrap();
        let (_, mut der) = der::pem::decode_vec(wrapped.message.as_bytes()).unwrap();
        let at = at.index(der.len());
        der[at] ^= flip;
        let pem = der::pem::encode_string("CMS", der::pem::LineEnding::LF, &der).unwrap();
        prop_assert!(Statement::open(&pem, &operator).is_err(), "byte {at}");
    }

    #[test]
    fn any_text_is_read_without_panic(text: String, bytes: Vec<u8>) {
        let operator = Operator::generate(&mut OsRng).unwrap();
        prop_assert!(Statement::open(&text, &operator).is_err());
        let pem = der::pem::encode_string("CMS", der::pem::LineEnding::LF, &bytes).unwrap();
        prop_assert!(Statement::open(&pem, &operator).is_err());
    }
}
