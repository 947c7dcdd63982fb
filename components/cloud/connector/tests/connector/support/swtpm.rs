//! A device with a software TPM: real commands, real keys.

use holdfast_attestation::evidence::{CertifyStatement, Evidence, QuoteStatement};
use holdfast_attestation::hash::sha256;
use holdfast_attestation::nonce::ResponseInfo;
use holdfast_attestation::pcr::QUOTED_PCRS;
use holdfast_attestation::tpm::Public;
use holdfast_tpm::{Credential, EkInfo, KeyBlob, SignatureScheme};

use super::device::Tpm;
use super::software::{SHA256_WITH_RSA, certificate_request};

pub struct Swtpm {
    tpm: holdfast_tpm::Tpm,
    ek: EkInfo,
    ak: KeyBlob,
    device_key: KeyBlob,
}

impl Swtpm {
    pub fn new(tpm: holdfast_tpm::Tpm) -> Self {
        Self {
            ek: tpm.ek().unwrap(),
            ak: tpm.create_ak().unwrap(),
            device_key: tpm.create_device_key(None).unwrap(),
            tpm,
        }
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
        let ak = self.tpm.load(&self.ak).unwrap();
        let credential = Credential {
            id_object: &challenge.credential_blob,
            encrypted_secret: &challenge.encrypted_secret,
        };
        self.tpm.activate_credential(&ak, credential).unwrap().to_vec()
    }

    fn attest(&self, qualifying_data: &[u8; 32]) -> Evidence {
        let ak = self.tpm.load(&self.ak).unwrap();
        let certify = {
            let key = self.tpm.load(&self.device_key).unwrap();
            self.tpm.certify(&key, &ak, qualifying_data).unwrap()
        };
        let quote = self.tpm.quote(&ak, &QUOTED_PCRS, qualifying_data).unwrap();
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
            let key = self.tpm.load(&self.device_key).unwrap();
            let scheme = SignatureScheme::RsaPkcs1Sha256;
            self.tpm.sign(&key, scheme, &sha256(&[info])).unwrap()
        })
    }
}
