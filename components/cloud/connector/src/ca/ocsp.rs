//! OCSP (RFC 6960): which certificates a request asks about, and the signed answer. What is known
//! of a certificate is the caller's to find out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{ECDSA_WITH_SHA_256, ID_SHA_1, ID_SHA_256, ID_SHA_384, ID_SHA_512};
use const_oid::db::rfc6960::{
    ID_PKIX_OCSP_NONCE, ID_PKIX_OCSP_PREF_SIG_ALGS, ID_PKIX_OCSP_RESPONSE,
    ID_PKIX_OCSP_SERVICE_LOCATOR,
};
use der::asn1::{BitString, GeneralizedTime, OctetString};
use der::{DateTime, Decode as _, Encode as _};
use rcgen::{KeyPair, SigningKey as _};
use time::{Duration, OffsetDateTime};
use x509_cert::ext::pkix::CrlReason;
use x509_cert::ext::{Extension, Extensions};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspResponse, ResponderId,
    ResponseData, RevokedInfo, SingleResponse, Version,
};

use super::{Authority, CaCertificate, CaError, CaId, Serial, key, profile};
use crate::registry::{Revocation, RevocationReason};

/// Certificates that one request may ask about.
const QUESTIONS: usize = 16;
/// RFC 9654, 2.1.
const NONCE_LENGTHS: std::ops::RangeInclusive<usize> = 1..=128;
/// How long an answer may be kept: a suspension is lifted or made at any time.
const ANSWER_LIFE: Duration = Duration::hours(1);
/// Rest of a responder's life at which it gets a new certificate.
const RENEW_BEFORE: Duration = Duration::days(1);

/// An answer that says nothing of any certificate (RFC 6960, 2.3). It is not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OcspRefusal {
    /// The request cannot be read.
    MalformedRequest,
    /// The server has a fault.
    InternalError,
    /// It asks about certificates of which this responder may not speak.
    Unauthorized,
}

impl OcspRefusal {
    /// DER.
    pub fn to_der(self) -> Vec<u8> {
        // An ENUMERATED in a SEQUENCE.
        let status = match self {
            Self::MalformedRequest => 1,
            Self::InternalError => 2,
            Self::Unauthorized => 6,
        };
        vec![0x30, 3, 0x0A, 1, status]
    }
}

/// What is known of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OcspStatus {
    /// It was issued and holds.
    Good,
    /// It was issued and does not hold any more.
    Revoked(Revocation),
    /// It was never issued.
    Unknown,
}

/// A request that can be answered.
#[derive(Clone, Debug)]
pub struct OcspRequest {
    questions: Vec<CertId>,
    nonce: Option<Extension>,
}

/// A signed answer.
#[derive(Clone, Debug)]
pub struct OcspAnswer {
    /// DER of the `OCSPResponse`.
    pub der: Vec<u8>,
    /// Whether it answers this request alone, so that no cache may keep it.
    pub is_for_one: bool,
}

impl OcspRequest {
    /// Reads DER. A signature of the request is not looked at: everybody may ask.
    pub fn parse(der: &[u8]) -> Result<Self, OcspRefusal> {
        let malformed = |_| OcspRefusal::MalformedRequest;
        let request = x509_ocsp::OcspRequest::from_der(der).map_err(malformed)?.tbs_request;
        let (questions, asked) = (request.request_list, request.request_extensions);
        let empty = Extensions::new();
        let per_question =
            questions.iter().flat_map(|q| q.single_request_extensions.as_ref().unwrap_or(&empty));
        if !(1..=QUESTIONS).contains(&questions.len())
            || per_question.chain(asked.as_ref().unwrap_or(&empty)).any(must_be_refused)
        {
            return Err(OcspRefusal::MalformedRequest);
        }
        let nonce =
            asked.into_iter().flatten().find(|extension| extension.extn_id == ID_PKIX_OCSP_NONCE);
        if let Some(nonce) = &nonce {
            let value = OctetString::from_der(nonce.extn_value.as_bytes()).map_err(malformed)?;
            if !NONCE_LENGTHS.contains(&value.as_bytes().len()) {
                return Err(OcspRefusal::MalformedRequest);
            }
        }
        Ok(Self { questions: questions.into_iter().map(|q| q.req_cert).collect(), nonce })
    }

