//! What the listeners speak, as sslyze sees it.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{ClientCertificate, Connector, Openssl, Purpose, python, run};

/// Versions that sslyze tries.
const OLD: [&str; 4] = ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"];
/// Scans beside those of the versions.
const SCANS: [&str; 9] = [
    "--compression",
    "--early_data",
    "--elliptic_curves",
    "--fallback",
    "--heartbleed",
    "--openssl_ccs",
    "--reneg",
    "--robot",
    "--ems",
];

/// What sslyze found out about a listener.
struct Scan(Value);

impl Scan {
    fn of(
        connector: &Connector,
        server: SocketAddr,
        identity: Option<&(PathBuf, PathBuf)>,
    ) -> Option<Self> {
        let mut sslyze = python()?;
        sslyze.args(["-m", "sslyze"]);
        if let Some((certificate, key)) = identity {
            sslyze.arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        let file = connector.folder().join("sslyze.json");
        sslyze.args(["--quiet", "--mozilla_config", "disable"]);
        sslyze.args(["--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3"]);
        sslyze.args(SCANS).arg("--json_out").arg(&file).arg(server.to_string());
        run(&mut sslyze);
        let mut report: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let scan = report["server_scan_results"][0].take();
        assert_eq!(scan["connectivity_status"], "COMPLETED", "{scan}");
        Some(Self(scan))
    }

    /// The result of one scan, which must have come to an end.
    fn result(&self, name: &str) -> &Value {
        let scan = &self.0["scan_result"][name];
        assert_eq!(scan["status"], "COMPLETED", "{name}: {scan}");
        &scan["result"]
    }

    /// Names of the cipher suites that the server takes in a version.
    fn suites(&self, version: &str) -> Vec<&str> {
        let suites = &self.result(&format!("{version}_cipher_suites"))["accepted_cipher_suites"];
        let suites = suites.as_array().unwrap().iter();
        suites.map(|suite| suite["cipher_suite"]["name"].as_str().unwrap()).collect()
    }

    fn assert_flag(&self, scan: &str, flag: &str, expected: bool) {
        let found = &self.result(scan)[flag];
        assert_eq!(found.as_bool(), Some(expected), "{scan}: {flag} is {found}");
    }

    /// What holds for every listener.
    fn assert_sound(&self) {
        for version in OLD {
            assert!(self.suites(version).is_empty(), "{version}");
        }
        let mut suites = self.suites("tls_1_3");
        suites.sort_unstable();
        let expected =
            ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
        assert_eq!(suites, expected);
        self.assert_flag("tls_compression", "supports_compression", false);
        self.assert_flag("tls_1_3_early_data", "supports_early_data", false);
        self.assert_flag("heartbleed", "is_vulnerable_to_heartbleed", false);
        self.assert_flag("openssl_ccs_injection", "is_vulnerable_to_ccs_injection", false);
        let renegotiation = "session_renegotiation";
        self.assert_flag(renegotiation, "is_vulnerable_to_client_renegotiation_dos", false);
    }

    fn client_certificate(&self) -> &str {
        self.0["connectivity_result"]["client_auth_requirement"].as_str().unwrap()
    }
}

#[test]
fn the_enrolment_listener_speaks_tls_1_3_and_1_2_with_strong_suites() {
    let connector = Connector::start();
    let Some(scan) = Scan::of(&connector, connector.endpoints().est, None) else { return };
    scan.assert_sound();
    assert_eq!(scan.client_certificate(), "OPTIONAL");
    let suites = scan.suites("tls_1_2");
    assert!(!suites.is_empty());
    for suite in suites {
        // Forward secrecy and authenticated encryption (RFC 9325, 4.2).
        assert!(suite.starts_with("TLS_ECDHE_ECDSA_WITH_"), "{suite}");
        assert!(suite.contains("_GCM_") || suite.contains("_POLY1305_"), "{suite}");
    }
    scan.assert_flag("session_renegotiation", "supports_secure_renegotiation", true);
    scan.assert_flag("tls_fallback_scsv", "supports_fallback_scsv", true);
    scan.assert_flag("tls_extended_master_secret", "supports_ems_extension", true);
    let robot = &scan.result("robot")["robot_result"];
    assert_eq!(robot, "NOT_VULNERABLE_RSA_NOT_SUPPORTED");
}

#[test]
fn the_device_listener_speaks_tls_1_3_alone_and_asks_for_a_certificate() {
    let connector = Connector::start();
    // One that is let in, so that sslyze gets past the handshake.
    let (ca, key) = connector.issuing_ca();
    let life = ("20250101000000Z", "20991231235959Z");
    let wanted = ClientCertificate { ca: (&ca, &key), purpose: Purpose::Client, life };
    let identity = Openssl::at(&connector.folder().join("openssl")).certificate("scan", &wanted);
    let device = connector.endpoints().device;
    let Some(scan) = Scan::of(&connector, device, Some(&identity)) else { return };
    scan.assert_sound();
    assert_eq!(scan.suites("tls_1_2"), [""; 0]);
    let stranger = Scan::of(&connector, device, None).unwrap();
    assert_eq!(stranger.client_certificate(), "REQUIRED");
}

#[test]
fn the_management_listener_speaks_tls_1_3_alone() {
    let connector = Connector::start();
    let Some(scan) = Scan::of(&connector, connector.endpoints().management, None) else { return };
    scan.assert_sound();
    assert_eq!(scan.suites("tls_1_2"), [""; 0]);
    assert_eq!(scan.client_certificate(), "DISABLED");
}
