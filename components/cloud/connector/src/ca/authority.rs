//! The authority in force: what signs certificates and revocation lists, and what is published.

use std::path::Path;

use rcgen::{Certificate, CertificateParams, Issuer, KeyPair, PublicKeyData, SubjectPublicKeyInfo};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::prelude::X509Certificate;

use super::delegate::InUse;
use super::ocsp::Responder;
use super::profile::{Assurance, DeviceProfile, LeafSubject};
use super::roster::{IssuingCa, Roster};
use super::{CaCertificate, CaError, CaFolder, CaId, Crl, Passphrase, Serial, pkcs7};

/// Passphrases of the authority's keys; a key without one is protected by its file mode alone.
#[derive(Clone, Default)]
pub struct Passphrases {
    /// Of the root's key; used at the first start only.
    pub root: Option<Passphrase>,
    /// Of the issuing CAs' keys; needed at every start.
    pub issuing: Option<Passphrase>,
}

/// A certificate that was just issued.
#[derive(Clone, Debug)]
pub struct IssuedLeaf {
    /// Serial number.
    pub serial: Serial,
    /// The certificate.
    pub der: CertificateDer<'static>,
    /// Start of validity.
    pub not_before: OffsetDateTime,
    /// End of validity.
    pub not_after: OffsetDateTime,
}

/// The certificates in force, with the keys of the issuing CAs.
pub struct Authority {
    roster: Roster,
    current: IssuingCa,
    issuer: Issuer<'static, KeyPair>,
    former: Vec<Signer>,
    responder: Responder,
    receipt_signer: InUse,
    policy_signer: InUse,
    device: DeviceProfile,
}

