//! A reader of certificates for TPMs' endorsement keys and their CAs.
//!
//! Vendors' certificates are often not quite DER. This reader takes what can be understood and
//! says by [`EkCertificate::is_strict`] whether it had to be lenient; a certificate that was read
//! leniently never counts as proof of the vendor (check 2), so that leniency can only lead to a
//! registered hash or to an operator's approval.

use super::time::unix_seconds;
use super::tlv::{Element, Tlv, tag};

/// The longest certificate that is read.
const MAX_LENGTH: usize = 8 * 1024;

/// Contents of the identifiers of extensions (RFC 5280, 4.2.1).
mod extension {
    pub const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
    pub const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
    pub const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
    pub const CERTIFICATE_POLICIES: &[u8] = &[0x55, 0x1d, 0x20];
    pub const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
}

/// `tcg-kp-EKCertificate`, 2.23.133.8.1 (TCG EK Credential Profile).
const EK_CERTIFICATE_PURPOSE: &[u8] = &[0x67, 0x81, 0x05, 0x08, 0x01];

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EkCertificate {
    der: Vec<u8>,
    strict: bool,
    tbs: Vec<u8>,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    not_before: Option<u64>,
    not_after: Option<u64>,
    spki: Vec<u8>,
    signature_algorithm: Vec<u8>,
    signature: Vec<u8>,
    extensions: Extensions,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Extensions {
    ca: bool,
    path_length: Option<u8>,
    cert_sign: Option<bool>,
    ek_purpose: Option<bool>,
    unknown_critical: bool,
}

/// Why bytes are no certificate, even for a lenient reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EkCertificateError {
    /// Over 8 KiB.
    #[error("the certificate has {0} bytes, over the limit of {MAX_LENGTH}")]
    TooLong(usize),
    /// Not the expected structure at this field.
    #[error("the certificate cannot be read at its {0}")]
    Field(&'static str),
}

impl EkCertificate {
    /// Cuts the padding off the contents of an NV index: certificates stand in areas of fixed size.
    pub fn trim_padding(nv_contents: &[u8]) -> &[u8] {
        match Tlv::new(nv_contents).next() {
            Some(certificate) if certificate.tag == tag::SEQUENCE => certificate.whole,
            _ => nv_contents,
        }
    }

    /// Reads a certificate.
    pub fn parse(bytes: &[u8]) -> Result<Self, EkCertificateError> {
        if bytes.len() > MAX_LENGTH {
            return Err(EkCertificateError::TooLong(bytes.len()));
        }
        let mut outer = Tlv::new(bytes);
        let certificate = field(outer.next_if(tag::SEQUENCE), "outer sequence")?;
        let mut parts = Tlv::new(certificate.value);
        let tbs = field(parts.next_if(tag::SEQUENCE), "tbsCertificate")?;
        let algorithm = field(parts.next_if(tag::SEQUENCE), "signatureAlgorithm")?;
        let signature = field(parts.next_if(tag::BIT_STRING), "signatureValue")?;
        let (&unused_bits, signature) =
            signature.value.split_first().ok_or(EkCertificateError::Field("signatureValue"))?;
        let mut strict = outer.is_strict()
            && outer.rest().is_empty()
            && parts.is_strict()
            && parts.rest().is_empty()
            && unused_bits == 0;

        let mut fields = Tlv::new(tbs.value);
        fields.next_if(tag::VERSION);
        field(fields.next_if(tag::INTEGER), "serialNumber")?;
        let inner_algorithm = field(fields.next_if(tag::SEQUENCE), "signature")?;
        let issuer = field(fields.next_if(tag::SEQUENCE), "issuer")?;
        let validity = field(fields.next_if(tag::SEQUENCE), "validity")?;
        let subject = field(fields.next_if(tag::SEQUENCE), "subject")?;
        let spki = field(fields.next_if(tag::SEQUENCE), "subjectPublicKeyInfo")?;
        let mut times = Tlv::new(validity.value);
        let not_before = times.next().as_ref().and_then(unix_seconds);
        let not_after = times.next().as_ref().and_then(unix_seconds);
        let mut extensions = Extensions::default();
        while let Some(element) = fields.next() {
            if element.tag == tag::EXTENSIONS {
                let (read, all_strict) = Extensions::read(&element);
                extensions = read;
                strict &= all_strict;
            }
        }
        strict &= fields.is_strict()
            && fields.rest().is_empty()
            && times.is_strict()
            && times.rest().is_empty()
            && inner_algorithm.whole == algorithm.whole
            && not_before.is_some()
            && not_after.is_some();
        Ok(Self {
            der: certificate.whole.to_vec(),
            strict,
            tbs: tbs.whole.to_vec(),
            issuer: issuer.whole.to_vec(),
            subject: subject.whole.to_vec(),
            not_before,
            not_after,
            spki: spki.whole.to_vec(),
            signature_algorithm: algorithm.whole.to_vec(),
            signature: signature.to_vec(),
            extensions,
        })
    }

    /// The certificate's bytes, without padding.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether the certificate was well-formed wherever this reader looked.
    pub const fn is_strict(&self) -> bool {
        self.strict
    }

    /// The signed part.
    pub fn tbs(&self) -> &[u8] {
        &self.tbs
    }

    /// DER of the issuer's name.
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// DER of the subject's name, often empty for an EK.
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// Start of validity in seconds since 1970, if it could be read.
    pub const fn not_before(&self) -> Option<u64> {
        self.not_before
    }

    /// End of validity in seconds since 1970, if it could be read; often in the year 9999.
    pub const fn not_after(&self) -> Option<u64> {
        self.not_after
    }

    /// Whether `now`, in seconds since 1970, is inside the validity.
    pub fn is_valid_at(&self, now: u64) -> bool {
        self.not_before.is_some_and(|start| start <= now)
            && self.not_after.is_some_and(|end| now <= end)
    }

    /// The `SubjectPublicKeyInfo` as it stands in the certificate.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// DER of the `AlgorithmIdentifier` of the signature.
    pub fn signature_algorithm(&self) -> &[u8] {
        &self.signature_algorithm
    }

    /// The signature.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Whether the key may sign certificates: basic constraints say CA, key usage does not object.
    pub fn is_ca(&self) -> bool {
        self.extensions.ca && self.extensions.cert_sign != Some(false)
    }

    /// Whether the key may sign for a chain with this many CAs between it and the EK (RFC 5280,
    /// 4.2.1.9).
    pub fn allows_path_length(&self, intermediates: usize) -> bool {
        self.extensions.path_length.is_none_or(|length| intermediates <= length.into())
    }

    /// Whether the certificate is one of an EK: not of a CA, and without extended key usage or
    /// with that of EK certificates.
    pub fn is_ek(&self) -> bool {
        !self.extensions.ca && self.extensions.ek_purpose != Some(false)
    }

    /// Whether a critical extension is there that this reader does not know.
    pub const fn has_unknown_critical_extension(&self) -> bool {
        self.extensions.unknown_critical
    }
}

fn field<'a>(
    element: Option<Element<'a>>,
    name: &'static str,
) -> Result<Element<'a>, EkCertificateError> {
    element.ok_or(EkCertificateError::Field(name))
}