    /// The one issuing CA whose certificates it asks about.
    pub fn issuer<'a>(
        &self,
        mut cas: impl Iterator<Item = &'a CaCertificate>,
    ) -> Result<&'a CaId, OcspRefusal> {
        cas.find(|ca| self.questions.iter().all(|question| names(question, ca)))
            .map(CaCertificate::id)
            .ok_or(OcspRefusal::Unauthorized)
    }

    /// The serial numbers it asks about.
    pub fn serials(&self) -> impl Iterator<Item = Serial> {
        self.questions.iter().map(|question| Serial::from_bytes(question.serial_number.as_bytes()))
    }
}

/// An extension that changes the meaning of a request in a way that is not known here.
fn must_be_refused(extension: &Extension) -> bool {
    let known = [
        ID_PKIX_OCSP_NONCE,
        ID_PKIX_OCSP_RESPONSE,
        ID_PKIX_OCSP_PREF_SIG_ALGS,
        ID_PKIX_OCSP_SERVICE_LOCATOR,
    ];
    extension.critical && !known.contains(&extension.extn_id)
}

fn names(question: &CertId, ca: &CaCertificate) -> bool {
    let Some(algorithm) = hash_algorithm(question.hash_algorithm.oid) else { return false };
    let is_hash =
        |hash: &OctetString, of: &[u8]| hash.as_bytes() == digest::digest(algorithm, of).as_ref();
    is_hash(&question.issuer_name_hash, ca.subject())
        && is_hash(&question.issuer_key_hash, ca.public_key())
}

/// SHA-1 names keys here and protects nothing (RFC 6960, 4.1.1); most clients know no other.
fn hash_algorithm(oid: ObjectIdentifier) -> Option<&'static digest::Algorithm> {
    [
        (ID_SHA_1, &digest::SHA1_FOR_LEGACY_USE_ONLY),
        (ID_SHA_256, &digest::SHA256),
        (ID_SHA_384, &digest::SHA384),
        (ID_SHA_512, &digest::SHA512),
    ]
    .into_iter()
    .find_map(|(known, algorithm)| (known == oid).then_some(algorithm))
}

/// The keys to which the issuing CAs have delegated their answers. They live in memory only.
#[derive(Default)]
pub(super) struct Responder(Mutex<HashMap<CaId, Arc<Delegate>>>);

struct Delegate {
    certificate: x509_cert::Certificate,
    key: KeyPair,
    not_after: OffsetDateTime,
}

impl Authority {
    /// Signs an answer to a request about certificates of one issuing CA, with a status for each of
    /// its serial numbers.
    pub fn answer_ocsp(
        &self,
        request: &OcspRequest,
        ca: &CaId,
        statuses: &[OcspStatus],
        now: OffsetDateTime,
    ) -> Result<OcspAnswer, CaError> {
        let delegate = self.delegate(ca, now)?;
        let failed = |e: der::Error| CaError::issue("an OCSP answer", e);
        let next_update = Some(moment(now + ANSWER_LIFE).map_err(failed)?);
        let this_update = moment(now).map_err(failed)?;
        let responses = request
            .questions
            .iter()
            .zip(statuses)
            .map(|(question, status)| {
                Ok(SingleResponse {
                    cert_id: question.clone(),
                    cert_status: cert_status(*status)?,
                    this_update,
                    next_update,
                    single_extensions: None,
                })
            })
            .collect::<Result<_, der::Error>>()
            .map_err(failed)?;
        let data = ResponseData {
            version: Version::V1,
            responder_id: delegate.responder_id().map_err(failed)?,
            produced_at: this_update,
            responses,
            response_extensions: request.nonce.clone().map(|nonce| vec![nonce]),
        };
        let der = delegate.sign(data)?;
        Ok(OcspAnswer { der, is_for_one: request.nonce.is_some() })
    }

