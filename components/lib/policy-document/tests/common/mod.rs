//! A site with a signer of policies.

use holdfast_attestation::oid::{HoldfastOid, PURPOSE_POLICY};
use holdfast_policy_document::{Expectation, Kind, Policy, ReadPolicy, Unsigned};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SigningKey as _,
};
use time::{Duration, OffsetDateTime};

pub const NOW: u64 = 1_800_000_000;
pub const DEVICE_ID: &str = "0d3f7f3e-7f0a-4f8e-9d5b-1f3f0f6a9c11";
pub const EDGE_ID: &str = "SN-1";

/// Root and issuing CA.
pub struct Site {
    pub root: Vec<u8>,
    issuing: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

/// A signer's key with its chain.
pub struct Signer {
    pub chain: Vec<Vec<u8>>,
    pub key: KeyPair,
}

fn params(days: std::ops::Range<i64>) -> CertificateParams {
    let now = OffsetDateTime::from_unix_timestamp(NOW.cast_signed()).unwrap();
    let mut params = CertificateParams::default();
    params.not_before = now + Duration::days(days.start);
    params.not_after = now + Duration::days(days.end);
    params
}

fn ca(name: &str) -> CertificateParams {
    let mut params = params(-100..1000);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

impl Site {
    pub fn found() -> Self {
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = ca("root");
        let root_der = root.self_signed(&root_key).unwrap().der().to_vec();
        let issuing = ca("issuing");
        let by_root = Issuer::new(root, root_key);
        let issuing_der = issuing.signed_by(&key, &by_root).unwrap().der().to_vec();
        Self { root: root_der, issuing: issuing_der, issuer: Issuer::new(issuing, key) }
    }

    pub fn signer(&self) -> Signer {
        self.signer_for(&[&PURPOSE_POLICY], -1..30)
    }

    pub fn signer_for(&self, purposes: &[&HoldfastOid], days: std::ops::Range<i64>) -> Signer {
        let mut params = params(days);
        let der: Vec<u8> = purposes.iter().flat_map(|purpose| purpose.to_der()).collect();
        let length = u8::try_from(der.len()).unwrap();
        let usage = [&[0x30, length], der.as_slice()].concat();
        if !purposes.is_empty() {
            params.custom_extensions =
                vec![CustomExtension::from_oid_content(&[2, 5, 29, 37], usage)];
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Signer { chain: vec![certificate.der().to_vec(), self.issuing.clone()], key }
    }
}

impl Signer {
    pub fn signature(&self, input: &[u8]) -> [u8; 64] {
        let der = self.key.sign(input).unwrap();
        p256::ecdsa::Signature::from_der(&der).unwrap().to_bytes().into()
    }

    pub fn sign(&self, policy: &Policy) -> String {
        let unsigned = Unsigned::new(policy, &self.chain).unwrap();
        let signature = self.signature(unsigned.signing_input());
        unsigned.sign(&signature)
    }
}

/// A policy of this version.
pub fn policy(version: u64) -> Policy {
    Policy {
        kind: Kind::Usb,
        device_id: DEVICE_ID.to_owned(),
        edge_id: EDGE_ID.to_owned(),
        version,
        issued: NOW - 60,
        not_after: None,
        rules: Some("allow 0781:5581 # the technician's\n".to_owned()),
        ports: None,
    }
}

pub fn expectation<'a>(roots: &'a [Vec<u8>], floor: Option<&'a ReadPolicy>) -> Expectation<'a> {
    Expectation { kind: Kind::Usb, device_id: DEVICE_ID, edge_id: EDGE_ID, roots, now: NOW, floor }
}
