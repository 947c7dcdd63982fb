//! A TPM in software, for many enrolments in little time. Its keys are of the kinds that devices
//! have: RSA-2048 for endorsement and device, P-256 for attestation.

use std::process::Command;

use aes::cipher::{AsyncStreamCipher as _, KeyIvInit as _};
use anyhow::{Context as _, Result, anyhow};
use hmac::{Hmac, Mac as _};
use holdfast_attestation::binding::{BindingInput, qualifying_data};
use holdfast_attestation::edge_id::EdgeId;
use holdfast_attestation::ek::ek_sha256;
use holdfast_attestation::evidence::{CertifyStatement, Evidence, QuoteStatement};
use holdfast_attestation::hash::{HashAlgorithm, sha256};
use holdfast_attestation::nonce::{NonceRequest, NonceResponse, RequestInfo};
use holdfast_attestation::pcr::{PcrValue, QUOTED_PCRS};
use holdfast_attestation::tpm::{
    Attest, Attested, Bounded, ClockInfo, EccCurve, EccScheme, KdfScheme, Name, ObjectAttributes,
    Parameters, PcrSelection, PcrSelections, Public, RsaScheme, Signature, Symmetric,
    SymmetricMode,
};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;
use rand_core::OsRng;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use rsa::signature::SignatureEncoding as _;
use rsa::traits::PublicKeyParts as _;
use rsa::{Oaep, RsaPrivateKey};
use sha2::Sha256;

/// Names that the statements mention and nobody judges.
const ELSEWHERE: &[u8] = b"elsewhere";

/// The TPM with the keys of one device.
pub struct Chip {
    ek: RsaPrivateKey,
    ak: SigningKey,
    device_key: RsaPrivateKey,
    /// 7, 11, 12, 14.
    pcrs: [[u8; 32]; 4],
}

/// A key of OpenSSL's making, which is quick also where this is not optimised.
fn rsa_key() -> Result<RsaPrivateKey> {
    let mut openssl = Command::new("openssl");
    openssl.args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let made = openssl.output().context("start openssl")?;
    Ok(RsaPrivateKey::from_pkcs8_pem(std::str::from_utf8(&made.stdout)?)?)
}

fn fixed() -> ObjectAttributes {
    ObjectAttributes::FIXED_TPM
        | ObjectAttributes::FIXED_PARENT
        | ObjectAttributes::SENSITIVE_DATA_ORIGIN
}

impl Chip {
    /// One that booted a release with a site.
    pub fn new(pcr11: [u8; 32], site_pcr: [u8; 32]) -> Result<Self> {
        Ok(Self {
            ek: rsa_key()?,
            ak: SigningKey::random(&mut OsRng),
            device_key: rsa_key()?,
            pcrs: [[7; 32], pcr11, [0; 32], site_pcr],
        })
    }

    /// The hash under which it is registered, in hexadecimal.
    pub fn ek_sha256(&self) -> Result<String> {
        Ok(hex::encode(ek_sha256(&self.ek_public()?.to_spki_der()?)))
    }

    /// The device key for TLS, PKCS #8.
    pub fn private_key(&self) -> Result<Vec<u8>> {
        Ok(self.device_key.to_pkcs8_der()?.as_bytes().to_vec())
    }

    fn ek_public(&self) -> Result<Public> {
        let storage = Symmetric::Aes { key_bits: 128, mode: SymmetricMode::Cfb };
        let attributes = fixed() | ObjectAttributes::RESTRICTED | ObjectAttributes::DECRYPT;
        rsa_public(&self.ek, attributes, storage)
    }

    fn ak_public(&self) -> Result<Public> {
        let point = self.ak.verifying_key().to_encoded_point(false);
        let coordinate = |bytes: Option<&p256::FieldBytes>| {
            bytes.and_then(|bytes| Bounded::new(bytes).ok()).ok_or_else(|| anyhow!("no point"))
        };
        Ok(Public {
            name_algorithm: HashAlgorithm::Sha256,
            attributes: fixed() | ObjectAttributes::RESTRICTED | ObjectAttributes::SIGN,
            auth_policy: Bounded::default(),
            parameters: Parameters::Ecc {
                symmetric: Symmetric::Null,
                scheme: EccScheme::Ecdsa(HashAlgorithm::Sha256),
                curve: EccCurve::P256,
                kdf: KdfScheme::Null,
                x: coordinate(point.x())?,
                y: coordinate(point.y())?,
            },
        })
    }

    fn device_key_public(&self) -> Result<Public> {
        rsa_public(&self.device_key, fixed() | ObjectAttributes::SIGN, Symmetric::Null)
    }

    /// Body of the nonce request.
    pub fn nonce_request(&self, edge_id: &EdgeId) -> Result<Vec<u8>> {
        let spki = self.device_key_public()?.to_spki_der()?;
        Ok(NonceRequest::new(RequestInfo {
            edge_id: edge_id.clone(),
            ek_public: self.ek_public()?.marshal(),
            ek_certificates: Vec::new(),
            ak_public: self.ak_public()?.marshal(),
            device_key_spki_sha256: sha256(&[&spki]),
        })
        .to_json()?)
    }