/// A former issuing CA: it signs what is known of its certificates.
struct Signer {
    ca: IssuingCa,
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
        let folder = CaFolder::at(folder);
        let is_new = !folder.exists();
        if is_new {
            folder.create(passphrases, now)?;
        }
        let roster = folder.roster()?;
        // A crash may have come between a roll-over and its copies.
        folder.write_copies(&roster)?;
        Ok((Self::open(&folder, roster, passphrases.issuing.as_ref())?, is_new))
    }

    /// Opens the keys that a roster names.
    pub fn open(
        folder: &CaFolder,
        roster: Roster,
        passphrase: Option<&Passphrase>,
    ) -> Result<Self, CaError> {
        let open = |ca: &IssuingCa| {
            let key = folder.issuing_key(ca, passphrase)?;
            let issuer = Issuer::from_ca_cert_der(ca.certificate.der(), key)
                .map_err(|e| CaError::issue(ca.certificate.common_name(), e))?;
            Ok::<_, CaError>(Signer { ca: ca.clone(), issuer })
        };
        let current = open(roster.current()?)?;
        let former = roster.issuing.iter().skip(1).map(open).collect::<Result<_, _>>()?;
        Ok(Self {
            current: current.ca,
            issuer: current.issuer,
            former,
            responder: Responder::default(),
            receipt_signer: InUse::default(),
            policy_signer: InUse::default(),
            device: DeviceProfile::default(),
            roster,
        })
    }

    /// With another profile of device certificates.
    #[must_use]
    pub fn with_device_profile(self, device: DeviceProfile) -> Self {
        Self { device, ..self }
    }

    /// What is in force.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The root in force: the anchor that operators pin.
    pub fn root(&self) -> &CertificateDer<'static> {
        self.roster.root.certificate.der()
    }

    /// The root as PEM.
    pub fn root_pem(&self) -> String {
        self.roster.root.certificate.pem()
    }

    /// The certificate of the issuing CA that signs.
    pub fn issuing(&self) -> &CertificateDer<'static> {
        self.current.certificate.der()
    }

    /// End of its validity.
    pub fn issuing_ends(&self) -> OffsetDateTime {
        self.current.certificate.not_after()
    }

    /// What client certificates may lead to: every root and every issuing CA in force.
    pub fn anchors(&self) -> Vec<CertificateDer<'static>> {
        self.roster.anchors().map(|ca| ca.der().clone()).collect()
    }

    /// What follows a leaf so that those who know any one of the roots can verify it: the issuing
    /// CA and, while the overlap of a root's roll-over lasts, the new root signed by the old one.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        let cross = self.roster.former_root.iter().map(|former| &former.new_with_old);
        std::iter::once(&self.current.certificate).chain(cross).map(|ca| ca.der().clone()).collect()
    }

    /// The answer of EST's /cacerts (RFC 7030, 4.1.3): every CA certificate in force, roots first.
    pub fn ca_certificates(&self) -> Vec<u8> {
        let all: Vec<&[u8]> = self.roster.certificates().map(|ca| ca.der().as_ref()).collect();
        pkcs7::certs_only(&all)
    }

    /// The answer of EST's /simpleenroll: the new certificate, then its chain.
    pub fn enrolment_answer(&self, leaf: &[u8]) -> Vec<u8> {
        let chain = self.chain();
        let all: Vec<&[u8]> =
            std::iter::once(leaf).chain(chain.iter().map(AsRef::as_ref)).collect();
        pkcs7::certs_only(&all)
    }

    /// Issues a device certificate for a public key, DER `SubjectPublicKeyInfo`.
    pub fn issue_leaf(
        &self,
        subject: LeafSubject<'_>,
        spki: &[u8],
        assurance: Assurance,
        now: OffsetDateTime,
    ) -> Result<IssuedLeaf, CaError> {
        if now >= self.issuing_ends() {
            return Err(CaError::Expired(self.issuing_ends()));
        }
        let failed = |source| CaError::Issue { subject: subject.uri(), source };
        let key = SubjectPublicKeyInfo::from_der(spki).map_err(|e| failed(e.into()))?;
        let serial = Serial::random()?;
        let params = self
            .device
            .certificate(subject, assurance, &serial, &self.current.certificate, now)
            .map_err(failed)?;
        let certificate = self.sign(&params, &key).map_err(|e| failed(e.into()))?;
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

    /// Whether the issuing CA that signs made this certificate.
    pub(super) fn signed(&self, certificate: &X509Certificate<'_>) -> bool {
        certificate.issuer().as_raw() == self.current.certificate.subject()
    }

    /// The issuing CAs in force, the one that signs first.
    pub fn issuing_cas(&self) -> impl Iterator<Item = &CaCertificate> {
        self.roster.issuing.iter().map(|ca| &ca.certificate)
    }

    /// Signs a revocation list of an issuing CA: DER.
    pub fn sign_crl(&self, ca: &CaId, list: &Crl<'_>) -> Result<Vec<u8>, CaError> {
        let (certificate, issuer) = self.signer(ca).ok_or_else(|| CaError::Unknown(ca.clone()))?;
        list.sign(certificate, issuer).map_err(|e| CaError::issue("a revocation list", e))
    }

    pub(super) fn signer(&self, ca: &CaId) -> Option<(&CaCertificate, &Issuer<'static, KeyPair>)> {
        if self.current.certificate.id() == ca {
            return Some((&self.current.certificate, &self.issuer));
        }
        let found = self.former.iter().find(|signer| signer.ca.certificate.id() == ca)?;
        Some((&found.ca.certificate, &found.issuer))
    }

    pub(super) fn responder(&self) -> &Responder {
        &self.responder
    }

    pub(super) fn receipt_signer(&self) -> &InUse {
        &self.receipt_signer
    }

    pub(super) fn policy_signer(&self) -> &InUse {
        &self.policy_signer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::Duration;

    use crate::ca::{KeyError, key};
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
        std::fs::remove_file(ca.join("root.key")).unwrap();
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
        std::fs::copy(theirs.join("issuing.key"), ours.join("issuing.key")).unwrap();
        let error = Authority::open_or_create(&ours, &Passphrases::default(), now).err().unwrap();
        assert!(error.to_string().contains("not the certificate of issuing.key"), "{error}");
    }

    #[test]
    fn a_first_start_that_was_cut_short_is_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca");
        let unfinished = folder.path().join("ca.unfinished");
        std::fs::create_dir(&unfinished).unwrap();
        std::fs::write(unfinished.join("root.key"), "half a key").unwrap();
        let now = from_unix(1_800_000_000);
        assert!(Authority::open_or_create(&ca, &Passphrases::default(), now).unwrap().1);
        assert!(!unfinished.exists());
    }

    #[test]
    fn a_folder_from_before_there_were_roll_overs_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca");
        let now = from_unix(1_800_000_000);
        let (made, _) = Authority::open_or_create(&ca, &Passphrases::default(), now).unwrap();
        std::fs::remove_file(ca.join("authority.json")).unwrap();
        let (opened, is_new) =
            Authority::open_or_create(&ca, &Passphrases::default(), now).unwrap();
        assert!(!is_new);
        assert_eq!(opened.root(), made.root());
        assert_eq!(opened.issuing(), made.issuing());
        assert!(opened.roster().root.crl.is_none());

        std::fs::write(ca.join("authority.json"), "{").unwrap();
        let error = Authority::open_or_create(&ca, &Passphrases::default(), now).err().unwrap();
        assert!(error.to_string().contains("authority.json"), "{error}");
    }

    #[test]
    fn copies_of_certificates_are_brought_up_to_date_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca");
        let now = from_unix(1_800_000_000);
        Authority::open_or_create(&ca, &Passphrases::default(), now).unwrap();
        let before = std::fs::read(ca.join("root.crt")).unwrap();
        std::fs::write(ca.join("root.crt"), "old").unwrap();
        Authority::open_or_create(&ca, &Passphrases::default(), now).unwrap();
        assert_eq!(std::fs::read(ca.join("root.crt")).unwrap(), before);
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
        assert_eq!(issue(now).unwrap().not_after, now + DeviceProfile::LIFE);
        let late = authority.issuing_ends() - Duration::days(1);
        assert_eq!(issue(late).unwrap().not_after, authority.issuing_ends());
        assert!(matches!(issue(authority.issuing_ends()), Err(CaError::Expired(_))));
    }
}
