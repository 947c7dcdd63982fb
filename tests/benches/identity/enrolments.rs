//! Attested enrolments: TLS handshake, nonce, evidence, certificate.

use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_attestation::nonce::{MEDIA_TYPE, NonceResponse};
use rustls_pki_types::CertificateDer;
use serde::Serialize;

use crate::link::{Dial, Identity};
use crate::usage::{Cost, cost_of};
use crate::world::{Registered, World, joined, lock};

/// Of one TPM per minute and address there may be 12.
const PER_DEVICE: u32 = 10;
/// At once, as many devices come at once.
const AT_ONCE: usize = 2;

/// What enrolments cost.
#[derive(Serialize)]
pub struct Figures {
    enrolments: u32,
    /// Of all the server's threads.
    pub cpu_ms_each: f64,
    cpu_ms_each_by_thread: std::collections::BTreeMap<String, f64>,
    /// Of the TLS handshake in it.
    pub handshake_cpu_ms_each: f64,
    /// Of the nonce request in it.
    pub nonce_cpu_ms_each: f64,
}

/// How far to go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    Handshake,
    Nonce,
    Certificate,
}

/// Enrols all devices some times; the certificate of each is that of its last time.
pub fn measure(world: &World, devices: &[Registered]) -> Result<(Figures, Vec<Identity>)> {
    let (identities, cost) = repeat(world, devices, Until::Certificate)?;
    let (_, handshakes) = repeat(world, devices, Until::Handshake)?;
    let (_, nonces) = repeat(world, devices, Until::Nonce)?;
    let enrolments = u32::try_from(devices.len())? * PER_DEVICE;
    let handshake = handshakes.each(enrolments);
    let figures = Figures {
        enrolments,
        cpu_ms_each: cost.each(enrolments),
        cpu_ms_each_by_thread: cost.each_by_thread(enrolments),
        handshake_cpu_ms_each: handshake,
        nonce_cpu_ms_each: nonces.each(enrolments) - handshake,
    };
    Ok((figures, identities))
}

fn repeat(world: &World, devices: &[Registered], until: Until) -> Result<(Vec<Identity>, Cost)> {
    let identities = Mutex::new(Vec::new());
    let next = Mutex::new(devices.iter());
    let work = || -> Result<()> {
        loop {
            let Some(device) = lock(&next).next() else { return Ok(()) };
            let mut chain = Vec::new();
            for _ in 0..PER_DEVICE {
                chain = enrol(world, device, until)
                    .with_context(|| format!("enrol {}", device.edge_id.as_str()))?;
            }
            lock(&identities).push(Identity { chain, key: device.chip.private_key()? });
        }
    };
    let ((), cost) = cost_of(world.cloud.pid(), || {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| joined(worker.join()))
        })
    })?;
    let identities = std::mem::take(&mut *lock(&identities));
    Ok((identities, cost))
}

fn enrol(world: &World, device: &Registered, until: Until) -> Result<Vec<CertificateDer<'static>>> {
    let Registered { edge_id, chip, source } = device;
    // Each address has a limit of its own.
    let [a, b, c, d] = source.octets();
    let source = match until {
        Until::Nonce => Ipv4Addr::new(a, b, c + 1, d),
        _ => *source,
    };
    let mut link = Dial::new(world.est(), &world.root, None, false)?.from(source).open()?;
    if until == Until::Handshake {
        return Ok(Vec::new());
    }
    let answer = link.post("/.well-known/est/nonce", MEDIA_TYPE, &chip.nonce_request(edge_id)?)?;
    ensure!(answer.status == 200, "nonce: {}", String::from_utf8_lossy(&answer.body));
    let challenge = NonceResponse::from_json(&answer.body)?;
    if until == Until::Nonce {
        return Ok(Vec::new());
    }
    let request = chip.certificate_request(edge_id, &challenge, &link.exporter()?)?;
    let body = STANDARD.encode(request);
    let answer =
        link.post("/.well-known/est/simpleenroll", "application/pkcs10", body.as_bytes())?;
    ensure!(answer.status == 200, "simpleenroll: {}", String::from_utf8_lossy(&answer.body));
    certificates(&STANDARD.decode(&answer.body)?)
}

/// The certificates of a certs-only answer: every SEQUENCE in the field `certificates [0]` of the
/// `SignedData` (RFC 5652, 5.1), which stands behind version, no digests and no content.
fn certificates(pkcs7: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let certs_only = contents(contents(pkcs7)?.0)?;
    let signed_data = contents(contents(certs_only.1)?.0)?.0;
    let mut rest = signed_data;
    while rest.first().is_some_and(|tag| *tag != 0xA0) {
        rest = contents(rest)?.1;
    }
    let mut certificates = Vec::new();
    let mut rest = contents(rest)?.0;
    while !rest.is_empty() {
        let after = contents(rest)?.1;
        certificates.push(CertificateDer::from(rest[..rest.len() - after.len()].to_vec()));
        rest = after;
    }
    ensure!(!certificates.is_empty(), "the answer has no certificate");
    Ok(certificates)
}

/// Contents of the first element, and what follows it.
fn contents(der: &[u8]) -> Result<(&[u8], &[u8])> {
    let parse = || {
        let (first, rest) = der.get(1..)?.split_first()?;
        let (length, rest) = match usize::from(*first) {
            short @ 0..0x80 => (short, rest),
            long => {
                let (bytes, rest) = rest.split_at_checked(long - 0x80)?;
                (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
            }
        };
        rest.split_at_checked(length)
    };
    parse().context("the answer is not DER")
}
