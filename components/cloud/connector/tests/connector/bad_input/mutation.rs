//! Ten thousand random changes to an enrolment that would pass.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_attestation::csr::decode_body;
use holdfast_attestation::evidence::Evidence;
use holdfast_attestation::nonce::{NonceRequest, NonceResponse};
use http::StatusCode;
use serde_json::json;

use super::bare::{Bare, assert_refused};
use super::random::Random;
use crate::support::Fixture;
use crate::support::device::{Device, ENROL, NONCE, Tpm as _};
use crate::support::software::SoftwareTpm;

const EDGE_ID: &str = "SN-0001";
/// Per kind of change; there are five kinds.
const ROUNDS: u64 = 2000;
/// Rounds at once: their records share the store's commits.
const AT_ONCE: u64 = 25;

type Enroller = Device<SoftwareTpm>;

/// A change; nothing if it came out as what it was made from.
type Change = fn(&mut Random, &Enroller, &NonceResponse, &[u8; 32]) -> Option<String>;

struct World {
    fixture: Fixture,
    device: Arc<Enroller>,
    bare: Bare,
}

impl World {
    async fn new() -> Self {
        let fixture = Fixture::start().await;
        fixture.publish_release().await;
        let device = Device::new(EDGE_ID, SoftwareTpm::new(&fixture.site));
        fixture.register(EDGE_ID, device.tpm.ek_sha256()).await;
        let bare = Bare::new(&fixture.server);
        Self { fixture, device: Arc::new(device), bare }
    }

    /// Tries all rounds of a kind.
    async fn try_all(&self, kind: &'static str, change: Change) {
        for first in (0..ROUNDS).step_by(usize::try_from(AT_ONCE).unwrap()) {
            let mut rounds = tokio::task::JoinSet::new();
            for seed in first..first + AT_ONCE {
                let (device, bare) = (Arc::clone(&self.device), self.bare.reconnect(seed));
                rounds.spawn(async move {
                    let challenge = bare.post(NONCE, device.nonce_request()).await;
                    let challenge = NonceResponse::from_json(&challenge.body).unwrap();
                    let mut random = Random::seeded(seed);
                    let changed = (0..100)
                        .find_map(|_| change(&mut random, &device, &challenge, &bare.exporter()));
                    let answer = bare.post(ENROL, changed.unwrap()).await;
                    assert_refused(&answer, &format!("{kind}, seed {seed}"));
                });
            }
            while let Some(round) = rounds.join_next().await {
                round.unwrap();
            }
        }
        self.assert_nothing_was_stored().await;
        self.device.enrol(&self.fixture.server).await;
    }

    async fn assert_nothing_was_stored(&self) {
        let shown = self.fixture.device(EDGE_ID).await;
        assert_eq!(shown["state"], json!("registered"));
        assert_eq!(shown["enrolled_at"], json!(null));
        assert_eq!((&shown["certificates"], &shown["enrolments"]), (&json!([]), &json!([])));
        let devices: serde_json::Value = self.fixture.admin.get("/api/v1/devices").await.unwrap();
        assert_eq!(devices["items"].as_array().unwrap().len(), 1);
    }
}

fn evidence(device: &Enroller, challenge: &NonceResponse, exporter: &[u8; 32]) -> Evidence {
    device.tpm.attest(&device.qualifying_data(challenge, exporter))
}

/// One part of the evidence; the request around it is signed with the right key.
fn change_a_statement(
    random: &mut Random,
    device: &Enroller,
    challenge: &NonceResponse,
    exporter: &[u8; 32],
) -> Option<String> {
    let original = evidence(device, challenge, exporter);
    let mut changed = original.clone();
    let part = match random.below(6) {
        0 => &mut changed.certify.attest,
        1 => &mut changed.certify.signature,
        2 => &mut changed.certify.public,
        3 => &mut changed.quote.attest,
        4 => &mut changed.quote.signature,
        _ => {
            let index = random.below(changed.quote.pcr_values.len());
            let value = &mut changed.quote.pcr_values[index];
            match random.below(3) {
                0 => value.index = u8::try_from(random.below(24)).unwrap(),
                _ => value.digest[random.below(32)] ^= 1 << random.below(8),
            }
            return (changed != original)
                .then(|| STANDARD.encode(device.tpm.certificate_request(Some(&changed))));
        }
    };
    *part = random.mutate(part);
    (changed != original).then(|| STANDARD.encode(device.tpm.certificate_request(Some(&changed))))
}

/// The evidence's DER; the request around it is signed with the right key.
fn change_the_attribute(
    random: &mut Random,
    device: &Enroller,
    challenge: &NonceResponse,
    exporter: &[u8; 32],
) -> Option<String> {
    let original = evidence(device, challenge, exporter);
    let changed = random.mutate(&original.to_attribute_value_der().unwrap());
    let is_other = Evidence::from_attribute_value_der(&changed).as_ref() != Ok(&original);
    is_other.then(|| STANDARD.encode(device.tpm.certificate_request_with(&changed)))
}

/// The certificate request's DER.
fn change_the_request(
    random: &mut Random,
    device: &Enroller,
    challenge: &NonceResponse,
    exporter: &[u8; 32],
) -> Option<String> {
    let evidence = evidence(device, challenge, exporter);
    let original = device.tpm.certificate_request(Some(&evidence));
    let changed = random.mutate(&original);
    (changed != original).then(|| STANDARD.encode(changed))
}

/// The body's base64.
fn change_the_body(
    random: &mut Random,
    device: &Enroller,
    challenge: &NonceResponse,
    exporter: &[u8; 32],
) -> Option<String> {
    let original = device.answer(challenge, exporter);
    let changed = random.mutate(original.as_bytes());
    let is_other = decode_body(&changed) != decode_body(original.as_bytes());
    is_other.then(|| String::from_utf8_lossy(&changed).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_statements_of_the_tpm_are_refused() {
    World::new().await.try_all("statement", change_a_statement).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_evidence_is_refused() {
    World::new().await.try_all("evidence", change_the_attribute).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_certificate_requests_are_refused() {
    World::new().await.try_all("certificate request", change_the_request).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_enrolment_bodies_are_refused() {
    World::new().await.try_all("body", change_the_body).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_nonce_requests_lead_to_no_certificate() {
    let world = World::new().await;
    let original = world.device.nonce_request();
    let honest = NonceRequest::from_json(&original).unwrap();
    let mut challenges = 0;
    for seed in 0..ROUNDS {
        let mut random = Random::seeded(seed);
        let mut mutate = || {
            let changed = random.mutate(&original);
            let asked = NonceRequest::from_json(&changed);
            (!asked.is_ok_and(|asked| asked == honest)).then_some(changed)
        };
        let changed = (0..100).find_map(|_| mutate()).unwrap();
        let bare = world.bare.reconnect(seed);
        let answer = bare.post(NONCE, changed).await;
        let what = format!("nonce request, seed {seed}");
        if answer.status != StatusCode::OK {
            assert_refused(&answer, &what);
            continue;
        }
        // Another name, or keys that nobody has: whoever goes on from there gets nowhere.
        challenges += 1;
        let challenge = NonceResponse::from_json(&answer.body).unwrap();
        let body = world.device.answer_with_secret(&[0; 32], &challenge, &bare.exporter());
        assert_refused(&bare.post(ENROL, body).await, &what);
    }
    assert!(challenges > 0);
    world.assert_nothing_was_stored().await;
    world.device.enrol(&world.fixture.server).await;
}
