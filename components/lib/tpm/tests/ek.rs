//! The endorsement key, of a manufactured TPM and of a bare one.
#![allow(clippy::unwrap_used)] // also in the helpers of tests

use std::fs;

use holdfast_attestation::tpm::Public;
use holdfast_tpm::swtpm::{Manufacturer, Swtpm};
use tempfile::TempDir;

mod support;
use support::run;

#[test]
fn certificate_is_signed_by_its_maker_for_the_key_in_the_tpm() {
    let maker = Manufacturer::found().unwrap();
    let swtpm = maker.make().unwrap();
    let ek = swtpm.open().unwrap().ek().unwrap();
    assert_eq!(swtpm.ek_certificate_der().unwrap().as_ref(), ek.certificates.first());

    let folder = TempDir::new().unwrap();
    let file = |name: &str| folder.path().join(name);
    fs::write(file("ek.der"), &ek.certificates[0]).unwrap();
    let [issuer, root] = <[String; 2]>::try_from(maker.ca_certificates_pem().unwrap()).unwrap();
    fs::write(file("issuer.pem"), issuer).unwrap();
    fs::write(file("root.pem"), root).unwrap();
    run(folder.path(), None, "openssl x509 -inform der -in ek.der -out ek.pem");
    // Its critical subject alternative name is a TPM's, which OpenSSL does not know.
    let verify = "openssl verify -ignore_critical -CAfile root.pem -untrusted issuer.pem ek.pem";
    run(folder.path(), None, verify);

    let spki = Public::parse(&ek.public).unwrap().to_spki_der().unwrap();
    fs::write(file("tpm.der"), spki).unwrap();
    let in_tpm = run(folder.path(), None, "openssl pkey -pubin -inform der -in tpm.der");
    let certified = run(folder.path(), None, "openssl x509 -in ek.pem -noout -pubkey");
    assert_eq!(in_tpm, certified);
}

#[test]
fn stored_and_derived_endorsement_key_are_the_same() {
    let swtpm = Swtpm::manufacture().unwrap();
    let stored = swtpm.open().unwrap().ek().unwrap();
    let folder = TempDir::new().unwrap();
    run(folder.path(), Some(&swtpm.tcti()), "tpm2_evictcontrol -C p -c 0x81010001");
    assert_eq!(swtpm.open().unwrap().ek().unwrap(), stored);
}

#[test]
fn another_key_at_the_handle_of_the_endorsement_key_is_not_used() {
    let swtpm = Swtpm::blank().unwrap();
    let genuine = swtpm.open().unwrap().ek().unwrap();
    assert!(genuine.certificates.is_empty());
    let tcti = swtpm.tcti();
    // A primary key of the right kind, in the right hierarchy, but from another template.
    let other_template = "tpm2_createprimary -C e -G rsa2048:aes128cfb -c other.ctx";
    // A key with exactly the attributes of an endorsement key, in the owner hierarchy.
    let other_hierarchy = "tpm2_createprimary -C o -G rsa2048:null:aes128cfb -L policy -a \
         fixedtpm|fixedparent|sensitivedataorigin|adminwithpolicy|restricted|decrypt -c other.ctx";
    for make in [other_template, other_hierarchy] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("policy"), EK_POLICY).unwrap();
        run(folder.path(), Some(&tcti), make);
        run(folder.path(), Some(&tcti), "tpm2_flushcontext -t");
        let store = "tpm2_evictcontrol -C o -c other.ctx 0x81010001";
        run(folder.path(), Some(&tcti), store);
        run(folder.path(), Some(&tcti), "tpm2_flushcontext -t");
        assert_eq!(swtpm.open().unwrap().ek().unwrap(), genuine, "{make}");
        run(folder.path(), Some(&tcti), "tpm2_evictcontrol -C o -c 0x81010001");
    }
}

/// PolicySecret(endorsement), as in template L-1 of the TCG EK Credential Profile.
const EK_POLICY: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
    0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];
