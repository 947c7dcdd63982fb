use std::time::Duration;

use der::Decode as _;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::OffsetDateTime;

use super::*;
use crate::clock::{TimeSource, Validity};

const BUILT: u64 = 1_763_800_000;
const DAY: u64 = 86_400;

/// A device whose real time clock has lost the time.
struct At1970;

impl TimeSource for At1970 {
    fn wall(&self) -> u64 {
        0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

struct Ca {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

struct Leaf {
    name: &'static str,
    usage: ExtendedKeyUsagePurpose,
    from: u64,
    to: u64,
}

impl Default for Leaf {
    fn default() -> Self {
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        Self { name: "10.0.2.2", usage, from: BUILT - DAY, to: BUILT + 90 * DAY }
    }
}

fn moment(seconds: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).unwrap()).unwrap()
}

impl Ca {
    fn found() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, leaf: &Leaf) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![leaf.name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "some-device");
        params.extended_key_usages = vec![leaf.usage.clone()];
        params.not_before = moment(leaf.from);
        params.not_after = moment(leaf.to);
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &self.issuer).unwrap().der().clone()
    }

    fn trust(&self) -> (SiteTrust, Arc<Clock>) {
        let clock = Arc::new(Clock::new(Box::new(At1970), BUILT));
        let anchors = std::iter::once(self.certificate.as_ref());
        (SiteTrust::new(anchors, Arc::clone(&clock)).unwrap(), clock)
    }
}

fn verify(trust: &SiteTrust, leaf: &CertificateDer<'_>) -> Result<(), String> {
    let name = ServerName::try_from("10.0.2.2").unwrap();
    let never = UnixTime::since_unix_epoch(Duration::ZERO);
    trust
        .verifier()
        .verify_server_cert(leaf, &[], &name, &[], never)
        .map(drop)
        .map_err(|error| error.to_string())
}

#[test]
fn servers_are_judged_by_what_is_known_of_the_time() {
    let (site, other) = (Ca::found(), Ca::found());
    let (trust, clock) = site.trust();
    let young = Leaf { from: BUILT + 700 * DAY, to: BUILT + 800 * DAY, ..Leaf::default() };
    let old = Leaf { from: BUILT - 90 * DAY, to: BUILT - DAY, ..Leaf::default() };
    let client = Leaf { usage: ExtendedKeyUsagePurpose::ClientAuth, ..Leaf::default() };
    let elsewhere = Leaf { name: "10.0.2.3", ..Leaf::default() };
    let table = [
        ("good", site.issue(&Leaf::default()), Ok(())),
        ("younger than the image", site.issue(&young), Ok(())),
        ("expired before the image was built", site.issue(&old), Err("Expired")),
        ("of another CA", other.issue(&Leaf::default()), Err("BadSignature")),
        ("for clients", site.issue(&client), Err("usage")),
        ("for another address", site.issue(&elsewhere), Err("not valid for name")),
    ];
    for (name, leaf, expected) in &table {
        match (verify(&trust, leaf), expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(part)) if error.to_lowercase().contains(&part.to_lowercase()) => {}
            (result, _) => panic!("{name}: {result:?}, expected {expected:?}"),
        }
    }
    // Once the time is known, the start of validity counts too.
    let valid = Validity { not_before: BUILT, not_after: BUILT + 10 * DAY };
    clock.synchronise(BUILT + DAY, valid).unwrap();
    assert!(verify(&trust, &site.issue(&young)).unwrap_err().contains("not valid yet"));
    verify(&trust, &site.issue(&Leaf::default())).unwrap();
}

#[test]
fn issued_certificates_must_lead_to_the_anchors_and_serve_a_client() {
    let (site, other) = (Ca::found(), Ca::found());
    let (trust, _) = site.trust();
    let client = || Leaf { usage: ExtendedKeyUsagePurpose::ClientAuth, ..Leaf::default() };
    let young = Leaf { from: BUILT + 700 * DAY, to: BUILT + 800 * DAY, ..client() };
    let expired = Leaf { from: BUILT - 90 * DAY, to: BUILT - DAY, ..client() };
    let table = [
        ("good", site.issue(&client()), true),
        ("younger than the image", site.issue(&young), true),
        ("expired", site.issue(&expired), false),
        ("for servers", site.issue(&Leaf::default()), false),
        ("of another CA", other.issue(&client()), false),
    ];
    for (name, leaf, good) in &table {
        let chain = Chain::new(vec![x509_cert::Certificate::from_der(leaf).unwrap()]).unwrap();
        assert_eq!(trust.check_issued(&chain).is_ok(), *good, "{name}");
    }
}

#[test]
fn an_anchor_that_is_no_certificate_is_named() {
    let clock = Arc::new(Clock::new(Box::new(At1970), BUILT));
    let site = Ca::found();
    let anchors = [site.certificate.as_ref(), b"rubbish"];
    let error = SiteTrust::new(anchors.into_iter(), clock).unwrap_err().to_string();
    assert!(error.contains("anchor 2"), "{error}");
}
