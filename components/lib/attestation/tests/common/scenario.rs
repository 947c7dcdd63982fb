//! An enrolment with every part open to change: a device in software and what the server holds.

use holdfast_attestation::binding::{BindingInput, qualifying_data};
use holdfast_attestation::challenge::Challenge;
use holdfast_attestation::edge_id::EdgeId;
use holdfast_attestation::evidence::{CertifyStatement, Evidence, QuoteStatement};
use holdfast_attestation::hash::{HashAlgorithm, sha256};
use holdfast_attestation::pcr::{
    PcrValue, PhaseMeasurement, QUOTED_PCRS, QuotePolicy, ReleaseMeasurement,
};
use holdfast_attestation::tpm::{
    Attest, Attested, Bounded, ClockInfo, EccCurve, EccScheme, KdfScheme, Name, ObjectAttributes,
    Parameters, PcrSelection, PcrSelections, Public, Signature, Symmetric,
};
use holdfast_attestation::verify::{
    BootExpectation, CheckFailure, EnrolmentContext, EnrolmentVerdict, check_enrolment,
};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer;
use rand_core::OsRng;

pub const NOW: u64 = 1_800_000_000;

pub struct Scenario {
    pub server: Server,
    pub device: Device,
}

/// What the server holds.
pub struct Server {
    pub challenge: Option<Challenge>,
    pub tls_exporter: [u8; 32],
    pub pairing_code: &'static [u8],
    pub now: u64,
    pub releases: Vec<ReleaseMeasurement>,
    pub site_pcr: [u8; 32],
    pub recorded_secure_boot_pcr: Option<[u8; 32]>,
    pub policy: QuotePolicy,
}

/// What the device sends.
pub struct Device {
    pub signs_attests: SigningKey,
    pub signs_csr: SigningKey,
    /// DER of the key in the certificate request.
    pub csr_spki: Vec<u8>,
    pub key_public: Public,
    pub certified_name: Name,
    pub certify_data: Vec<u8>,
    pub quote_data: Vec<u8>,
    pub quote_selection: PcrSelections,
    pub quoted: Vec<[u8; 32]>,
    pub sent: Vec<PcrValue>,
    /// Changes the two attested structures before they are signed.
    pub change_certify: fn(Vec<u8>) -> Vec<u8>,
    pub change_quote: fn(Vec<u8>) -> Vec<u8>,
    pub swap_statements: bool,
    pub without_evidence: bool,
}

pub fn public_of(key: &SigningKey, attributes: ObjectAttributes, scheme: EccScheme) -> Public {
    let point = key.verifying_key().to_encoded_point(false);
    Public {
        name_algorithm: HashAlgorithm::Sha256,
        attributes,
        auth_policy: Bounded::default(),
        parameters: Parameters::Ecc {
            symmetric: Symmetric::Null,
            scheme,
            curve: EccCurve::P256,
            kdf: KdfScheme::Null,
            x: Bounded::new(point.x().unwrap()).unwrap(),
            y: Bounded::new(point.y().unwrap()).unwrap(),
        },
    }
}

pub fn key_attributes() -> ObjectAttributes {
    ObjectAttributes::FIXED_TPM
        | ObjectAttributes::FIXED_PARENT
        | ObjectAttributes::SENSITIVE_DATA_ORIGIN
        | ObjectAttributes::USER_WITH_AUTH
        | ObjectAttributes::SIGN
}

pub fn ak_attributes() -> ObjectAttributes {
    key_attributes() | ObjectAttributes::RESTRICTED
}

impl Scenario {
    /// An enrolment that passes every check under `enforce`.
    pub fn valid() -> Self {
        let ak = SigningKey::random(&mut OsRng);
        let key = SigningKey::random(&mut OsRng);
        let key_public = public_of(&key, key_attributes(), EccScheme::Null);
        let csr_spki = key_public.to_spki_der().unwrap();
        let challenge = Challenge {
            nonce: vec![1; 32],
            secret: [2; 32].into(),
            edge_id: EdgeId::parse("HF-0001").unwrap(),
            ak: public_of(&ak, ak_attributes(), EccScheme::Ecdsa(HashAlgorithm::Sha256)),
            device_key_spki_sha256: sha256(&[&csr_spki]),
            tls_exporter: [3; 32],
            expires_at: NOW + 600,
            used: false,
        };
        let data = qualifying_data(&BindingInput {
            secret: challenge.secret.as_slice(),
            nonce: &challenge.nonce,
            spki_sha256: &challenge.device_key_spki_sha256,
            edge_id: &challenge.edge_id,
            tls_exporter: &challenge.tls_exporter,
            pairing_code: b"code",
        });
        let quoted = [[7; 32], [11; 32], [0; 32], [14; 32]];
        Self {
            server: Server {
                tls_exporter: challenge.tls_exporter,
                challenge: Some(challenge),
                pairing_code: b"code",
                now: NOW,
                releases: vec![release("0.1.0", [10; 32]), release("0.2.0", [11; 32])],
                site_pcr: [14; 32],
                recorded_secure_boot_pcr: Some([7; 32]),
                policy: QuotePolicy::Enforce,
            },
            device: Device {
                certified_name: key_public.name(),
                key_public,
                csr_spki,
                signs_attests: ak,
                signs_csr: key,
                certify_data: data.to_vec(),
                quote_data: data.to_vec(),
                quote_selection: select(HashAlgorithm::Sha256, &QUOTED_PCRS),
                quoted: quoted.to_vec(),
                sent: values(&QUOTED_PCRS, &quoted),
                change_certify: |attest| attest,
                change_quote: |attest| attest,
                swap_statements: false,
                without_evidence: false,
            },
        }
    }

