//! `openapi.yaml` against the running server, by schemathesis.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::{Connector, Openssl, python};

/// Requests per operation that it makes up.
const EXAMPLES: &str = "25";
/// The same requests in every run.
const SEED: &str = "3";
/// What the device listener serves.
const DEVICE_PATHS: &str = "^/api/v1/device/";

#[test]
fn the_management_api_does_what_its_description_says() {
    let Some(mut schemathesis) = python() else { return };
    let connector = Connector::start();
    connector.post("/api/v1/sites", &json!({ "document": connector.site() }));
    for number in 1..=3 {
        let ek_sha256 = format!("{number:064}");
        let device = json!({ "edge_id": format!("SN-{number}"), "ek_sha256": ek_sha256 });
        connector.post("/api/v1/devices", &device);
    }
    let management = format!("https://{}", connector.endpoints().management);
    schemathesis
        .args(arguments(&connector, &format!("{management}/api/v1/openapi.yaml"), &management))
        .args(["--header", &format!("Authorization: Bearer {}", connector.admin_key())])
        // Served to devices, on another listener.
        .args(["--exclude-path-regex", DEVICE_PATHS]);
    passes(schemathesis.current_dir(connector.folder()));
    // Its requests were not all turned away at the door: the key is still good.
    let key = json!({ "name": "afterwards", "role": "viewer" });
    assert_eq!(connector.post("/api/v1/api-keys", &key)["name"], "afterwards");
}

#[test]
fn the_device_api_does_what_its_description_says() {
    let Some(mut schemathesis) = python() else { return };
    let connector = Connector::start();
    connector.post("/api/v1/sites", &json!({ "document": connector.site() }));
    connector.post("/api/v1/token/audiences", &json!({ "audience": "https://lake.example" }));
    let device = json!({ "edge_id": "SN-1", "binding": "plain_est" });
    let registered = connector.post("/api/v1/devices", &device);
    let secret = registered["enrolment_secret"].as_str().unwrap();
    let (certificate, key) = Openssl::at(&connector.folder().join("device")).enrol(
        &connector.endpoints().est,
        &connector.root(),
        ("SN-1", secret),
    );
    let listener = format!("https://{}", connector.endpoints().device);
    let description =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../components/cloud/connector/openapi.yaml");
    schemathesis
        .args(arguments(&connector, &description.display().to_string(), &listener))
        .arg("--request-cert")
        .arg(certificate)
        .arg("--request-cert-key")
        .arg(key)
        .args(["--include-path-regex", DEVICE_PATHS]);
    passes(schemathesis.current_dir(connector.folder()));
    // It was heard as the device.
    assert_eq!(connector.get("/api/v1/devices/SN-1")["state"], "active");
}

/// What both listeners are asked with.
fn arguments(connector: &Connector, description: &str, url: &str) -> Vec<String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interoperability");
    let configuration = here.join("schemathesis.toml").display().to_string();
    let root = connector.root().display().to_string();
    [
        ["-m", "schemathesis.cli"].as_slice(),
        &["--config-file", &configuration],
        &["run", description, "--url", url, "--tls-verify", &root],
        &["--seed", SEED, "--max-examples", EXAMPLES],
        &["--generation-database", "none", "--continue-on-failure"],
    ]
    .concat()
    .into_iter()
    .map(str::to_owned)
    .collect()
}

fn passes(schemathesis: &mut Command) {
    let hooks =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interoperability/schemathesis_hooks.py");
    let output =
        schemathesis.env("NO_COLOR", "1").env("SCHEMATHESIS_HOOKS", hooks).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    eprintln!("{said}");
}
