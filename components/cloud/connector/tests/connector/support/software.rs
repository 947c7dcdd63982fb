//! A TPM that is no TPM: everything it says can be made up, and every check must see through it.
//! The cryptography is aws-lc's, not that of the code under test.

use aws_lc_rs::cipher::{AES_128, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use holdfast_attestation::evidence::{CertifyStatement, Evidence, QuoteStatement};
use holdfast_attestation::hash::{HashAlgorithm, sha256};
use holdfast_attestation::nonce::ResponseInfo;
use holdfast_attestation::pcr::{PcrValue, QUOTED_PCRS, expected_site_pcr};
use holdfast_attestation::tpm::{
    Attest, Attested, Bounded, ClockInfo, EccCurve, EccScheme, KdfScheme, Name, ObjectAttributes,
    Parameters, PcrSelection, PcrSelections, Public, RsaScheme, Signature, Symmetric,
    SymmetricMode,
};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;
use p256::pkcs8::EncodePrivateKey as _;
use rand_core::OsRng;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::PCR11;
use super::device::Tpm;

/// A made-up TPM.
pub struct SoftwareTpm {
    ek: PrivateDecryptingKey,
    ak: SigningKey,
    device_key: SigningKey,
    pub audit_key: SigningKey,
    pub audit_key_attributes: ObjectAttributes,
    pub audit_key_scheme: EccScheme,
    pub ak_attributes: ObjectAttributes,
    pub device_key_attributes: ObjectAttributes,
    pub ek_certificates: Vec<Vec<u8>>,
    /// 7, 11, 12, 14.
    pub pcrs: [[u8; 32]; 4],
}

fn key_attributes() -> ObjectAttributes {
    ObjectAttributes::FIXED_TPM
        | ObjectAttributes::FIXED_PARENT
        | ObjectAttributes::SENSITIVE_DATA_ORIGIN
        | ObjectAttributes::USER_WITH_AUTH
        | ObjectAttributes::SIGN
}

impl SoftwareTpm {
    /// One that booted the published release with this site.
    pub fn new(site: &str) -> Self {
        Self {
            ek: PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap(),
            ak: SigningKey::random(&mut OsRng),
            device_key: SigningKey::random(&mut OsRng),
            audit_key: SigningKey::random(&mut OsRng),
            audit_key_attributes: key_attributes(),
            audit_key_scheme: EccScheme::Ecdsa(HashAlgorithm::Sha256),
            ak_attributes: key_attributes() | ObjectAttributes::RESTRICTED,
            device_key_attributes: key_attributes(),
            ek_certificates: Vec::new(),
            pcrs: [[7; 32], PCR11, [0; 32], expected_site_pcr(site.as_bytes())],
        }
    }

    /// Makes another device key.
    pub fn renew_device_key(&mut self) {
        self.device_key = SigningKey::random(&mut OsRng);
    }

    /// Makes another AK.
    pub fn renew_ak(&mut self) {
        self.ak = SigningKey::random(&mut OsRng);
    }

    /// The device key, for TLS.
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        let der = self.device_key.to_pkcs8_der().unwrap();
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.as_bytes().to_vec()))
    }

    /// What the TPM says of the key that signs the log of this origin.
    pub fn certify_audit_key(&self, origin: &str) -> CertifyStatement {
        let public = ecc_public(&self.audit_key, self.audit_key_attributes, self.audit_key_scheme);
        let certify = Attested::Certify {
            name: public.name(),
            qualified_name: Name::of_public_area(HashAlgorithm::Sha256, b"qualified"),
        };
        let data = sha256(&[b"holdfast audit key 1\n", origin.as_bytes()]);
        let (attest, signature) = self.sign_attest(certify, &data);
        CertifyStatement { attest, signature, public: public.marshal() }
    }

    fn sign_attest(&self, attested: Attested, qualifying_data: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let attest = Attest {
            qualified_signer: Name::of_public_area(HashAlgorithm::Sha256, b"signer"),
            extra_data: Bounded::new(qualifying_data).unwrap(),
            clock_info: ClockInfo { clock: 1, reset_count: 1, restart_count: 0, safe: true },
            firmware_version: 1,
            attested,
        }
        .marshal();
        let signature: p256::ecdsa::Signature = self.ak.sign(&attest);
        let (r, s) = signature.split_bytes();
        let signature = Signature::Ecdsa {
            hash: HashAlgorithm::Sha256,
            r: Bounded::new(&r).unwrap(),
            s: Bounded::new(&s).unwrap(),
        };
        (attest, signature.marshal())
    }

    fn sign_request(&self, info: &[u8]) -> Vec<u8> {
        let signature: p256::ecdsa::DerSignature = self.device_key.sign(info);
        signature.as_bytes().to_vec()
    }

    /// A request with any bytes in the place of the evidence.
    pub fn certificate_request_with(&self, evidence: &[u8]) -> Vec<u8> {
        let spki = self.device_key_spki();
        request(&spki, Some(evidence), ECDSA_WITH_SHA256, |info| self.sign_request(info))
    }

    fn device_key_public(&self) -> Public {
        ecc_public(&self.device_key, self.device_key_attributes, EccScheme::Null)
    }
}

