//! What the device shows to third parties: tokens, and signatures of reports.

use std::path::Path;
use std::process::Command;

use holdfast_enroll::certificate::Chain;
use holdfast_ipc::identity::sign_report;
use holdfast_jws::{Signer, verify};

use crate::cloud::Cloud;
use crate::device::Device;

const AUDIENCE: &str = "https://telemetry.example";

/// A verifier that knows the key set, the certificate shown to it and its own name, nothing else.
const VERIFIER: &str = "
import base64, hashlib, json, sys
import jwt
from cryptography import x509
token, keys, certificate = (open(name, 'rb').read() for name in sys.argv[1:4])
token = token.decode()
kid = jwt.get_unverified_header(token)['kid']
keys = {key['kid']: jwt.PyJWK(key).key for key in json.loads(keys)['keys']}
if kid not in keys:
    sys.exit('unknown key')
def decode(token, audience):
    return jwt.decode(token, keys[kid], algorithms=['ES256'], audience=audience,
                      issuer='urn:holdfast:demo',
                      options={'require': ['exp', 'iat', 'nbf', 'sub', 'jti', 'aud']})
claims = decode(token, 'https://telemetry.example')
head, body, signature = token.split('.')
other = body[:-2] + ('AA' if body[-2:] != 'AA' else 'BB')
for bad, audience in [(token, 'https://other.example'),
                      ('.'.join([head, other, signature]), 'https://telemetry.example')]:
    try:
        decode(bad, audience)
    except jwt.InvalidTokenError:
        continue
    sys.exit('accepted what it must not')
der = x509.load_pem_x509_certificate(certificate).public_bytes(
    __import__('cryptography').hazmat.primitives.serialization.Encoding.DER)
thumbprint = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b'=').decode()
if claims['cnf'] != {'x5t#S256': thumbprint}:
    sys.exit('bound to another certificate')
if claims['exp'] - claims['iat'] != 900 or claims['nbf'] != claims['iat']:
    sys.exit('wrong times')
print(claims['sub'], claims['edge_id'], claims['tenant'], kid)
";

/// Debian's interpreter, which finds python3-jwt.
fn verified(token: &Path, keys: &Path, certificate: &Path) -> Result<Vec<String>, String> {
    let output = Command::new("/usr/bin/python3")
        .args(["-c", VERIFIER])
        .args([token, keys, certificate])
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let printed = String::from_utf8(output.stdout).unwrap();
    Ok(printed.split_whitespace().map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_party_verifies_a_token_and_the_certificate_that_it_is_bound_to() {
    let cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let device = Device::new("SN-0060", &site);
    let daemon = device.start();
    let ek = daemon.wait_for("enroller started").field("ek_sha256").to_owned();
    let identity = device.identity().await;
    let error = identity.get_token(AUDIENCE).await.unwrap_err().to_string();
    assert!(error.contains("no certificate yet"), "{error}");
    cloud.operate(&["device", "register", "SN-0060", "--ek-sha256", &ek]).await;
    let device_id = daemon.wait_for("active").field("device_id").to_owned();

    let error = identity.get_token(AUDIENCE).await.unwrap_err().to_string();
    assert!(error.contains("audience-not-allowed"), "{error}");
    let error = identity.get_token("units-only").await.unwrap_err().to_string();
    assert!(error.contains("AccessDenied"), "{error}");

    cloud.operate(&["token", "audience", "add", AUDIENCE]).await;
    let (token, keys, certificate) =
        (device.path("token"), device.path("keys.json"), device.state().join("device.crt"));
    let fetch_keys = async || {
        let set = cloud.get("/.well-known/jwks.json").await;
        std::fs::write(&keys, set.to_string()).unwrap();
    };
    let (first, expires) = identity.get_token(AUDIENCE).await.unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!(expires.abs_diff(now.as_secs() + 900) < 300, "{expires}");
    std::fs::write(&token, &first).unwrap();
    fetch_keys().await;
    let seen = verified(&token, &keys, &certificate).unwrap();
    assert_eq!(seen[..3], [device_id.as_str(), "SN-0060", "demo"]);

    // A rotation is not noticed: the set that was fetched before has the next key already, and
    // the one fetched afterwards still has the former.
    cloud.operate(&["token", "key", "rotate"]).await;
    let (second, _) = identity.get_token(AUDIENCE).await.unwrap();
    std::fs::write(&token, &second).unwrap();
    let rotated = verified(&token, &keys, &certificate).unwrap();
    assert_ne!(rotated[3], seen[3]);
    fetch_keys().await;
    std::fs::write(&token, &first).unwrap();
    assert_eq!(verified(&token, &keys, &certificate).unwrap(), seen);

    // Lost keys are taken back.
    cloud.operate(&["token", "key", "rotate", "--compromised"]).await;
    fetch_keys().await;
    assert_eq!(verified(&token, &keys, &certificate).unwrap_err(), "unknown key");

    // After a renewal the certificate is another one, and with it the binding.
    let (bound, _) = identity.get_token(AUDIENCE).await.unwrap();
    std::fs::write(&token, &bound).unwrap();
    identity.renew().await.unwrap();
    let error = verified(&token, &keys, &certificate).unwrap_err();
    assert_eq!(error, "bound to another certificate");
    let (renewed, _) = identity.get_token(AUDIENCE).await.unwrap();
    std::fs::write(&token, &renewed).unwrap();
    verified(&token, &keys, &certificate).unwrap();

    cloud.operate(&["token", "audience", "remove", AUDIENCE]).await;
    let error = identity.get_token(AUDIENCE).await.unwrap_err().to_string();
    assert!(error.contains("audience-not-allowed"), "{error}");
    daemon.stop();

    let records = cloud.get("/api/v1/audit?limit=100").await;
    let decisions: Vec<_> = records["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["record"]["action"] == "token.issue")
        .map(|item| item["record"]["decision"].as_str().unwrap())
        .collect();
    let expected = ["denied", "allowed", "allowed", "allowed", "allowed", "denied"];
    assert_eq!(decisions, expected, "every issue and every refusal is recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_signed_over_the_bus_is_believed_of_this_device_only() {
    let cloud = Cloud::start().await;
    let site = cloud.make_site().await;
    let mut device = Device::new("SN-0061", &site);
    for mode in ["tpm-pss", "software-pss"] {
        let _ = std::fs::remove_dir_all(device.state());
        device.arguments = vec!["--signature-mode".to_owned(), mode.to_owned()];
        let daemon = device.start();
        let ek = daemon.wait_for("enroller started").field("ek_sha256").to_owned();
        if cloud.devices().await.is_empty() {
            cloud.operate(&["device", "register", "SN-0061", "--ek-sha256", &ek]).await;
        }
        daemon.wait_for("active");
        let identity = device.identity().await;
        let report = br#"{"edge_id":"SN-0061","update":"0.2.0"}"#;
        let jws = sign_report(&identity, report).await.unwrap();
        let chain = Chain::from_pem(&identity.get_certificate_chain().await.unwrap()).unwrap();
        let certificate = &chain.to_der().unwrap()[0];
        let signer = |edge_id| Signer { certificate_der: certificate, edge_id };
        verify(&jws, report, signer("SN-0061")).unwrap();
        verify(&jws, report, signer("SN-0062")).unwrap_err();
        verify(&jws, br#"{"edge_id":"SN-0061","update":"0.3.0"}"#, signer("SN-0061")).unwrap_err();
        let error = sign_report(&identity, br#"{"edge_id":"SN-0062"}"#).await.unwrap_err();
        assert!(error.to_string().contains("SN-0062"), "{error}");
        daemon.stop();
    }
}
