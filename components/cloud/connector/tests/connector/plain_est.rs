//! EST clients without a TPM, by programs that are not ours: strongSwan, curl and OpenSSL.

use std::path::Path;
use std::process::{Command, Output};

use holdfast_attestation::oid::POLICY_NOT_ATTESTED;
use holdfast_cloud::ca::Serial;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::Fixture;
use crate::support::device::Device;
use crate::support::software::SoftwareTpm;

const EDGE_ID: &str = "SN-0001";

/// A folder of a client, which trusts the server's root.
struct Client<'a> {
    fixture: &'a Fixture,
    folder: TempDir,
}

impl<'a> Client<'a> {
    fn new(fixture: &'a Fixture) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = fixture.server.app().authority();
        std::fs::write(folder.path().join("root.crt"), authority.root_pem()).unwrap();
        let issuing = authority.issuing();
        let issuing = der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, issuing);
        std::fs::write(folder.path().join("issuing.crt"), issuing.unwrap()).unwrap();
        Self { fixture, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a program beside the server, which shares this thread's runtime.
    async fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.path());
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    async fn done(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run(program, arguments).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {text}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    async fn request(&self, name: &str) {
        let key = format!("{name}.key");
        self.done("openssl", &["genrsa", "-out", &key, "2048"]).await;
        let csr = format!("{name}.csr");
        let subject = "/CN=whatever it says";
        self.done(
            "openssl",
            &["req", "-new", "-key", &key, "-subj", subject, "-outform", "der", "-out", &csr],
        )
        .await;
    }

    /// `pki --est` of strongSwan; the certificate goes to `NAME.crt`.
    async fn pki(&self, name: &str, more: &[&str]) -> Output {
        let url = format!("https://{}", self.fixture.server.endpoints().est);
        let csr = format!("{name}.csr");
        let fixed = ["--est", "--url", &url, "--in", &csr, "--cacert", "root.crt", "--cacert"];
        let arguments = [&fixed, ["issuing.crt", "--outform", "pem"].as_slice(), more].concat();
        let output = self.run("pki", &arguments).await;
        std::fs::write(self.path().join(format!("{name}.crt")), &output.stdout).unwrap();
        output
    }

    async fn curl(&self, path: &str, more: &[&str]) -> Output {
        let url = format!("https://{}/.well-known/est/{path}", self.fixture.server.endpoints().est);
        self.run("curl", &[&["-sS", "--cacert", "root.crt", &url], more].concat()).await
    }

    async fn text_of(&self, certificate: &str) -> String {
        self.done("openssl", &["x509", "-in", certificate, "-noout", "-text"]).await
    }
}

async fn registered(fixture: &Fixture, more: Value) -> String {
    let registered = fixture.register_by(EDGE_ID, "plain_est", more).await;
    registered["enrolment_secret"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strongswan_enrols_and_renews() {
    let fixture = Fixture::start().await;
    let secret = registered(&fixture, json!({})).await;
    let client = Client::new(&fixture);
    client.request("first").await;
    let user = format!("{EDGE_ID}:{secret}");
    let output = client.pki("first", &["--userpass", &user]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = client.text_of("first.crt").await;
    assert!(text.contains(&format!("serialNumber = {EDGE_ID}")), "{text}");
    assert!(!text.contains("whatever"), "{text}");
    let shown = fixture.device(EDGE_ID).await;
    assert_eq!(shown["certificates"][0]["attested"], json!(false));
    assert_eq!(shown["state"], json!("enrolled"));

    client.request("second").await;
    let output = client.pki("second", &["--cert", "first.crt", "--key", "first.key"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = fixture.device(EDGE_ID).await;
    assert_eq!(shown["certificates"].as_array().unwrap().len(), 2);
    assert_eq!(shown["certificates"][0]["attested"], json!(false));
    assert!(shown["certificates"][1]["accepted_until"].is_string());
    assert_eq!(fixture.audit().await[0].0, "est.renew");

    // A suspension is heard by who renews.
    fixture.change(EDGE_ID, "suspend").await.unwrap();
    let output = client.pki("second", &["--cert", "second.crt", "--key", "second.key"]).await;
    assert!(!output.status.success());
    assert_eq!(fixture.last_event().await["code"], json!("suspended"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strongswan_waits_for_approval() {
    let fixture = Fixture::start().await;
    let secret = registered(&fixture, json!({ "approval": "manual" })).await;
    let client = Client::new(&fixture);
    client.request("device").await;
    let user = format!("{EDGE_ID}:{secret}");
    let approve = async {
        while fixture.last_event().await["kind"] != json!("approval-wanted") {
            tokio::task::yield_now().await;
        }
        assert_eq!(fixture.device(EDGE_ID).await["state"], json!("pending"));
        fixture.change(EDGE_ID, "approve").await.unwrap();
    };
    // It asks again by itself, when Retry-After says.
    let more = ["--userpass", user.as_str()];
    let (output, ()) = tokio::join!(client.pki("device", &more), approve);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fixture.device(EDGE_ID).await["state"], json!("enrolled"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_and_openssl_enrol_by_hand() {
    let fixture = Fixture::start().await;
    let secret = registered(&fixture, json!({})).await;
    let client = Client::new(&fixture);
    client.request("device").await;
    let body = client.done("openssl", &["base64", "-in", "device.csr"]).await;
    std::fs::write(client.path().join("body"), body).unwrap();
    let post = ["--data-binary", "@body", "-H", "Content-Type: application/pkcs10"];

    // Nobody, then somebody with the wrong secret, then the right one, then the same again.
    let wrong = format!("{EDGE_ID}:{}", "0".repeat(32));
    let nobody = "SN-9999:secret";
    let right = format!("{EDGE_ID}:{secret}");
    let status = ["-o", "answer", "-w", "%{http_code} %header{www-authenticate}"];
    for (user, expected, event) in [
        (None, "401 Basic realm=\"holdfast\", charset=\"UTF-8\"", None),
        (Some(nobody), "401 Basic", Some("not-registered")),
        (Some(&wrong), "401 Basic", Some("enrolment-secret-wrong")),
        (Some(&right), "200 ", None),
        (Some(&right), "401 Basic", Some("enrolment-secret-wrong")),
    ] {
        let user = user.map_or_else(Vec::new, |user| vec!["-u", user]);
        let more = [user.as_slice(), &post, &status].concat();
        let told = client.curl("simpleenroll", &more).await.stdout;
        let told = String::from_utf8(told).unwrap();
        assert!(told.starts_with(expected), "{told}");
        if let Some(code) = event {
            assert_eq!(fixture.last_event().await["code"], json!(code));
        }
        if expected.starts_with("200") {
            std::fs::rename(client.path().join("answer"), client.path().join("p7.b64")).unwrap();
        }
    }
    client.done("openssl", &["base64", "-d", "-A", "-in", "p7.b64", "-out", "p7.der"]).await;
    let pem =
        client.done("openssl", &["pkcs7", "-inform", "der", "-in", "p7.der", "-print_certs"]).await;
    std::fs::write(client.path().join("device.crt"), pem).unwrap();
    client
        .done(
            "openssl",
            &[
                "verify",
                "-x509_strict",
                "-purpose",
                "sslclient",
                "-CAfile",
                "root.crt",
                "-untrusted",
                "issuing.crt",
                "device.crt",
            ],
        )
        .await;
    assert_says_not_attested(&fixture, &client).await;
    assert_eq!(fixture.device(EDGE_ID).await["certificates"].as_array().unwrap().len(), 1);
}

/// The certificate's policy, byte for byte, since OpenSSL prints no arcs as long as ours.
async fn assert_says_not_attested(fixture: &Fixture, client: &Client<'_>) {
    client
        .done("openssl", &["x509", "-in", "device.crt", "-outform", "der", "-out", "device.der"])
        .await;
    let der = std::fs::read(client.path().join("device.der")).unwrap();
    let policy = POLICY_NOT_ATTESTED.to_der();
    assert!(der.windows(policy.len()).any(|window| window == policy));
    let serial = Serial::of_certificate(&der).unwrap();
    let shown = fixture.device(EDGE_ID).await;
    assert_eq!(shown["certificates"][0]["serial"], json!(serial.as_str()));
}

#[tokio::test]
async fn a_secret_opens_its_own_registration_and_nothing_with_a_tpm() {
    let fixture = Fixture::start().await;
    fixture.publish_release().await;
    let secret = registered(&fixture, json!({})).await;
    let with_tpm = Device::new("SN-0002", SoftwareTpm::new(&fixture.site));
    fixture.register("SN-0002", crate::support::device::Tpm::ek_sha256(&with_tpm.tpm)).await;
    let client = Client::new(&fixture);
    client.request("device").await;
    let user = format!("SN-0002:{secret}");
    let output = client.pki("device", &["--userpass", &user]).await;
    assert!(!output.status.success());
    assert_eq!(fixture.last_event().await["code"], json!("evidence-needed"));

    // Nor does a TPM take a name that is registered without one.
    let with_tpm = Device { edge_id: EDGE_ID.parse().unwrap(), ..with_tpm };
    fixture.change("SN-0002", "retire").await.unwrap();
    assert_eq!(with_tpm.try_enrol(&fixture.server).await.code(), "not-accepted");
    assert_eq!(fixture.last_event().await["code"], json!("plain-est-only"));
}
