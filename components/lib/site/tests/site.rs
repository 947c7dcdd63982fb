//! Site configurations: one that is valid, and one file per fault.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::PathBuf;

use holdfast_site::{
    Anchor, Connector, EdgeIdSource, HttpsOrigin, MAX_LENGTH, RecoveryKey, Site, SiteError,
};
use proptest::prelude::*;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn data(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn text(name: &str) -> String {
    String::from_utf8(data(name)).unwrap()
}

fn valid() -> Site {
    Site::parse(&data("valid.toml")).unwrap()
}

#[test]
fn a_valid_file_is_understood() {
    let site = valid();
    assert_eq!(site.tenant.as_str(), "demo");
    assert_eq!(site.edge_id_source, EdgeIdSource::DmiSerial);
    assert_eq!(site.connector.enrol_url.as_str(), "https://10.0.2.2:8443");
    assert_eq!(site.connector.device_url.port(), 8444);
    assert_eq!(site.anchors().len(), 1);
    assert!(site.anchors()[0].pem().starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(site.anchors()[0].der()[0], 0x30);
    assert!(site.recovery_key.is_some());
    let without = Site::parse(&data("valid-without-recovery.toml")).unwrap();
    assert_eq!(without.recovery_key, None);
}

/// File, line and beginning of the message after it.
const FAULTS: &[(&str, usize, &str)] = &[
    ("not-toml", 1, ""),
    ("empty", 1, "missing field `format`"),
    ("format-of-tomorrow", 1, "format: this program reads format 1, the file has format 2"),
    ("format-is-text", 1, "invalid type: string \"1\""),
    ("unknown-key", 3, "unknown field `tennant`"),
    ("unknown-key-in-table", 8, "unknown field `enroll_url`"),
    ("unknown-table", 4, "unknown field `web`"),
    ("key-twice", 3, "duplicate key"),
    ("missing-tenant", 1, "missing field `tenant`"),
    ("missing-device-url", 7, "missing field `device_url`"),
    ("tenant-empty", 2, "tenant: \"\" is no tenant name"),
    ("tenant-upper-case", 2, "tenant: \"Demo\" is no tenant name"),
    ("tenant-with-slash", 2, "tenant: \"a/b\" is no tenant name"),
    ("source-unknown", 5, "edge_id.source: \"dmi\" is no known source"),
    ("source-mac-without-interface", 5, "edge_id.source: \"\" is no name of a network interface"),
    ("source-mac-with-slash", 5, "edge_id.source: \"../eth0\" is no name"),
    ("source-mac-too-long", 5, "edge_id.source: \"a234567890123456\" is no name"),
    ("source-fixed-placeholder", 5, "edge_id.source: \"DEFAULT STRING\" is a placeholder"),
    ("enrol-url-http", 8, "connector.enrol_url: \"http://10.0.2.2:8443\" does not start with"),
    ("enrol-url-path", 8, "connector.enrol_url: \"https://10.0.2.2:8443/est\" has more than host"),
    ("enrol-url-user", 8, "connector.enrol_url: \"https://me@10.0.2.2:8443\" has more than host"),
    ("enrol-url-port-zero", 8, "connector.enrol_url: \"0\" is no port"),
    ("enrol-url-port-large", 8, "connector.enrol_url: \"65536\" is no port"),
    ("enrol-url-bad-address", 8, "connector.enrol_url: \"10.0.2.256\" is neither"),
    ("device-url-empty-host", 9, "connector.device_url: \"\" is neither"),
    ("device-url-bad-ipv6", 9, "connector.device_url: \"fe80::1::2\" is no IPv6 address"),
    ("anchors-empty", 12, "trust.anchors: 0 CA certificates; expected 1 to 16"),
    ("anchor-is-no-ca", 12, "trust.anchors: the certificate is not of a CA: its basic constraints"),
    ("anchor-without-constraints", 12, "trust.anchors: the certificate is not of a CA: it has no"),
    ("anchor-may-not-sign-certificates", 12, "trust.anchors: the certificate's key may not sign"),
    ("anchor-is-a-key", 12, "trust.anchors: the PEM block is of \"PUBLIC KEY\", expected"),
    ("anchor-twice-in-one-text", 12, "trust.anchors: not a single well-formed PEM block"),
    ("anchor-with-text-before", 12, "trust.anchors: expected a PEM text that starts with"),
    ("anchor-cut-off", 12, "trust.anchors: not a single well-formed PEM block"),
    ("anchor-is-no-pem", 12, "trust.anchors: expected a PEM text that starts with"),
    ("recovery-key-ed25519", 27, "recovery.public_key: the public key is neither RSA nor"),
    ("recovery-key-is-certificate", 27, "recovery.public_key: the PEM block is of \"CERTIFICATE\""),
];

#[test]
fn each_fault_is_named_with_line_and_key() {
    for (name, line, message) in FAULTS {
        let error = Site::parse(&data(&format!("{name}.toml"))).unwrap_err().to_string();
        let expected = format!("site.toml: line {line}: {message}");
        assert!(error.starts_with(&expected), "{name}\n found: {error}\n expected: {expected}");
        assert!(!error.contains('\n'), "{name}: {error}");
    }
}

/// A file of `tests/data` that no row mentions would be a fault that nobody looks at.
#[test]
fn every_faulty_file_is_in_the_table() {
    for entry in path("").read_dir().unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".toml") else { continue };
        let known = name.starts_with("valid") || FAULTS.iter().any(|(fault, _, _)| *fault == name);
        assert!(known, "{name}.toml is not tested");
    }
}

