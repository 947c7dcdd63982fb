//! `openapi.yaml` against the running server, by schemathesis.

use std::path::Path;

use serde_json::json;

use crate::support::{Connector, python};

/// Requests per operation that it makes up.
const EXAMPLES: &str = "25";
/// The same requests in every run.
const SEED: &str = "3";

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
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interoperability");
    let url = format!("https://{}", connector.endpoints().management);
    let output = schemathesis
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(here.join("schemathesis.toml"))
        .args(["run", &format!("{url}/api/v1/openapi.yaml"), "--url", &url, "--tls-verify"])
        .arg(connector.root())
        .args(["--header", &format!("Authorization: Bearer {}", connector.admin_key())])
        // Served to devices, on another listener.
        .args(["--exclude-path-regex", "^/api/v1/device/"])
        .args(["--seed", SEED, "--max-examples", EXAMPLES])
        .args(["--generation-database", "none", "--continue-on-failure"])
        .current_dir(connector.folder())
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    eprintln!("{said}");
    // Its requests were not all turned away at the door: the key is still good.
    let key = json!({ "name": "afterwards", "role": "viewer" });
    assert_eq!(connector.post("/api/v1/api-keys", &key)["name"], "afterwards");
}