    fn delegate(&self, ca: &CaId, now: OffsetDateTime) -> Result<Arc<Delegate>, CaError> {
        let mut delegates = self.responder().0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = delegates.get(ca).filter(|known| now < known.not_after - RENEW_BEFORE)
        {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(self.make_delegate(ca, now)?);
        delegates.insert(ca.clone(), Arc::clone(&made));
        Ok(made)
    }

    fn make_delegate(&self, ca: &CaId, now: OffsetDateTime) -> Result<Delegate, CaError> {
        const WHOSE: &str = "the OCSP responder";
        let (certificate, issuer) = self.signer(ca).ok_or_else(|| CaError::Unknown(ca.clone()))?;
        if now >= certificate.not_after() {
            return Err(CaError::Expired(certificate.not_after()));
        }
        let key = key::generate()?;
        let params = profile::ocsp_responder(&Serial::random()?, now, certificate.not_after());
        let made = params.signed_by(&key, issuer).map_err(|e| CaError::issue(WHOSE, e))?;
        let certificate =
            x509_cert::Certificate::from_der(made.der()).map_err(|e| CaError::issue(WHOSE, e))?;
        Ok(Delegate { certificate, key, not_after: params.not_after })
    }
}

impl Delegate {
    /// By key: SHA-1 of it (RFC 6960, 4.2.1).
    fn responder_id(&self) -> Result<ResponderId, der::Error> {
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, self.key.public_key_raw());
        Ok(ResponderId::ByKey(OctetString::new(hash.as_ref())?))
    }

    fn sign(&self, data: ResponseData) -> Result<Vec<u8>, CaError> {
        const WHAT: &str = "an OCSP answer";
        let failed = |e: der::Error| CaError::issue(WHAT, e);
        let signature =
            self.key.sign(&data.to_der().map_err(failed)?).map_err(|e| CaError::issue(WHAT, e))?;
        let response = BasicOcspResponse {
            tbs_response_data: data,
            signature_algorithm: AlgorithmIdentifierOwned {
                oid: ECDSA_WITH_SHA_256,
                parameters: None,
            },
            signature: BitString::from_bytes(&signature).map_err(failed)?,
            certs: Some(vec![self.certificate.clone()]),
        };
        OcspResponse::successful(response).and_then(|response| response.to_der()).map_err(failed)
    }
}

fn cert_status(status: OcspStatus) -> Result<CertStatus, der::Error> {
    Ok(match status {
        OcspStatus::Good => CertStatus::good(),
        OcspStatus::Unknown => CertStatus::unknown(),
        OcspStatus::Revoked(revocation) => CertStatus::revoked(RevokedInfo {
            revocation_time: moment(revocation.at)?,
            revocation_reason: match revocation.reason {
                // RFC 5280, 5.3.1: left out rather than said.
                RevocationReason::Unspecified => None,
                RevocationReason::Superseded => Some(CrlReason::Superseded),
                RevocationReason::CessationOfOperation => Some(CrlReason::CessationOfOperation),
                RevocationReason::CertificateHold => Some(CrlReason::CertificateHold),
                RevocationReason::PrivilegeWithdrawn => Some(CrlReason::PrivilegeWithdrawn),
            },
        }),
    })
}

fn moment(at: OffsetDateTime) -> Result<OcspGeneralizedTime, der::Error> {
    let seconds = u64::try_from(at.unix_timestamp()).unwrap_or_default();
    let moment = DateTime::from_unix_duration(std::time::Duration::from_secs(seconds))?;
    Ok(OcspGeneralizedTime(GeneralizedTime::from_date_time(moment)))
}

#[cfg(test)]
mod tests {
    use der::asn1::Null;
    use proptest::prelude::*;
    use x509_cert::serial_number::SerialNumber;
    use x509_ocsp::{OcspRequest as Wire, Request, TbsRequest};

    use super::*;
    use crate::ca::roll_over::create;
    use crate::clock::from_unix;

    fn question(hash: ObjectIdentifier, ca: &CaCertificate, serial: &[u8]) -> Request {
        let of = |bytes| {
            let hash = digest::digest(hash_algorithm(hash).unwrap_or(&digest::SHA256), bytes);
            OctetString::new(hash.as_ref()).unwrap()
        };
        let parameters = Some(Null.into());
        Request {
            req_cert: CertId {
                hash_algorithm: AlgorithmIdentifierOwned { oid: hash, parameters },
                issuer_name_hash: of(ca.subject()),
                issuer_key_hash: of(ca.public_key()),
                serial_number: SerialNumber::new(serial).unwrap(),
            },
            single_request_extensions: None,
        }
    }

