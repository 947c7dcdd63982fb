//! A site that signs policies, for tests.

use holdfast_attestation::oid::PURPOSE_POLICY;
use holdfast_policy_document::{Kind, Policy, Unsigned};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SigningKey as _,
};

use super::DeviceIdentity;

/// A root that has issued one signer.
pub struct Site {
    root: Vec<u8>,
    signer: Vec<u8>,
    key: KeyPair,
}

impl Site {
    pub fn found() -> Self {
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut root = CertificateParams::default();
        root.distinguished_name.push(DnType::CommonName, "root");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root_der = root.self_signed(&root_key).unwrap().der().to_vec();
        let mut signer = CertificateParams::default();
        let usage = PURPOSE_POLICY.to_extended_key_usage_der();
        signer.custom_extensions = vec![CustomExtension::from_oid_content(&[2, 5, 29, 37], usage)];
        let signer = signer.signed_by(&key, &Issuer::new(root, root_key)).unwrap().der().to_vec();
        Self { root: root_der, signer, key }
    }

    /// The device that believes this site.
    pub fn device(&self) -> DeviceIdentity {
        DeviceIdentity {
            device_id: "device-1".to_owned(),
            edge_id: "SN-1".to_owned(),
            roots: vec![self.root.clone()],
            now: 1_800_000_000,
        }
    }

    /// A policy for that device.
    pub fn policy(version: u64, rules: Option<&str>, ports: Option<&str>) -> Policy {
        Policy {
            kind: Kind::Usb,
            device_id: "device-1".to_owned(),
            edge_id: "SN-1".to_owned(),
            version,
            issued: 1_800_000_000,
            not_after: None,
            rules: rules.map(str::to_owned),
            ports: ports.map(str::to_owned),
        }
    }

    pub fn sign(&self, policy: &Policy) -> String {
        let unsigned = Unsigned::new(policy, std::slice::from_ref(&self.signer)).unwrap();
        let der = self.key.sign(unsigned.signing_input()).unwrap();
        let signature = p256::ecdsa::Signature::from_der(&der).unwrap().to_bytes();
        unsigned.sign(&signature.into())
    }
}
