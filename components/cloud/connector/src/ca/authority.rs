//! Root and issuing CA: making them on the first start, opening them on every other.

use std::path::Path;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::leaf::{self, Assurance, IssuedLeaf, LeafSubject};
use super::{CaError, Passphrase, Serial, key, pkcs7};
use crate::files::{self, Readers};

const ROOT_LIFE: Duration = Duration::days(20 * 365);
const ISSUING_LIFE: Duration = Duration::days(5 * 365);
/// Devices accept server certificates by a clock that may stand at the build time of their image.
const BACKDATED: Duration = Duration::hours(1);

const ROOT_CERTIFICATE: &str = "root.crt";
const ROOT_KEY: &str = "root.key";
const ISSUING_CERTIFICATE: &str = "issuing.crt";
const ISSUING_KEY: &str = "issuing.key";

/// Passphrases of the authority's keys; a key without one is protected by its file mode alone.
#[derive(Clone, Default)]
pub struct Passphrases {
    /// Of the root's key; used at the first start only.
    pub root: Option<Passphrase>,
    /// Of the issuing CA's key; needed at every start.
    pub issuing: Option<Passphrase>,
}

/// The root's certificate and the issuing CA with its key.
pub struct Authority {
    root: CertificateDer<'static>,
    issuing: CertificateDer<'static>,
    issuing_ends: OffsetDateTime,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Opens the authority in `folder`, or makes a new one where there is none; says whether it is
    /// new.
    pub fn open_or_create(
        folder: &Path,
        passphrases: &Passphrases,
        now: OffsetDateTime,
    ) -> Result<(Self, bool), CaError> {
        let is_new = !folder.is_dir();
        if is_new {
            create(folder, passphrases, now)?;
        }
        Ok((Self::open(folder, passphrases.issuing.as_ref())?, is_new))
    }

    fn open(folder: &Path, passphrase: Option<&Passphrase>) -> Result<Self, CaError> {
        let root = read_certificate(folder, ROOT_CERTIFICATE)?;
        let issuing = read_certificate(folder, ISSUING_CERTIFICATE)?;
        let key = key::read(&folder.join(ISSUING_KEY), passphrase)?;
        let unusable = |detail: &str| CaError::Certificate {
            name: ISSUING_CERTIFICATE,
            detail: detail.to_owned(),
        };
        let (_, parsed) =
            X509Certificate::from_der(&issuing).map_err(|e| unusable(&e.to_string()))?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(unusable("it is not the certificate of issuing.key"));
        }
        let issuing_ends = parsed.validity().not_after.to_datetime();
        let issuer =
            Issuer::from_ca_cert_der(&issuing, key).map_err(|e| unusable(&e.to_string()))?;
        Ok(Self { root, issuing_ends, issuer, issuing: issuing.clone() })
    }

    /// The root: the one anchor that devices and operators pin.
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// The root as PEM.
    pub fn root_pem(&self) -> String {
        pem("CERTIFICATE", &self.root)
    }

    /// The issuing CA's certificate.
    pub fn issuing(&self) -> &CertificateDer<'static> {
        &self.issuing
    }

    /// End of the issuing CA's validity.
    pub fn issuing_ends(&self) -> OffsetDateTime {
        self.issuing_ends
    }

    /// The answer of EST's /cacerts: every CA certificate in force, root first.
    pub fn ca_certificates(&self) -> Vec<u8> {
        pkcs7::certs_only(&[&self.root, &self.issuing])
    }

    /// The answer of EST's /simpleenroll: the new certificate, then the issuing CA.
    pub fn enrolment_answer(&self, leaf: &[u8]) -> Vec<u8> {
        pkcs7::certs_only(&[leaf, &self.issuing])
    }

    /// Issues a device certificate for a public key, DER `SubjectPublicKeyInfo`.
    pub fn issue_leaf(
        &self,
        subject: LeafSubject<'_>,
        spki: &[u8],
        assurance: Assurance,
        now: OffsetDateTime,
    ) -> Result<IssuedLeaf, CaError> {
        if now >= self.issuing_ends {
            return Err(CaError::Expired(self.issuing_ends));
        }
        let failed = |source| CaError::Issue { subject: subject.uri(), source };
        let key = SubjectPublicKeyInfo::from_der(spki).map_err(failed)?;
        let serial = Serial::random()?;
        let params =
            leaf::profile(subject, &serial, assurance, now, self.issuing_ends).map_err(failed)?;
        let certificate = self.sign(&params, &key).map_err(failed)?;
        Ok(IssuedLeaf {
            serial,
            der: certificate.der().clone(),
            not_before: params.not_before,
            not_after: params.not_after,
        })
    }

    pub(super) fn sign(
        &self,
        params: &CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<Certificate, rcgen::Error> {
        params.signed_by(key, &self.issuer)
    }

    /// Whether the issuing CA made this certificate.
    pub(super) fn signed(&self, certificate: &X509Certificate<'_>) -> bool {
        X509Certificate::from_der(&self.issuing)
            .is_ok_and(|(_, ca)| ca.subject() == certificate.issuer() && ca.is_ca())
    }
}