fn ecc_public(key: &SigningKey, attributes: ObjectAttributes, scheme: EccScheme) -> Public {
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

impl Tpm for SoftwareTpm {
    fn ek_public(&self) -> Vec<u8> {
        let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(&self.ek.public_key());
        let modulus = modulus(spki.unwrap().as_ref());
        Public {
            name_algorithm: HashAlgorithm::Sha256,
            attributes: ObjectAttributes::FIXED_TPM
                | ObjectAttributes::FIXED_PARENT
                | ObjectAttributes::SENSITIVE_DATA_ORIGIN
                | ObjectAttributes::RESTRICTED
                | ObjectAttributes::DECRYPT,
            auth_policy: Bounded::default(),
            parameters: Parameters::Rsa {
                symmetric: Symmetric::Aes { key_bits: 128, mode: SymmetricMode::Cfb },
                scheme: RsaScheme::Null,
                key_bits: 2048,
                exponent: 0,
                modulus: Bounded::new(&modulus).unwrap(),
            },
        }
        .marshal()
    }

    fn ek_certificates(&self) -> Vec<Vec<u8>> {
        self.ek_certificates.clone()
    }

    fn ak_public(&self) -> Vec<u8> {
        let scheme = EccScheme::Ecdsa(HashAlgorithm::Sha256);
        ecc_public(&self.ak, self.ak_attributes, scheme).marshal()
    }

    fn device_key_spki(&self) -> Vec<u8> {
        self.device_key_public().to_spki_der().unwrap()
    }

    /// `TPM2_ActivateCredential` (Part 1, 24), without the check of the HMAC that a TPM makes.
    fn activate(&self, challenge: &ResponseInfo) -> Vec<u8> {
        let key = OaepPrivateDecryptingKey::new(self.ek.clone()).unwrap();
        let mut seed = vec![0; key.min_output_size()];
        let label = Some(b"IDENTITY\0".as_slice());
        let seed = key
            .decrypt(&OAEP_SHA256_MGF1SHA256, &challenge.encrypted_secret, &mut seed, label)
            .unwrap();
        let name = Public::parse(&self.ak_public()).unwrap().name();
        let mut message = 1_u32.to_be_bytes().to_vec();
        message.extend_from_slice(b"STORAGE\0");
        message.extend_from_slice(name.as_bytes());
        message.extend_from_slice(&128_u32.to_be_bytes());
        let storage = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, seed), &message);
        let cipher = UnboundCipherKey::new(&AES_128, &storage.as_ref()[..16]).unwrap();
        // TPM2B_DIGEST of the HMAC, then the encrypted TPM2B_DIGEST of the secret.
        let mut secret = challenge.credential_blob[2 + 32..].to_vec();
        DecryptingKey::cfb128(cipher)
            .unwrap()
            .decrypt(&mut secret, DecryptionContext::Iv128([0; 16].into()))
            .unwrap();
        secret[2..].to_vec()
    }

    fn attest(&self, qualifying_data: &[u8; 32]) -> Evidence {
        let public = self.device_key_public();
        let certify = Attested::Certify {
            name: public.name(),
            qualified_name: Name::of_public_area(HashAlgorithm::Sha256, b"qualified"),
        };
        let selection = PcrSelection::new(HashAlgorithm::Sha256, &QUOTED_PCRS).unwrap();
        let values: Vec<&[u8]> = self.pcrs.iter().map(<[u8; 32]>::as_slice).collect();
        let quote = Attested::Quote {
            selections: PcrSelections::new(vec![selection]).unwrap(),
            digest: Bounded::new(&sha256(&values)).unwrap(),
        };
        let (certify, certify_signature) = self.sign_attest(certify, qualifying_data);
        let (quote, quote_signature) = self.sign_attest(quote, qualifying_data);
        Evidence {
            certify: CertifyStatement {
                attest: certify,
                signature: certify_signature,
                public: public.marshal(),
            },
            quote: QuoteStatement {
                attest: quote,
                signature: quote_signature,
                pcr_values: QUOTED_PCRS
                    .into_iter()
                    .zip(self.pcrs)
                    .map(|(index, digest)| PcrValue { index, digest })
                    .collect(),
            },
        }
    }

    fn certificate_request(&self, evidence: Option<&Evidence>) -> Vec<u8> {
        certificate_request(&self.device_key_spki(), evidence, ECDSA_WITH_SHA256, |info| {
            self.sign_request(info)
        })
    }
}