#[test]
fn texts_that_are_no_text_or_too_long() {
    let mut not_utf8 = data("valid.toml");
    let place = not_utf8.windows(4).position(|bytes| bytes == b"demo").unwrap();
    not_utf8[place] = 0xff;
    assert_eq!(Site::parse(&not_utf8), Err(SiteError::NotUtf8 { line: 2 }));
    let long = vec![b'#'; MAX_LENGTH + 1];
    assert_eq!(Site::parse(&long), Err(SiteError::TooLong(MAX_LENGTH + 1)));
    let verified = Site::verify_and_parse(&long, &[], "");
    assert_eq!(verified, Err(SiteError::TooLong(MAX_LENGTH + 1)));
}

#[test]
fn the_signature_of_openssl_is_verified() {
    let (toml, signature, key) = (data("valid.toml"), data("valid.toml.sig"), text("site-key.pem"));
    assert_eq!(Site::verify_and_parse(&toml, &signature, &key), Ok(valid()));
}

#[test]
fn nothing_unsigned_is_parsed() {
    let (toml, signature, key) = (data("valid.toml"), data("valid.toml.sig"), text("site-key.pem"));
    let mut changed = toml.clone();
    changed.push(b'\n');
    let mut bad_signature = signature.clone();
    *bad_signature.last_mut().unwrap() ^= 1;
    let mut longer_signature = signature.clone();
    longer_signature.push(0);
    let mismatch = SiteError::SignatureMismatch;
    let encoding = SiteError::SignatureEncoding;
    for (what, toml, signature, key, expected) in [
        ("a changed text", &changed, &signature, &key, &mismatch),
        ("no valid TOML", &data("not-toml.toml"), &signature, &key, &mismatch),
        ("another key", &toml, &signature, &text("other-key.pem"), &mismatch),
        ("a changed signature", &toml, &bad_signature, &key, &mismatch),
        ("a longer signature", &toml, &longer_signature, &key, &encoding),
        ("no signature", &toml, &Vec::new(), &key, &encoding),
    ] {
        let result = Site::verify_and_parse(toml, signature, key);
        assert_eq!(result.as_ref(), Err(expected), "{what}");
    }
    for key in [String::new(), text("p384-key.pem"), text("valid.toml")] {
        let result = Site::verify_and_parse(&toml, &signature, &key);
        assert!(matches!(result, Err(SiteError::VerifyingKey(_))), "{key}");
    }
}

#[test]
fn every_cut_of_the_signature_is_refused() {
    let (toml, signature, key) = (data("valid.toml"), data("valid.toml.sig"), text("site-key.pem"));
    for length in 0..signature.len() {
        assert!(Site::verify_and_parse(&toml, &signature[..length], &key).is_err(), "{length}");
    }
}

