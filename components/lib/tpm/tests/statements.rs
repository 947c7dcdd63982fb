//! Certify, quote and credential activation, checked without the TPM and by tpm2-tools.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

use std::fs;

use holdfast_attestation::tpm::{Attest, Attested, Public};
use holdfast_tpm::swtpm::{Manufacturer, Swtpm};
use holdfast_tpm::{Credential, SignatureMode};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

mod support;
use support::{run, statement_verifies};

const QUALIFYING: [u8; 32] = [0x51; 32];

#[test]
fn certifies_device_keys_of_both_modes() {
    let swtpm = Swtpm::blank().unwrap();
    let tpm = swtpm.open().unwrap();
    let ak_blob = tpm.create_ak().unwrap();
    let ak = tpm.load(&ak_blob).unwrap();
    for mode in [SignatureMode::TpmPss, SignatureMode::SoftwarePss] {
        let blob = tpm.create_device_key(Some(mode)).unwrap();
        let key = tpm.load(&blob).unwrap();
        let statement = tpm.certify(&key, &ak, &QUALIFYING).unwrap();
        assert!(statement_verifies(ak_blob.public(), &statement), "{mode}");
        let attest = Attest::parse(&statement.attest).unwrap();
        assert_eq!(*attest.extra_data, QUALIFYING, "{mode}");
        let Attested::Certify { name, .. } = attest.attested else { panic!("{mode}: not Certify") };
        assert_eq!(name, Public::parse(blob.public()).unwrap().name(), "{mode}");
    }
}

#[test]
fn quotes_the_registers_that_it_reports() {
    let swtpm = Swtpm::blank().unwrap();
    let tpm = swtpm.open().unwrap();
    tpm.pcr_extend(11, &[1; 32]).unwrap();
    tpm.pcr_extend(14, &[2; 32]).unwrap();
    let ak_blob = tpm.create_ak().unwrap();
    let ak = tpm.load(&ak_blob).unwrap();
    let quote = tpm.quote(&ak, &[7, 11, 12, 14], &QUALIFYING).unwrap();

    assert!(statement_verifies(ak_blob.public(), &quote.statement));
    let indices: Vec<u8> = quote.pcr_values.iter().map(|value| value.index).collect();
    assert_eq!(indices, [7, 11, 12, 14]);
    let once_extended: [u8; 32] = Sha256::digest([[0; 32], [1; 32]].concat()).into();
    assert_eq!(quote.pcr_values[1].digest, once_extended);
    let attest = Attest::parse(&quote.statement.attest).unwrap();
    assert_eq!(*attest.extra_data, QUALIFYING);
    let Attested::Quote { digest, .. } = attest.attested else { panic!("not a quote") };
    let all: Vec<u8> = quote.pcr_values.iter().flat_map(|value| value.digest).collect();
    assert_eq!(*digest, *Sha256::digest(all));
}

#[test]
fn tpm2_tools_accept_the_quote() {
    let swtpm = Swtpm::blank().unwrap();
    let folder = TempDir::new().unwrap();
    let file = |name: &str| folder.path().join(name);
    {
        let tpm = swtpm.open().unwrap();
        let ak_blob = tpm.create_ak().unwrap();
        let ak = tpm.load(&ak_blob).unwrap();
        let quote = tpm.quote(&ak, &[7, 11, 12, 14], &QUALIFYING).unwrap();
        fs::write(file("ak.tpmt"), ak_blob.public()).unwrap();
        fs::write(file("quote"), &quote.statement.attest).unwrap();
        fs::write(file("signature"), &quote.statement.signature).unwrap();
    }
    let pem = run(folder.path(), None, "tpm2_print -t TPMT_PUBLIC -f pem ak.tpmt");
    fs::write(file("ak.pem"), pem).unwrap();
    let qualification = hex::encode(QUALIFYING);
    let check =
        format!("tpm2_checkquote -u ak.pem -m quote -s signature -g sha256 -q {qualification}");
    run(folder.path(), None, &check);
}

#[test]
fn activates_a_credential_made_by_tpm2_tools() {
    let swtpm = Swtpm::manufacture().unwrap();
    let folder = TempDir::new().unwrap();
    let tpm = swtpm.open().unwrap();
    let ek = tpm.ek().unwrap();
    let ak_blob = tpm.create_ak().unwrap();
    let (id_object, encrypted_secret) =
        make_credential(&folder, &ek.public, &ak_blob.name().to_string());
    let credential = Credential { id_object: &id_object, encrypted_secret: &encrypted_secret };

    let ak = tpm.load(&ak_blob).unwrap();
    assert_eq!(*tpm.activate_credential(&ak, credential).unwrap(), SECRET);

    drop(ak);
    let other = tpm.load(&tpm.create_ak().unwrap()).unwrap();
    let error = tpm.activate_credential(&other, credential).unwrap_err();
    assert!(error.to_string().starts_with("ActivateCredential on key: "), "{error}");
}

#[test]
fn another_tpm_does_not_activate_the_credential() {
    let maker = Manufacturer::found().unwrap();
    let (home, abroad) = (maker.make().unwrap(), maker.make().unwrap());
    let folder = TempDir::new().unwrap();
    let ek = home.open().unwrap().ek().unwrap();
    let tpm = abroad.open().unwrap();
    assert_ne!(tpm.ek().unwrap().public, ek.public);
    let ak_blob = tpm.create_ak().unwrap();
    let (id_object, encrypted_secret) =
        make_credential(&folder, &ek.public, &ak_blob.name().to_string());
    let credential = Credential { id_object: &id_object, encrypted_secret: &encrypted_secret };
    let ak = tpm.load(&ak_blob).unwrap();
    tpm.activate_credential(&ak, credential).unwrap_err();
}

const SECRET: &[u8] = b"a secret of at most 32 bytes";

/// Contents of the two structures that `tpm2_makecredential` writes after its header.
fn make_credential(folder: &TempDir, ek_public: &[u8], ak_name: &str) -> (Vec<u8>, Vec<u8>) {
    let file = |name: &str| folder.path().join(name);
    let length = u16::try_from(ek_public.len()).unwrap().to_be_bytes();
    fs::write(file("ek.tpm2b"), [&length[..], ek_public].concat()).unwrap();
    fs::write(file("secret"), SECRET).unwrap();
    let make =
        format!("tpm2_makecredential -T none -u ek.tpm2b -s secret -n {ak_name} -o credential");
    run(folder.path(), None, &make);
    let bytes = fs::read(file("credential")).unwrap();
    let (id_object, rest) = sized(&bytes[8..]);
    (id_object, sized(rest).0)
}

fn sized(bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    (bytes[2..2 + length].to_vec(), &bytes[2 + length..])
}