/// Makes root and issuing CA in a folder of another name first, so that a crash leaves none.
fn create(folder: &Path, passphrases: &Passphrases, now: OffsetDateTime) -> Result<(), CaError> {
    let unfinished = folder.with_extension("unfinished");
    files::remove_folder(&unfinished)?;
    files::create_private_folder(&unfinished)?;

    let root_key = key::generate()?;
    let root_params =
        ca_profile("Holdfast root", BasicConstraints::Constrained(1), now, ROOT_LIFE)?;
    let root = root_params.self_signed(&root_key).map_err(|source| issue("the root", source))?;
    key::write(&unfinished.join(ROOT_KEY), &root_key, passphrases.root.as_ref())?;
    write_certificate(&unfinished, ROOT_CERTIFICATE, &root)?;

    let root_issuer = Issuer::from_ca_cert_der(root.der(), root_key)
        .map_err(|source| issue("the issuing CA", source))?;
    let issuing_key = key::generate()?;
    let issuing_params =
        ca_profile("Holdfast issuing CA", BasicConstraints::Constrained(0), now, ISSUING_LIFE)?;
    let issuing = issuing_params
        .signed_by(&issuing_key, &root_issuer)
        .map_err(|source| issue("the issuing CA", source))?;
    key::write(&unfinished.join(ISSUING_KEY), &issuing_key, passphrases.issuing.as_ref())?;
    write_certificate(&unfinished, ISSUING_CERTIFICATE, &issuing)?;

    Ok(files::rename(&unfinished, folder)?)
}

fn ca_profile(
    name: &str,
    constraints: BasicConstraints,
    now: OffsetDateTime,
    life: Duration,
) -> Result<CertificateParams, CaError> {
    let serial = Serial::random()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // Names of CAs must differ between installations, or path building may confuse them.
    let suffix = &serial.as_str()[..8.min(serial.as_str().len())];
    params.distinguished_name.push(DnType::CommonName, format!("{name} {suffix}"));
    params.distinguished_name.push(DnType::OrganizationName, "Holdfast");
    params.serial_number = Some(SerialNumber::from(serial.to_bytes()));
    params.not_before = now - BACKDATED;
    params.not_after = now + life;
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn issue(subject: &str, source: rcgen::Error) -> CaError {
    CaError::Issue { subject: subject.to_owned(), source }
}

fn write_certificate(folder: &Path, name: &str, certificate: &Certificate) -> Result<(), CaError> {
    Ok(files::write(&folder.join(name), certificate.pem().as_bytes(), Readers::Everybody)?)
}

fn read_certificate(folder: &Path, name: &'static str) -> Result<CertificateDer<'static>, CaError> {
    let pem = files::read(&folder.join(name))?;
    let (_, block) = x509_parser::pem::parse_x509_pem(&pem)
        .map_err(|e| CaError::Certificate { name, detail: e.to_string() })?;
    Ok(CertificateDer::from(block.contents))
}

/// PEM text of a DER structure, RFC 7468.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for start in (0..body.len()).step_by(64) {
        text.push_str(&body[start..(start + 64).min(body.len())]);
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::KeyError;
    use crate::clock::from_unix;

    fn passphrases(root: Option<&str>, issuing: Option<&str>) -> Passphrases {
        Passphrases { root: root.map(Passphrase::new), issuing: issuing.map(Passphrase::new) }
    }

    #[test]
    fn the_root_key_is_not_opened_after_the_first_start() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca");
        let now = from_unix(1_800_000_000);
        let both = passphrases(Some("r"), Some("i"));
        let (made, is_new) = Authority::open_or_create(&ca, &both, now).unwrap();
        assert!(is_new);
        std::fs::remove_file(ca.join(ROOT_KEY)).unwrap();
        let issuing_only = passphrases(None, Some("i"));
        let (opened, is_new) = Authority::open_or_create(&ca, &issuing_only, now).unwrap();
        assert!(!is_new);
        assert_eq!(opened.root(), made.root());

        let without = Authority::open_or_create(&ca, &passphrases(None, None), now);
        assert!(matches!(without.err(), Some(CaError::Key(KeyError::PassphraseNeeded(_)))));
    }

    #[test]
    fn a_key_of_another_authority_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let now = from_unix(1_800_000_000);
        let ours = folder.path().join("ours");
        let theirs = folder.path().join("theirs");
        for ca in [&ours, &theirs] {
            Authority::open_or_create(ca, &Passphrases::default(), now).unwrap();
        }
        std::fs::copy(theirs.join(ISSUING_KEY), ours.join(ISSUING_KEY)).unwrap();
        let error = Authority::open_or_create(&ours, &Passphrases::default(), now).err().unwrap();
        assert!(error.to_string().contains("not the certificate of issuing.key"), "{error}");
    }

    #[test]
    fn a_first_start_that_was_cut_short_is_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca");
        let unfinished = folder.path().join("ca.unfinished");
        std::fs::create_dir(&unfinished).unwrap();
        std::fs::write(unfinished.join(ROOT_KEY), "half a key").unwrap();
        let now = from_unix(1_800_000_000);
        assert!(Authority::open_or_create(&ca, &Passphrases::default(), now).unwrap().1);
        assert!(!unfinished.exists());
    }

    #[test]
    fn no_leaf_outlives_the_issuing_ca() {
        let folder = tempfile::tempdir().unwrap();
        let now = from_unix(1_800_000_000);
        let ca = folder.path().join("ca");
        let (authority, _) = Authority::open_or_create(&ca, &Passphrases::default(), now).unwrap();
        let key = key::generate().unwrap();
        let spki = key.subject_public_key_info();
        let subject = LeafSubject { device_id: uuid::Uuid::nil(), edge_id: "SN-1", tenant: "demo" };
        let issue = |now| authority.issue_leaf(subject, &spki, Assurance::Attested, now);
        assert_eq!(issue(now).unwrap().not_after, now + leaf::LIFE);
        let late = authority.issuing_ends() - Duration::days(1);
        assert_eq!(issue(late).unwrap().not_after, authority.issuing_ends());
        assert!(matches!(issue(authority.issuing_ends()), Err(CaError::Expired(_))));
    }
}