/// `AlgorithmIdentifier` of ecdsa-with-SHA256.
const ECDSA_WITH_SHA256: &str = "300a06082a8648ce3d040302";
/// `AlgorithmIdentifier` of sha256WithRSAEncryption.
pub const SHA256_WITH_RSA: &str = "300d06092a864886f70d01010b0500";

/// A PKCS#10 request by hand; its subject asks for what the server must not grant.
pub fn certificate_request(
    spki: &[u8],
    evidence: Option<&Evidence>,
    algorithm: &str,
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    let evidence = evidence.map(|evidence| evidence.to_attribute_value_der().unwrap());
    request(spki, evidence.as_deref(), algorithm, sign)
}

fn request(
    spki: &[u8],
    evidence: Option<&[u8]>,
    algorithm: &str,
    sign: impl FnOnce(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    let attributes = evidence.map_or_else(Vec::new, |evidence| {
        let kind = hex::decode("060b2a864886f70d010910023b").unwrap();
        der(0x30, &[&kind, &der(0x31, &[evidence])])
    });
    let common_name = der(0x30, &[&[6, 3, 0x55, 4, 3], &der(0x0C, &[b"root of all devices"])]);
    let subject = der(0x30, &[&der(0x31, &[&common_name])]);
    let info = der(0x30, &[&[2, 1, 0], &subject, spki, &der(0xA0, &[&attributes])]);
    let signature = der(3, &[&[0], &sign(&info)]);
    der(0x30, &[&info, &hex::decode(algorithm).unwrap(), &signature])
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
    let head = match (high, low) {
        (0, 0..0x80) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [head, body].concat()
}

/// The modulus in a `SubjectPublicKeyInfo` of RSA-2048, whose layout is fixed.
fn modulus(spki: &[u8]) -> Vec<u8> {
    let head = hex::decode("0282010100").unwrap();
    let start = spki.windows(head.len()).position(|window| window == head).unwrap() + head.len();
    spki[start..start + 256].to_vec()
}