impl Extensions {
    /// What was understood, and whether all of it was well-formed.
    fn read(wrapper: &Element<'_>) -> (Self, bool) {
        let mut extensions = Self::default();
        let mut outer = Tlv::new(wrapper.value);
        let mut list = Tlv::new(outer.next_if(tag::SEQUENCE).map_or(&[], |list| list.value));
        let mut strict = true;
        while let Some(entry) = list.next() {
            strict &= extensions.add(&entry).is_some();
        }
        strict &= outer.is_strict() && outer.rest().is_empty();
        strict &= list.is_strict() && list.rest().is_empty();
        (extensions, strict)
    }

    fn add(&mut self, entry: &Element<'_>) -> Option<()> {
        let mut parts = Tlv::new(entry.value);
        let id = parts.next_if(tag::OBJECT_IDENTIFIER)?;
        let critical = parts.next_if(tag::BOOLEAN).is_some_and(|flag| flag.value != [0]);
        let value = parts.next_if(tag::OCTET_STRING)?;
        let mut value = Tlv::new(value.value);
        match id.value {
            extension::BASIC_CONSTRAINTS => {
                let mut constraints = Tlv::new(value.next_if(tag::SEQUENCE)?.value);
                let ca = constraints.next_if(tag::BOOLEAN);
                self.ca = ca.is_some_and(|flag| flag.value != [0]);
                if let Some(path_length) = constraints.next_if(tag::INTEGER) {
                    let &[path_length] = path_length.value else { return None };
                    self.path_length = Some(path_length);
                }
            }
            extension::KEY_USAGE => {
                const CERT_SIGN: u8 = 0x80 >> 5;
                let bits = value.next_if(tag::BIT_STRING)?;
                self.cert_sign = Some(bits.value.get(1).is_some_and(|bits| bits & CERT_SIGN != 0));
            }
            extension::EXTENDED_KEY_USAGE => {
                let mut purposes = Tlv::new(value.next_if(tag::SEQUENCE)?.value);
                let mut found = false;
                while let Some(purpose) = purposes.next() {
                    found |= purpose.value == EK_CERTIFICATE_PURPOSE;
                }
                self.ek_purpose = Some(found);
            }
            extension::SUBJECT_ALT_NAME | extension::CERTIFICATE_POLICIES => {}
            _ => self.unknown_critical |= critical,
        }
        Some(())
    }
}
