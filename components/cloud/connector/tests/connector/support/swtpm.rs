//! A device with a software TPM: real commands, real keys.

use std::sync::{Arc, Mutex, MutexGuard};

use holdfast_attestation::evidence::{CertifyStatement, Evidence, QuoteStatement};
use holdfast_attestation::hash::sha256;
use holdfast_attestation::nonce::ResponseInfo;
use holdfast_attestation::pcr::QUOTED_PCRS;
use holdfast_attestation::tpm::Public;
use holdfast_tpm::{Credential, EkInfo, KeyBlob, SignatureScheme};

use rustls::sign::{Signer, SigningKey};

use super::device::Tpm;
use super::software::{SHA256_WITH_RSA, certificate_request};

pub struct Swtpm {
    tpm: Shared,
    ek: EkInfo,
    ak: KeyBlob,
    device_key: KeyBlob,
    audit_key: KeyBlob,
}

impl Swtpm {
    pub fn new(tpm: holdfast_tpm::Tpm) -> Self {
        Self {
            ek: tpm.ek().unwrap(),
            ak: tpm.create_ak().unwrap(),
            device_key: tpm.create_device_key(None).unwrap(),
            audit_key: tpm.create_ecdsa_key().unwrap(),
            tpm: Arc::new(Mutex::new(tpm)),
        }
    }

    /// Makes another device key.
    pub fn renew_device_key(&mut self) {
        let key = self.tpm().create_device_key(None).unwrap();
        self.device_key = key;
    }

    /// The device key, for TLS.
    pub fn tls_key(&self) -> Arc<dyn SigningKey> {
        let (tpm, key) = (Arc::clone(&self.tpm), self.device_key.clone());
        Arc::new(TlsKey { tpm, key })
    }

    /// What the TPM says of the key that signs the log of this origin.
    pub fn certify_audit_key(&self, origin: &str) -> CertifyStatement {
        let tpm = self.tpm();
        let (ak, key) = (tpm.load(&self.ak).unwrap(), tpm.load(&self.audit_key).unwrap());
        let data = sha256(&[b"holdfast audit key 1\n", origin.as_bytes()]);
        let certified = tpm.certify(&key, &ak, &data).unwrap();
        CertifyStatement {
            attest: certified.attest,
            signature: certified.signature,
            public: self.audit_key.public().to_vec(),
        }
    }

    /// DER of the audit key.
    pub fn audit_key_spki(&self) -> Vec<u8> {
        Public::parse(self.audit_key.public()).unwrap().to_spki_der().unwrap()
    }

    /// Signs with the audit key: ECDSA, DER.
    pub fn sign_checkpoint(&self, digest: &[u8; 32]) -> Vec<u8> {
        let tpm = self.tpm();
        let key = tpm.load(&self.audit_key).unwrap();
        tpm.sign(&key, SignatureScheme::EcdsaSha256, digest).unwrap()
    }

    fn tpm(&self) -> MutexGuard<'_, holdfast_tpm::Tpm> {
        self.tpm.lock().unwrap()
    }
}

type Shared = Arc<Mutex<holdfast_tpm::Tpm>>;

/// A key in a TPM as rustls wants it.
#[derive(Clone)]
struct TlsKey {
    tpm: Shared,
    key: KeyBlob,
}

impl std::fmt::Debug for TlsKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsKey")
    }
}

impl SigningKey for TlsKey {
    fn choose_scheme(&self, offered: &[rustls::SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = rustls::SignatureScheme::RSA_PSS_SHA256;
        offered.contains(&scheme).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        rustls::SignatureAlgorithm::RSA
    }
}

impl Signer for TlsKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let tpm = self.tpm.lock().unwrap();
        let key = tpm.load(&self.key).unwrap();
        Ok(tpm.sign(&key, SignatureScheme::RsaPssSha256, &sha256(&[message])).unwrap())
    }

    fn scheme(&self) -> rustls::SignatureScheme {
        rustls::SignatureScheme::RSA_PSS_SHA256
    }
}

impl Tpm for Swtpm {
    fn ek_public(&self) -> Vec<u8> {
        self.ek.public.clone()
    }

    fn ek_certificates(&self) -> Vec<Vec<u8>> {
        self.ek.certificates.clone()
    }

    fn ak_public(&self) -> Vec<u8> {
        self.ak.public().to_vec()
    }

    fn device_key_spki(&self) -> Vec<u8> {
        Public::parse(self.device_key.public()).unwrap().to_spki_der().unwrap()
    }

    fn activate(&self, challenge: &ResponseInfo) -> Vec<u8> {
        let tpm = self.tpm();
        let ak = tpm.load(&self.ak).unwrap();
        let credential = Credential {
            id_object: &challenge.credential_blob,
            encrypted_secret: &challenge.encrypted_secret,
        };
        tpm.activate_credential(&ak, credential).unwrap().to_vec()
    }

    fn attest(&self, qualifying_data: &[u8; 32]) -> Evidence {
        let tpm = self.tpm();
        let ak = tpm.load(&self.ak).unwrap();
        let certify = {
            let key = tpm.load(&self.device_key).unwrap();
            tpm.certify(&key, &ak, qualifying_data).unwrap()
        };
        let quote = tpm.quote(&ak, &QUOTED_PCRS, qualifying_data).unwrap();
        Evidence {
            certify: CertifyStatement {
                attest: certify.attest,
                signature: certify.signature,
                public: self.device_key.public().to_vec(),
            },
            quote: QuoteStatement {
                attest: quote.statement.attest,
                signature: quote.statement.signature,
                pcr_values: quote.pcr_values,
            },
        }
    }

    fn certificate_request(&self, evidence: Option<&Evidence>) -> Vec<u8> {
        certificate_request(&self.device_key_spki(), evidence, SHA256_WITH_RSA, |info| {
            let tpm = self.tpm();
            let key = tpm.load(&self.device_key).unwrap();
            let scheme = SignatureScheme::RsaPkcs1Sha256;
            tpm.sign(&key, scheme, &sha256(&[info])).unwrap()
        })
    }
}
