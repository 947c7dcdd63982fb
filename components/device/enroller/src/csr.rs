//! The certificate request (PKCS #10, RFC 2986) with the TPM's evidence as an attribute.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc4519::SERIAL_NUMBER;
use const_oid::db::rfc5912::SHA_256_WITH_RSA_ENCRYPTION;
use der::asn1::{Any, BitString, PrintableStringRef, SetOfVec, Utf8StringRef};
use der::{Decode as _, Encode as _};
use holdfast_attestation::edge_id::EdgeId;
use holdfast_attestation::evidence::{Evidence, EvidenceError};
use holdfast_attestation::oid::ID_AA_ATTESTATION;
use sha2::{Digest as _, Sha256};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::attr::{Attribute, AttributeTypeAndValue};
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};
use x509_cert::request::{CertReq, CertReqInfo, Version};

/// The signature that the request carries.
pub const SIGNATURE_ALGORITHM: ObjectIdentifier = SHA_256_WITH_RSA_ENCRYPTION;

/// A request that could not be built.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// A part could not be encoded.
    #[error("cannot encode the certificate request: {0}")]
    Der(#[from] der::Error),
    /// The evidence could not be encoded.
    #[error("cannot encode the evidence: {0}")]
    Evidence(#[from] EvidenceError),
}

/// A request that only lacks its signature.
#[derive(Debug)]
pub struct UnsignedRequest {
    info: CertReqInfo,
}

impl UnsignedRequest {
    /// A request for a key (DER of its `SubjectPublicKeyInfo`), naming the device by its Edge ID.
    pub fn new(edge_id: &EdgeId, spki: &[u8], evidence: &Evidence) -> Result<Self, RequestError> {
        let value = Any::from_der(&evidence.to_attribute_value_der()?)?;
        let attribute =
            Attribute { oid: ID_AA_ATTESTATION, values: SetOfVec::try_from(vec![value])? };
        Ok(Self {
            info: CertReqInfo {
                version: Version::V1,
                subject: subject(edge_id)?,
                public_key: SubjectPublicKeyInfoOwned::from_der(spki)?,
                attributes: SetOfVec::try_from(vec![attribute])?,
            },
        })
    }

    /// SHA-256 of what is to be signed.
    pub fn digest(&self) -> Result<[u8; 32], RequestError> {
        Ok(Sha256::digest(self.info.to_der()?).into())
    }

    /// DER of the request with an RSASSA-PKCS1-v1_5 signature over [`Self::digest`].
    pub fn sign(self, signature: &[u8]) -> Result<Vec<u8>, RequestError> {
        let algorithm =
            AlgorithmIdentifierOwned { oid: SIGNATURE_ALGORITHM, parameters: Some(Any::null()) };
        let request =
            CertReq { info: self.info, algorithm, signature: BitString::from_bytes(signature)? };
        Ok(request.to_der()?)
    }
}

/// `serialNumber=<Edge ID>`, as in certificates of IEEE 802.1AR.
fn subject(edge_id: &EdgeId) -> Result<RdnSequence, der::Error> {
    // RFC 5280 wants a PrintableString, which has no underscore.
    let value = PrintableStringRef::new(edge_id.as_str())
        .and_then(|text| Any::encode_from(&text))
        .or_else(|_| {
            Utf8StringRef::new(edge_id.as_str()).and_then(|text| Any::encode_from(&text))
        })?;
    let attribute = AttributeTypeAndValue { oid: SERIAL_NUMBER, value };
    Ok(RdnSequence(vec![RelativeDistinguishedName(SetOfVec::try_from(vec![attribute])?)]))
}

#[cfg(test)]
mod tests {
    use holdfast_attestation::evidence::{CertifyStatement, QuoteStatement};
    use holdfast_attestation::pcr::PcrValue;

    use super::*;
    use crate::certificate::samples;

    fn evidence() -> Evidence {
        Evidence {
            certify: CertifyStatement {
                attest: vec![1; 100],
                signature: vec![2; 70],
                public: vec![3; 280],
            },
            quote: QuoteStatement {
                attest: vec![4; 100],
                signature: vec![5; 70],
                pcr_values: vec![PcrValue { index: 7, digest: [6; 32] }],
            },
        }
    }

    #[test]
    fn the_request_carries_name_key_and_evidence() {
        for name in ["SN-0042", "SN_0042"] {
            let edge_id = EdgeId::parse(name).unwrap();
            let spki = samples::spki(b"device key");
            let unsigned = UnsignedRequest::new(&edge_id, &spki, &evidence()).unwrap();
            let digest = unsigned.digest().unwrap();
            let request = CertReq::from_der(&unsigned.sign(&[7; 256]).unwrap()).unwrap();

            assert_eq!(Sha256::digest(request.info.to_der().unwrap()).as_slice(), digest);
            assert_eq!(request.info.public_key.to_der().unwrap(), spki);
            assert_eq!(request.info.subject.to_string(), format!("SERIALNUMBER={name}"));
            let attribute = &request.info.attributes.as_slice()[0];
            assert_eq!(attribute.oid, ID_AA_ATTESTATION);
            let value = attribute.values.as_slice()[0].to_der().unwrap();
            assert_eq!(Evidence::from_attribute_value_der(&value).unwrap(), evidence());
        }
    }
}