    fn request(questions: Vec<Request>, extensions: Option<Extensions>) -> Vec<u8> {
        let tbs_request = TbsRequest {
            request_list: questions,
            request_extensions: extensions,
            ..TbsRequest::default()
        };
        Wire { tbs_request, optional_signature: None }.to_der().unwrap()
    }

    fn extension(extn_id: ObjectIdentifier, critical: bool, value: &[u8]) -> Extension {
        Extension { extn_id, critical, extn_value: OctetString::new(value).unwrap() }
    }

    fn nonce(length: usize) -> Extension {
        let value = OctetString::new(vec![7; length]).unwrap().to_der().unwrap();
        extension(ID_PKIX_OCSP_NONCE, false, &value)
    }

    fn issuing() -> CaCertificate {
        create(from_unix(1_800_000_000)).unwrap().roster.issuing[0].certificate.clone()
    }

    #[test]
    fn what_is_refused() {
        const UNKNOWN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.3.4");
        let ca = issuing();
        let one = || question(ID_SHA_1, &ca, &[1]);
        let good: [(Vec<Request>, Option<Extensions>); 5] = [
            (vec![one()], None),
            (vec![one(); QUESTIONS], None),
            (vec![one()], Some(vec![nonce(1)])),
            (vec![one()], Some(vec![nonce(128)])),
            (vec![one()], Some(vec![extension(UNKNOWN, false, &[])])),
        ];
        for (questions, extensions) in good {
            let count = questions.len();
            let parsed = OcspRequest::parse(&request(questions, extensions)).unwrap();
            assert_eq!(parsed.serials().count(), count);
            assert_eq!(parsed.issuer([&ca].into_iter()), Ok(ca.id()));
        }
        let mut critical = one();
        critical.single_request_extensions = Some(vec![extension(UNKNOWN, true, &[])]);
        let bad: [(Vec<Request>, Option<Extensions>); 6] = [
            (vec![], None),
            (vec![one(); QUESTIONS + 1], None),
            (vec![one()], Some(vec![nonce(0)])),
            (vec![one()], Some(vec![nonce(129)])),
            (vec![one()], Some(vec![extension(UNKNOWN, true, &[])])),
            (vec![critical], None),
        ];
        for (questions, extensions) in bad {
            let refused = OcspRequest::parse(&request(questions, extensions)).err();
            assert_eq!(refused, Some(OcspRefusal::MalformedRequest));
        }
    }

    #[test]
    fn only_certificates_of_one_known_ca_are_spoken_of() {
        let (ours, other) = (issuing(), issuing());
        let parsed = |questions| OcspRequest::parse(&request(questions, None)).unwrap();
        let by_name = |hash| parsed(vec![question(hash, &other, &[1])]);
        for hash in [ID_SHA_1, ID_SHA_256, ID_SHA_384, ID_SHA_512] {
            assert_eq!(by_name(hash).issuer([&ours, &other].into_iter()), Ok(other.id()));
            let stranger = by_name(hash);
            assert_eq!(stranger.issuer([&ours].into_iter()), Err(OcspRefusal::Unauthorized));
        }
        let unknown = ObjectIdentifier::new_unwrap("1.2.3.4");
        let mixed = vec![question(ID_SHA_1, &ours, &[1]), question(ID_SHA_1, &other, &[1])];
        for questions in [mixed, vec![question(unknown, &ours, &[1])]] {
            let refused = parsed(questions);
            let refused = refused.issuer([&ours, &other].into_iter());
            assert_eq!(refused, Err(OcspRefusal::Unauthorized));
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = OcspRequest::parse(&bytes);
        }

        #[test]
        fn changed_requests_do_not_panic(at in 0_usize..1000, to in any::<u8>(), cut in 0_usize..1000) {
            let ca = issuing();
            let questions = vec![question(ID_SHA_1, &ca, &[1, 2, 3]); 2];
            let mut bytes = request(questions, Some(vec![nonce(32)]));
            let length = bytes.len();
            bytes[at % length] = to;
            bytes.truncate(length - cut % length);
            if let Ok(parsed) = OcspRequest::parse(&bytes) {
                let _ = parsed.issuer([&ca].into_iter());
                prop_assert!(parsed.serials().count() <= QUESTIONS);
            }
        }
    }
}
