//! Check 2 with manufacturers' chains that openssl makes: right ones, and each rule broken alone.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

use holdfast_attestation::ek::{EkCertificate, ek_sha256};
use holdfast_attestation::verify::{EkProof, EkTrust, check_ek_trust};
use tempfile::TempDir;

const CA: &str = "basicConstraints=critical,CA:TRUE";
const CERT_SIGN: &str = "keyUsage=critical,keyCertSign";
const LEAF: &str = "basicConstraints=critical,CA:FALSE";
const EK_PURPOSE: &str = "extendedKeyUsage=2.23.133.8.1";
const RSA: &[&str] = &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
const P256: &[&str] = &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const P384: &[&str] = &["EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
/// In the validity of certificates that are made now for a hundred years.
const NOW: u64 = 2_500_000_000;

/// A folder with keys and certificates by name.
struct Pki {
    folder: TempDir,
}

impl Pki {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("cnf"), "[req]\ndistinguished_name=n\n[n]\n").unwrap();
        Self { folder }
    }

    fn openssl(&self, arguments: &[&str]) -> Vec<u8> {
        let output =
            Command::new("openssl").args(arguments).current_dir(&self.folder).output().unwrap();
        assert!(output.status.success(), "openssl {arguments:?}: {output:?}");
        output.stdout
    }

    fn key(&self, name: &str, algorithm: &[&str]) {
        let file = format!("{name}.key");
        let arguments = [&["genpkey", "-out", &file, "-algorithm"], algorithm].concat();
        self.openssl(&arguments);
    }

    /// A certificate for the key of `name`, whose subject has the same name; self-signed or by an
    /// issuer.
    fn certify(
        &self,
        name: &str,
        issuer: Option<&str>,
        extensions: &[&str],
        more: &[&str],
    ) -> Vec<u8> {
        let (key, pem, subject) =
            (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}"));
        let mut arguments = vec![
            "req", "-x509", "-config", "cnf", "-days", "36500", "-key", &key, "-subj", &subject,
            "-out", &pem,
        ];
        let (ca, ca_key);
        if let Some(issuer) = issuer {
            (ca, ca_key) = (format!("{issuer}.pem"), format!("{issuer}.key"));
            arguments.extend(["-CA", &ca, "-CAkey", &ca_key]);
        }
        for extension in extensions {
            arguments.extend(["-addext", extension]);
        }
        arguments.extend(more);
        self.openssl(&arguments);
        self.openssl(&["x509", "-in", &pem, "-outform", "DER"])
    }
}

fn check(chain: &[&[u8]], anchor: &[u8], now: u64) -> Result<(), String> {
    let chain: Vec<_> = chain.iter().map(|der| EkCertificate::parse(der).unwrap()).collect();
    let anchors = [anchor.to_vec()];
    let ek_sha256 = ek_sha256(chain[0].spki());
    match check_ek_trust(&ek_sha256, &chain, &EkTrust::Ca(&anchors), now) {
        Ok(proof) => {
            assert_eq!(proof, EkProof::CertifiedBy(anchor.to_vec()));
            Ok(())
        }
        Err(failure) => {
            assert_eq!(failure.number, 2);
            Err(failure.detail)
        }
    }
}

#[test]
fn chains_of_every_signature_algorithm() {
    let pss: &[&str] = &["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"];
    for (algorithm, hash, more) in [
        (RSA, "-sha256", [].as_slice()),
        (RSA, "-sha384", &[]),
        (RSA, "-sha512", pss),
        (P256, "-sha256", &[]),
        (P384, "-sha384", &[]),
    ] {
        let pki = Pki::new();
        for (name, algorithm) in [("root", algorithm), ("middle", algorithm), ("ek", P256)] {
            pki.key(name, algorithm);
        }
        let more = [more, &[hash]].concat();
        let root = pki.certify("root", None, &[CA, CERT_SIGN], &more);
        let middle = pki.certify("middle", Some("root"), &[CA, CERT_SIGN], &more);
        let ek = pki.certify("ek", Some("middle"), &[LEAF, EK_PURPOSE], &more);
        assert_eq!(check(&[&ek, &middle], &root, NOW), Ok(()), "{algorithm:?} {hash}");
        assert_eq!(check(&[&ek, &root, &middle], &root, NOW), Ok(()), "order does not matter");
        assert!(check(&[&ek], &root, NOW).is_err());
        assert!(check(&[&ek, &middle], &root, 1_000_000_000).is_err(), "before its start");
        assert!(check(&[&ek, &middle], &root, 10_000_000_000).is_err(), "after its end");
    }
}

#[test]
fn sha1_proves_nothing() {
    let pki = Pki::new();
    pki.key("root", RSA);
    pki.key("ek", P256);
    let root = pki.certify("root", None, &[CA, CERT_SIGN], &[]);
    let ek = pki.certify("ek", Some("root"), &[LEAF, EK_PURPOSE], &["-sha1"]);
    assert!(check(&[&ek], &root, NOW).is_err());
}

