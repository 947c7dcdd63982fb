//! Certificates with chosen names and keys; their signatures mean nothing.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use const_oid::ObjectIdentifier;
use der::asn1::{Any, BitString, SetOfVec, Utf8StringRef};
use der::{Decode as _, Encode as _};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};
use x509_cert::{Certificate, TbsCertificate, Version};

use super::{COMMON_NAME, Chain, SERIAL_NUMBER};

/// Edge ID of all samples.
pub const EDGE_ID: &str = "SN-1";

/// Start of validity of all samples.
pub const NOT_BEFORE: u64 = 1_700_000_000;
/// End of validity of all samples.
pub const NOT_AFTER: u64 = NOT_BEFORE + 90 * 86_400;

fn algorithm() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: const_oid::db::rfc5912::RSA_ENCRYPTION, parameters: None }
}

fn public_key(key: &[u8]) -> SubjectPublicKeyInfoOwned {
    SubjectPublicKeyInfoOwned {
        algorithm: algorithm(),
        subject_public_key: BitString::from_bytes(key).unwrap(),
    }
}

/// The public key info of a sample key.
pub fn spki(key: &[u8]) -> Vec<u8> {
    public_key(key).to_der().unwrap()
}

fn name(common_name: &str) -> RdnSequence {
    if common_name.is_empty() {
        return RdnSequence::default();
    }
    RdnSequence(vec![rdn(COMMON_NAME, common_name)])
}

fn rdn(oid: ObjectIdentifier, text: &str) -> RelativeDistinguishedName {
    let value = Any::encode_from(&Utf8StringRef::new(text).unwrap()).unwrap();
    let attribute = AttributeTypeAndValue { oid, value };
    RelativeDistinguishedName(SetOfVec::try_from(vec![attribute]).unwrap())
}

/// A certificate for a name and a key.
pub fn certificate(common_name: &str, key: &[u8]) -> Certificate {
    issued(common_name, key, "issuer")
}

/// A certificate for a name and a key, naming its issuer.
pub fn issued(common_name: &str, key: &[u8], issuer: &str) -> Certificate {
    with_subject(name(common_name), key, issuer)
}

/// A device's certificate, whose subject names its Edge ID too.
fn of_device(device_id: &str, key: &[u8]) -> Certificate {
    let mut subject = name(device_id);
    subject.0.push(rdn(SERIAL_NUMBER, EDGE_ID));
    with_subject(subject, key, "issuer")
}

fn with_subject(subject: RdnSequence, key: &[u8], issuer: &str) -> Certificate {
    let time =
        |seconds| Time::try_from(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds));
    let certificate = Certificate {
        tbs_certificate: TbsCertificate {
            version: Version::V3,
            serial_number: SerialNumber::new(&[1, 2, 3]).unwrap(),
            signature: algorithm(),
            issuer: name(issuer),
            validity: Validity {
                not_before: time(NOT_BEFORE).unwrap(),
                not_after: time(NOT_AFTER).unwrap(),
            },
            subject,
            subject_public_key_info: public_key(key),
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: None,
        },
        signature_algorithm: algorithm(),
        signature: BitString::from_bytes(b"none").unwrap(),
    };
    Certificate::from_der(&certificate.to_der().unwrap()).unwrap()
}

/// A chain of a device's certificate and its issuer's.
pub fn chain(device_id: &str, key: &[u8]) -> Chain {
    Chain::new(vec![of_device(device_id, key), certificate("issuer", b"issuer key")]).unwrap()
}
