//! Who gets through to the device listener: OpenSSL as the client, with certificates that OpenSSL
//! made.

use std::path::PathBuf;

use crate::support::{ClientCertificate, Connector, Openssl, Purpose};

const NOW: (&str, &str) = ("20250101000000Z", "20991231235959Z");
const OVER: (&str, &str) = ("20250101000000Z", "20250201000000Z");
const TO_COME: (&str, &str) = ("20990101000000Z", "20991231235959Z");
const SELF: &str = "/api/v1/device/self";

struct World {
    connector: Connector,
    openssl: Openssl,
}

impl World {
    fn new() -> Self {
        let connector = Connector::start();
        let openssl = Openssl::at(&connector.folder().join("openssl"));
        Self { connector, openssl }
    }

    /// A certificate of the connector's own issuing CA.
    fn own(&self, name: &str, purpose: Purpose, life: (&str, &str)) -> (PathBuf, PathBuf) {
        let (ca, key) = self.connector.issuing_ca();
        self.openssl.certificate(name, &ClientCertificate { ca: (&ca, &key), purpose, life })
    }

    /// The answer to a request, or the alert that came in its place.
    fn ask(&self, identity: Option<&(PathBuf, PathBuf)>) -> Result<String, String> {
        let device = self.connector.endpoints().device;
        let output = self.openssl.get(device, &self.connector.root(), identity, SELF);
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if answer.starts_with("HTTP/1.1 ") { Ok(answer) } else { Err(said) }
    }

    fn assert_alert(&self, identity: Option<&(PathBuf, PathBuf)>, alert: &str) {
        let said = self.ask(identity).unwrap_err();
        assert!(said.contains(&format!("alert {alert}")), "expected {alert}: {said}");
    }
}

/// The others below differ from it in one thing each.
#[test]
fn a_certificate_of_the_ca_gets_through_to_the_registry_which_must_know_it() {
    let world = World::new();
    let answer = world.ask(Some(&world.own("client", Purpose::Client, NOW))).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("\"code\":\"certificate-unknown\""), "{answer}");
}

#[test]
fn without_a_certificate_there_is_no_connection() {
    World::new().assert_alert(None, "certificate required");
}

#[test]
fn an_expired_certificate_is_refused() {
    let world = World::new();
    let identity = world.own("expired", Purpose::Client, OVER);
    world.assert_alert(Some(&identity), "certificate expired");
}

#[test]
fn a_certificate_of_the_future_is_refused() {
    let world = World::new();
    let identity = world.own("future", Purpose::Client, TO_COME);
    // OpenSSL has no other word for it.
    world.assert_alert(Some(&identity), "certificate expired");
}

#[test]
fn a_certificate_for_servers_is_refused() {
    let world = World::new();
    let identity = world.own("server", Purpose::Server, NOW);
    world.assert_alert(Some(&identity), "unsupported certificate");
}

#[test]
fn a_certificate_of_another_ca_is_refused_also_if_it_has_the_same_name() {
    let world = World::new();
    let (issuing, _) = world.connector.issuing_ca();
    let same = world.openssl.name_in(&issuing);
    for (name, alert) in [("/O=Somebody else", "unknown ca"), (same.as_str(), "decrypt error")] {
        let (ca, key) = world.openssl.ca(name);
        let wanted = ClientCertificate { ca: (&ca, &key), purpose: Purpose::Client, life: NOW };
        let identity = world.openssl.certificate("foreign", &wanted);
        world.assert_alert(Some(&identity), alert);
    }
}

#[test]
fn a_key_without_its_certificate_is_refused() {
    let world = World::new();
    let (certificate, _) = world.own("mine", Purpose::Client, NOW);
    let (_, other_key) = world.own("yours", Purpose::Client, NOW);
    // OpenSSL itself does not use a pair that does not fit.
    assert!(world.ask(Some(&(certificate, other_key))).is_err());
}