/// Extensions of the CA in the middle and of the EK, and whether the chain proves the vendor.
#[test]
fn extensions_are_obeyed() {
    let pki = Pki::new();
    for name in ["root", "middle", "ek"] {
        pki.key(name, P256);
    }
    let root = pki.certify("root", None, &[CA, CERT_SIGN], &[]);
    let (ca, leaf) = ([CA, CERT_SIGN].as_slice(), [LEAF, EK_PURPOSE].as_slice());
    for (what, middle, ek, accepted) in [
        ("as it should be", ca, leaf, true),
        ("no key usage", &[CA], leaf, true),
        ("path length of nought", &["basicConstraints=critical,CA:TRUE,pathlen:0"], leaf, true),
        ("EK without purpose", ca, &[LEAF], true),
        ("EK without any extension", ca, &[], true),
        ("EK with several purposes", ca, &["extendedKeyUsage=clientAuth,2.23.133.8.1"], true),
        ("critical dirName", ca, &["subjectAltName=critical,URI:a:b", EK_PURPOSE], true),
        ("middle is no CA", &[LEAF], leaf, false),
        ("middle without constraints", &[CERT_SIGN], leaf, false),
        ("middle may not sign", &[CA, "keyUsage=critical,cRLSign"], leaf, false),
        ("EK is a CA", ca, &[CA, EK_PURPOSE], false),
        ("certificate of a TLS server", ca, &[LEAF, "extendedKeyUsage=serverAuth"], false),
        ("unknown critical in EK", ca, &[LEAF, "1.2.3.4=critical,DER:0500"], false),
        ("unknown critical in CA", &[CA, "1.2.3.4=critical,DER:0500"], leaf, false),
        ("name constraints", &[CA, "nameConstraints=critical,permitted;DNS:a"], leaf, false),
    ] {
        let middle = pki.certify("middle", Some("root"), middle, &[]);
        let ek = pki.certify("ek", Some("middle"), ek, &[]);
        assert_eq!(check(&[&ek, &middle], &root, NOW).is_ok(), accepted, "{what}");
    }
}

#[test]
fn path_lengths_are_obeyed() {
    let pki = Pki::new();
    for name in ["root", "upper", "lower", "ek"] {
        pki.key(name, P256);
    }
    for (root_length, upper_length, accepted) in [
        ("", "", true),
        (",pathlen:2", ",pathlen:1", true),
        (",pathlen:1", "", false),
        ("", ",pathlen:0", false),
    ] {
        let root = pki.certify("root", None, &[&format!("{CA}{root_length}")], &[]);
        let upper = pki.certify("upper", Some("root"), &[&format!("{CA}{upper_length}")], &[]);
        let lower = pki.certify("lower", Some("upper"), &[CA], &[]);
        let ek = pki.certify("ek", Some("lower"), &[LEAF], &[]);
        let result = check(&[&ek, &lower, &upper], &root, NOW);
        assert_eq!(result.is_ok(), accepted, "root{root_length}, upper{upper_length}");
    }
}

#[test]
fn long_chains_and_circles_end() {
    let pki = Pki::new();
    let names = ["root", "ca1", "ca2", "ca3", "ca4", "ca5", "ek"];
    for name in names {
        pki.key(name, P256);
    }
    let root = pki.certify("root", None, &[CA], &[]);
    let chain: Vec<_> = names
        .windows(2)
        .map(|pair| {
            pki.certify(pair[1], Some(pair[0]), &[if pair[1] == "ek" { LEAF } else { CA }], &[])
        })
        .collect();
    let chain: Vec<&[u8]> = chain.iter().rev().map(Vec::as_slice).collect();
    let [ek, ca5, ca4, ca3, ca2, ca1] = chain.as_slice() else { panic!("six certificates") };
    assert!(check(&chain, &root, NOW).is_err(), "five intermediates");
    assert_eq!(check(&[ek, ca5, ca4, ca3, ca2], ca1, NOW), Ok(()));
    // `ca2` certified by `ca5`, which stands below it.
    let circle = pki.certify("ca2", Some("ca5"), &[CA], &[]);
    assert!(check(&[ek, ca5, ca4, ca3, &circle], &root, NOW).is_err());
}

/// A CA of the right name with another key.
#[test]
fn a_name_is_no_proof() {
    let (genuine, forged) = (Pki::new(), Pki::new());
    for pki in [&genuine, &forged] {
        pki.key("root", P256);
        pki.key("ek", P256);
    }
    let root = genuine.certify("root", None, &[CA], &[]);
    forged.certify("root", None, &[CA], &[]);
    let ek = forged.certify("ek", Some("root"), &[LEAF, EK_PURPOSE], &[]);
    assert!(check(&[&ek], &root, NOW).is_err());
}
