//! Detached signatures against `PyJWT` and `OpenSSL` as the independent side.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use holdfast_jws::{Algorithm, Signer, Unsigned, VerifyError, named_certificate, verify};
use proptest::prelude::*;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::{Pkcs1v15Sign, Pss, RsaPrivateKey};
use sha2::Sha256;

const EDGE_ID: &str = "SN-0042";
const REPORT: &[u8] = br#"{"edge_id":"SN-0042","booted":"0.1.0","note":"a.b\n"}"#;

/// A device key and its certificate, made by OpenSSL.
struct Device {
    folder: tempfile::TempDir,
    key: RsaPrivateKey,
    certificate: Vec<u8>,
}

impl Device {
    fn new(bits: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        run(
            "openssl",
            &[
                "req",
                "-x509",
                "-newkey",
                &format!("rsa:{bits}"),
                "-nodes",
                "-subj",
                "/CN=device",
                "-keyout",
                &path("key.pem"),
                "-out",
                &path("device.crt"),
            ],
        );
        run(
            "openssl",
            &["x509", "-in", &path("device.crt"), "-outform", "DER", "-out", &path("device.der")],
        );
        let pem = std::fs::read_to_string(path("key.pem")).unwrap();
        let key = RsaPrivateKey::from_pkcs8_pem(&pem).unwrap();
        let certificate = std::fs::read(path("device.der")).unwrap();
        Self { folder, key, certificate }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sign(&self, algorithm: Algorithm, payload: &[u8]) -> String {
        let unsigned = Unsigned::new(algorithm, &self.certificate, EDGE_ID, payload).unwrap();
        let mut rng = rand_core::OsRng;
        let signature = match algorithm {
            Algorithm::Ps256 => {
                self.key.sign_with_rng(&mut rng, Pss::new::<Sha256>(), unsigned.digest())
            }
            Algorithm::Rs256 => self.key.sign(Pkcs1v15Sign::new::<Sha256>(), unsigned.digest()),
        };
        unsigned.sign(&signature.unwrap())
    }

    fn verify(&self, jws: &str, payload: &[u8]) -> Result<(), VerifyError> {
        verify(jws, payload, Signer { certificate_der: &self.certificate, edge_id: EDGE_ID })
    }
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect(program);
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Debian's interpreter, which finds python3-jwt.
fn python(script: &str, arguments: &[&Path]) -> String {
    let arguments: Vec<_> = arguments.iter().map(|path| path.to_str().unwrap()).collect();
    run("/usr/bin/python3", &[&["-c", script][..], &arguments].concat())
}

#[test]
fn pyjwt_verifies_what_the_device_signed() {
    const SCRIPT: &str = "
import base64, hashlib, json, sys
import jwt
from cryptography import x509
jws, payload, certificate = (open(name, 'rb').read() for name in sys.argv[1:4])
key = x509.load_der_x509_certificate(certificate).public_key()
header = jwt.get_unverified_header(jws.decode())
thumbprint = base64.urlsafe_b64encode(hashlib.sha256(certificate).digest()).rstrip(b'=')
assert header['x5t#S256'] == thumbprint.decode(), header
assert header['b64'] is False and header['crit'] == ['b64'], header
options = {'detached_payload': payload, 'algorithms': [header['alg']], 'key': key}
jwt.PyJWS().decode(jws.decode(), **options)
options['detached_payload'] += b' '
try:
    jwt.PyJWS().decode(jws.decode(), **options)
except jwt.InvalidSignatureError:
    print(header['alg'])
";
    let device = Device::new(2048);
    let (jws, payload) = (device.path("report.jws"), device.path("report.json"));
    std::fs::write(&payload, REPORT).unwrap();
    for (algorithm, name) in [(Algorithm::Ps256, "PS256\n"), (Algorithm::Rs256, "RS256\n")] {
        std::fs::write(&jws, device.sign(algorithm, REPORT)).unwrap();
        let printed = python(SCRIPT, &[&jws, &payload, &device.path("device.der")]);
        assert_eq!(printed, name);
    }
}

#[test]
fn what_pyjwt_signed_is_verified() {
    const SCRIPT: &str = "
import base64, hashlib, sys
import jwt
payload, certificate, key = (open(name, 'rb').read() for name in sys.argv[1:4])
thumbprint = base64.urlsafe_b64encode(hashlib.sha256(certificate).digest()).rstrip(b'=')
headers = {'typ': None, 'crit': ['b64'], 'x5t#S256': thumbprint.decode()}
print(jwt.PyJWS().encode(payload, key, 'PS256', headers, is_payload_detached=True))
";
    let device = Device::new(2048);
    let payload = device.path("report.json");
    std::fs::write(&payload, REPORT).unwrap();
    let jws = python(SCRIPT, &[&payload, &device.path("device.der"), &device.path("key.pem")]);
    device.verify(jws.trim(), REPORT).unwrap();
    assert_eq!(
        named_certificate(jws.trim()).unwrap(),
        holdfast_jws::thumbprint(&device.certificate)
    );
}

#[test]
fn openssl_verifies_the_signature() {
    let device = Device::new(2048);
    let jws = device.sign(Algorithm::Ps256, REPORT);
    let (protected, signature) = jws.split_once("..").unwrap();
    let input = [protected.as_bytes(), b".", REPORT].concat();
    std::fs::write(device.path("input"), input).unwrap();
    let standard = signature.replace('-', "+").replace('_', "/") + "==";
    std::fs::write(device.path("signature.b64"), standard + "\n").unwrap();
    let path = |name: &str| device.path(name).display().to_string();
    let decode = ["base64", "-d", "-A", "-in", &path("signature.b64"), "-out", &path("signature")];
    run("openssl", &decode);
    std::fs::write(
        path("key.pub"),
        run("openssl", &["x509", "-in", &path("device.crt"), "-pubkey", "-noout"]),
    )
    .unwrap();
    run(
        "openssl",
        &[
            "dgst",
            "-sha256",
            "-verify",
            &path("key.pub"),
            "-sigopt",
            "rsa_padding_mode:pss",
            "-sigopt",
            "rsa_pss_saltlen:digest",
            "-signature",
            &path("signature"),
            &path("input"),
        ],
    );
}

#[test]
fn a_report_is_believed_of_its_own_device_only() {
    let (device, other) = (Device::new(2048), Device::new(2048));
    let jws = device.sign(Algorithm::Ps256, REPORT);
    device.verify(&jws, REPORT).unwrap();

    let changed = br#"{"edge_id":"SN-0042","booted":"0.2.0","note":"a.b\n"}"#;
    assert!(matches!(device.verify(&jws, changed), Err(VerifyError::Mismatch)));
    assert!(matches!(other.verify(&jws, REPORT), Err(VerifyError::OtherCertificate { .. })));
    let elsewhere = Signer { certificate_der: &device.certificate, edge_id: "SN-0043" };
    let error = verify(&jws, REPORT, elsewhere).unwrap_err().to_string();
    assert!(error.contains("SN-0042") && error.contains("SN-0043"), "{error}");

    // The header names the certificate; the key must be that certificate's all the same.
    let (protected, _) = jws.split_once("..").unwrap();
    let (_, foreign) = other
        .sign(Algorithm::Ps256, REPORT)
        .split_once("..")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let mixed = format!("{protected}..{foreign}");
    assert!(matches!(device.verify(&mixed, REPORT), Err(VerifyError::Mismatch)));
}

#[test]
fn what_is_no_report_of_this_device_is_not_signed() {
    let certificate = [0x30, 0x00];
    let table: [(&[u8], &str); 5] = [
        (b"", "EOF"),
        (b"[]", "edge_id"),
        (br#"{"booted":"0.1.0"}"#, "edge_id"),
        (br#"{"edge_id":"SN-0042","edge_id":"SN-0042"}"#, "duplicate"),
        (br#"{"edge_id":"SN-0043"}"#, "SN-0043"),
    ];
    for (payload, part) in table {
        let unsigned = Unsigned::new(Algorithm::Ps256, &certificate, EDGE_ID, payload);
        let error = unsigned.unwrap_err().to_string();
        assert!(error.contains(part), "{}: {error}", String::from_utf8_lossy(payload));
    }
}

#[test]
fn other_headers_and_keys_are_refused() {
    use base64::Engine as _;
    let encode = |text: &str| base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(text);
    let device = Device::new(2048);
    let jws = device.sign(Algorithm::Ps256, REPORT);
    let (_, signature) = jws.split_once("..").unwrap();
    let thumbprint = holdfast_jws::thumbprint(&device.certificate);
    let header = |alg: &str, b64: bool, crit: &str, more: &str| {
        format!(r#"{{"alg":"{alg}","b64":{b64},"crit":{crit},"x5t#S256":"{thumbprint}"{more}}}"#)
    };
    let table = [
        header("none", false, r#"["b64"]"#, ""),
        header("HS256", false, r#"["b64"]"#, ""),
        header("PS256", true, r#"["b64"]"#, ""),
        header("PS256", false, "[]", ""),
        header("PS256", false, r#"["b64","exp"]"#, ""),
        header("PS256", false, r#"["b64"]"#, r#","jwk":{}"#),
        header("PS256", false, r#"["b64"]"#, r#","alg":"RS256""#),
    ];
    for header in &table {
        let jws = format!("{}..{signature}", encode(header));
        assert!(matches!(device.verify(&jws, REPORT), Err(VerifyError::Form(_))), "{header}");
    }
    // The right header in other words is another signature's input.
    let reordered = header("PS256", false, r#"[ "b64" ]"#, "");
    let jws = format!("{}..{signature}", encode(&reordered));
    assert!(matches!(device.verify(&jws, REPORT), Err(VerifyError::Mismatch)));
    let as_pkcs1 = header("RS256", false, r#"["b64"]"#, "");
    let jws = format!("{}..{signature}", encode(&as_pkcs1));
    assert!(matches!(device.verify(&jws, REPORT), Err(VerifyError::Mismatch)));
    let attached = jws.replace("..", ".e30.");
    assert!(matches!(device.verify(&attached, REPORT), Err(VerifyError::Form(_))));

    let weak = Device::new(1024);
    let jws = weak.sign(Algorithm::Ps256, REPORT);
    assert!(matches!(weak.verify(&jws, REPORT), Err(VerifyError::Key(_))));
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(jws in ".{0,200}", payload: Vec<u8>, certificate: Vec<u8>) {
        let signer = Signer { certificate_der: &certificate, edge_id: EDGE_ID };
        prop_assert!(verify(&jws, &payload, signer).is_err());
    }
}