    /// The certificate request with evidence, DER.
    pub fn certificate_request(
        &self,
        edge_id: &EdgeId,
        challenge: &NonceResponse,
        exporter: &[u8; 32],
    ) -> Result<Vec<u8>> {
        let spki = self.device_key_public()?.to_spki_der()?;
        let data = qualifying_data(&BindingInput {
            secret: &self.activate(challenge)?,
            nonce: &challenge.nonce,
            spki_sha256: &sha256(&[&spki]),
            edge_id,
            tls_exporter: exporter,
            pairing_code: &[],
        });
        let evidence = self.evidence(&data)?.to_attribute_value_der()?;
        let attestation = hex::decode("060b2a864886f70d010910023b")?;
        let attribute = der(0x30, &[&attestation, &der(0x31, &[&evidence])]);
        let info = der(0x30, &[&[2, 1, 0], &der(0x30, &[]), &spki, &der(0xA0, &[&attribute])]);
        let key = rsa::pkcs1v15::SigningKey::<Sha256>::new(self.device_key.clone());
        let signature = der(3, &[&[0], &key.sign(&info).to_vec()]);
        let sha256_with_rsa = hex::decode("300d06092a864886f70d01010b0500")?;
        Ok(der(0x30, &[&info, &sha256_with_rsa, &signature]))
    }

    /// `TPM2_ActivateCredential` (Part 1, 24), without the check of the HMAC that a TPM makes.
    fn activate(&self, challenge: &NonceResponse) -> Result<Vec<u8>> {
        let challenge = &challenge.type_info.info;
        let padding = Oaep::new_with_label::<Sha256, _>("IDENTITY\0");
        let seed = self.ek.decrypt(padding, &challenge.encrypted_secret)?;
        let mut derivation = Hmac::<Sha256>::new_from_slice(&seed)?;
        derivation.update(&1_u32.to_be_bytes());
        derivation.update(b"STORAGE\0");
        derivation.update(self.ak_public()?.name().as_bytes());
        derivation.update(&128_u32.to_be_bytes());
        let key = derivation.finalize().into_bytes();
        // TPM2B_DIGEST of the HMAC, then the encrypted TPM2B_DIGEST of the secret.
        let mut secret = challenge.credential_blob[2 + 32..].to_vec();
        cfb_mode::Decryptor::<aes::Aes128>::new_from_slices(&key[..16], &[0; 16])
            .map_err(|error| anyhow!("{error}"))?
            .decrypt(&mut secret);
        Ok(secret[2..].to_vec())
    }

    fn evidence(&self, qualifying_data: &[u8; 32]) -> Result<Evidence> {
        let public = self.device_key_public()?;
        let elsewhere = Name::of_public_area(HashAlgorithm::Sha256, ELSEWHERE);
        let certify = Attested::Certify { name: public.name(), qualified_name: elsewhere };
        let (certify, certify_signature) = self.sign(certify, qualifying_data)?;
        let selection = PcrSelection::new(HashAlgorithm::Sha256, &QUOTED_PCRS)?;
        let values: Vec<&[u8]> = self.pcrs.iter().map(<[u8; 32]>::as_slice).collect();
        let quote = Attested::Quote {
            selections: PcrSelections::new(vec![selection])?,
            digest: Bounded::new(&sha256(&values))?,
        };
        let (quote, quote_signature) = self.sign(quote, qualifying_data)?;
        let values = QUOTED_PCRS.into_iter().zip(self.pcrs);
        Ok(Evidence {
            certify: CertifyStatement {
                attest: certify,
                signature: certify_signature,
                public: public.marshal(),
            },
            quote: QuoteStatement {
                attest: quote,
                signature: quote_signature,
                pcr_values: values.map(|(index, digest)| PcrValue { index, digest }).collect(),
            },
        })
    }

    fn sign(&self, attested: Attested, qualifying_data: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
        let attest = Attest {
            qualified_signer: Name::of_public_area(HashAlgorithm::Sha256, ELSEWHERE),
            extra_data: Bounded::new(qualifying_data)?,
            clock_info: ClockInfo { clock: 1, reset_count: 1, restart_count: 0, safe: true },
            firmware_version: 1,
            attested,
        }
        .marshal();
        let signature: p256::ecdsa::Signature = self.ak.sign(&attest);
        let (r, s) = signature.split_bytes();
        let hash = HashAlgorithm::Sha256;
        let signature = Signature::Ecdsa { hash, r: Bounded::new(&r)?, s: Bounded::new(&s)? };
        Ok((attest, signature.marshal()))
    }
}

fn rsa_public(
    key: &RsaPrivateKey,
    attributes: ObjectAttributes,
    symmetric: Symmetric,
) -> Result<Public> {
    Ok(Public {
        name_algorithm: HashAlgorithm::Sha256,
        attributes,
        auth_policy: Bounded::default(),
        parameters: Parameters::Rsa {
            symmetric,
            scheme: RsaScheme::Null,
            key_bits: 2048,
            exponent: 0,
            modulus: Bounded::new(&key.n().to_bytes_be())?,
        },
    })
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = body.len().to_be_bytes();
    let length = &length[length.iter().position(|byte| *byte != 0).unwrap_or(7)..];
    let mut head = vec![tag];
    if body.len() >= 0x80 {
        head.push(0x80 | u8::try_from(length.len()).unwrap_or(0));
    }
    head.extend_from_slice(length);
    [head, body].concat()
}