#[test]
fn origins() {
    for (text, host, port, is_ip) in [
        ("https://edge.example.org", "edge.example.org", 443, false),
        ("https://localhost:1", "localhost", 1, false),
        ("https://[2001:db8::1]:8443", "2001:db8::1", 8443, true),
        ("https://[::1]", "::1", 443, true),
        ("https://192.0.2.1", "192.0.2.1", 443, true),
        ("https://1-a.b2:65535", "1-a.b2", 65535, false),
    ] {
        let origin: HttpsOrigin = text.parse().unwrap();
        assert_eq!((origin.host(), origin.port(), origin.ip().is_some()), (host, port, is_ip));
        assert_eq!(origin.to_string(), text);
    }
    for text in [
        "",
        "https://",
        "HTTPS://a",
        "https://a/",
        "https://a?b",
        "https://a#b",
        "https://a:",
        "https://a:b",
        "https://a:+1",
        "https://a:1:2",
        "https://-a",
        "https://a-",
        "https://a..b",
        "https://a b",
        "https://ä",
        "https://[::1",
        "https://[::1]x",
        "https://::1",
        "https://[10.0.0.1]",
        "https://1.2.3",
        "https://a\\b",
    ] {
        assert!(text.parse::<HttpsOrigin>().is_err(), "{text:?}");
    }
    let label = "a".repeat(63);
    assert!(format!("https://{label}").parse::<HttpsOrigin>().is_ok());
    assert!(format!("https://{label}a").parse::<HttpsOrigin>().is_err());
    assert!(format!("https://{label}.{label}.{label}.{label}").parse::<HttpsOrigin>().is_err());
}

#[test]
fn a_site_trusts_somebody() {
    let site = valid();
    let new = |anchors: Vec<Anchor>| {
        let (tenant, connector) = (site.tenant.clone(), site.connector.clone());
        Site::new(tenant, EdgeIdSource::DeviceTree, connector, anchors, None)
    };
    let anchor = &site.anchors()[0];
    assert!(new(Vec::new()).is_err());
    assert!(new(vec![anchor.clone(); 16]).is_ok());
    assert!(new(vec![anchor.clone(); 17]).is_err());
}

fn origin() -> impl Strategy<Value = HttpsOrigin> {
    ("[a-z][a-z0-9]{0,20}(\\.[a-z][a-z0-9]{0,20}){0,3}", proptest::option::of(1_u16..))
        .prop_map(|(host, port)| match port {
            Some(port) => format!("https://{host}:{port}"),
            None => format!("https://{host}"),
        })
        .prop_map(|text| text.parse().unwrap())
}

fn source() -> impl Strategy<Value = EdgeIdSource> {
    prop_oneof![
        Just(EdgeIdSource::DmiSerial),
        Just(EdgeIdSource::DeviceTree),
        "mac:[a-z\"\\\\'][a-z0-9.@]{0,14}".prop_map(|text| text.parse().unwrap()),
        "fixed:HF[A-Z0-9._:-]{1,60}".prop_map(|text| text.parse().unwrap()),
    ]
}

fn site() -> impl Strategy<Value = Site> {
    let tenant = "[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?".prop_map(|text| text.parse().unwrap());
    let recovery = proptest::option::of(Just(valid().recovery_key.unwrap()));
    (tenant, source(), origin(), origin(), 1..4_usize, recovery).prop_map(
        |(tenant, source, enrol_url, device_url, count, recovery)| {
            let anchors = vec![valid().anchors()[0].clone(); count];
            let connector = Connector { enrol_url, device_url };
            Site::new(tenant, source, connector, anchors, recovery).unwrap()
        },
    )
}

#[test]
fn the_text_of_a_parsed_key_is_kept() {
    let recovery: RecoveryKey = valid().recovery_key.unwrap();
    assert_eq!(recovery.pem().parse(), Ok(recovery.clone()));
    assert_eq!(recovery.der()[0], 0x30);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(site in site()) {
        let toml = site.to_toml().unwrap();
        prop_assert_eq!(Site::parse(toml.as_bytes()), Ok(site));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Site::parse(&bytes);
        let _ = Site::verify_and_parse(&bytes, &bytes, &text("site-key.pem"));
    }

    #[test]
    fn a_changed_byte_does_not_panic(offset in any::<proptest::sample::Index>(), value in any::<u8>()) {
        let mut bytes = data("valid.toml");
        let offset = offset.index(bytes.len());
        bytes[offset] = value;
        if let Err(error) = Site::parse(&bytes) {
            prop_assert!(error.to_string().starts_with("site.toml: line "));
        }
    }
}