    pub fn check(&self) -> Result<EnrolmentVerdict, CheckFailure> {
        check_enrolment(&self.device.csr(), &self.server.context())
    }
}

pub fn release(version: &str, pcr11: [u8; 32]) -> ReleaseMeasurement {
    ReleaseMeasurement {
        format: 1,
        name: "holdfast".to_owned(),
        version: version.to_owned(),
        profile: "release".to_owned(),
        security_version: 3,
        pcr11: vec![
            PhaseMeasurement { phase: "enter-initrd".to_owned(), sha256: [99; 32] },
            PhaseMeasurement { phase: "enter-initrd:leave-initrd".to_owned(), sha256: pcr11 },
        ],
        uki_sha256: [0; 32],
        root_hash: [0; 32],
    }
}

pub fn select(hash: HashAlgorithm, indices: &[u8]) -> PcrSelections {
    PcrSelections::new(vec![PcrSelection::new(hash, indices).unwrap()]).unwrap()
}

pub fn values(indices: &[u8], digests: &[[u8; 32]]) -> Vec<PcrValue> {
    indices
        .iter()
        .zip(digests)
        .map(|(index, digest)| PcrValue { index: *index, digest: *digest })
        .collect()
}

impl Server {
    pub fn challenge(&mut self) -> &mut Challenge {
        self.challenge.as_mut().unwrap()
    }

    pub fn context(&self) -> EnrolmentContext<'_> {
        EnrolmentContext {
            challenge: self.challenge.as_ref(),
            tls_exporter: &self.tls_exporter,
            pairing_code: self.pairing_code,
            now: self.now,
            boot: BootExpectation {
                releases: &self.releases,
                site_pcr: self.site_pcr,
                recorded_secure_boot_pcr: self.recorded_secure_boot_pcr,
                policy: self.policy,
            },
        }
    }
}

impl Device {
    /// Puts another public area in the place of the device key's, certified as it is.
    pub fn set_key_public(&mut self, public: Public) {
        self.certified_name = public.name();
        self.key_public = public;
    }

    pub fn set_pcrs(&mut self, digests: [[u8; 32]; 4]) {
        self.quoted = digests.to_vec();
        self.sent = values(&QUOTED_PCRS, &digests);
    }

    pub fn csr(&self) -> Vec<u8> {
        let attributes = if self.without_evidence {
            Vec::new()
        } else {
            let value = self.evidence().to_attribute_value_der().unwrap();
            let kind = "060b2a864886f70d010910023b";
            der(0x30, &[&hex::decode(kind).unwrap(), &der(0x31, &[&value])])
        };
        let info = der(0x30, &[&[2, 1, 0], &[0x30, 0], &self.csr_spki, &der(0xa0, &[&attributes])]);
        let signature: p256::ecdsa::DerSignature = self.signs_csr.sign(&info);
        let algorithm = hex::decode("300a06082a8648ce3d040302").unwrap();
        der(0x30, &[&info, &algorithm, &der(3, &[&[0], signature.as_bytes()])])
    }

    fn evidence(&self) -> Evidence {
        let certify = Attested::Certify {
            name: self.certified_name.clone(),
            qualified_name: Name::of_public_area(HashAlgorithm::Sha256, b"qualified"),
        };
        let parts: Vec<_> = self.quoted.iter().map(<[u8; 32]>::as_slice).collect();
        let quote = Attested::Quote {
            selections: self.quote_selection.clone(),
            digest: Bounded::new(&sha256(&parts)).unwrap(),
        };
        let mut certify = (self.change_certify)(attest(certify, &self.certify_data));
        let mut quote = (self.change_quote)(attest(quote, &self.quote_data));
        if self.swap_statements {
            std::mem::swap(&mut certify, &mut quote);
        }
        Evidence {
            certify: CertifyStatement {
                signature: self.sign(&certify),
                attest: certify,
                public: self.key_public.marshal(),
            },
            quote: QuoteStatement {
                signature: self.sign(&quote),
                attest: quote,
                pcr_values: self.sent.clone(),
            },
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: p256::ecdsa::Signature = self.signs_attests.sign(message);
        let (r, s) = signature.split_bytes();
        Signature::Ecdsa {
            hash: HashAlgorithm::Sha256,
            r: Bounded::new(&r).unwrap(),
            s: Bounded::new(&s).unwrap(),
        }
        .marshal()
    }
}

fn attest(attested: Attested, extra_data: &[u8]) -> Vec<u8> {
    Attest {
        qualified_signer: Name::of_public_area(HashAlgorithm::Sha256, b"signer"),
        extra_data: Bounded::new(extra_data).unwrap(),
        clock_info: ClockInfo { clock: 1, reset_count: 2, restart_count: 3, safe: true },
        firmware_version: 4,
        attested,
    }
    .marshal()
}

/// DER with lengths below 64 KiB.
pub fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
    let header = match (high, low) {
        (0, 0..0x80) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [header, body].concat()
}
