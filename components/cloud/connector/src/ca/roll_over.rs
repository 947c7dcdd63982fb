//! Making CAs and replacing them. These functions compute a new roster and new keys; nothing is in
//! force until [`super::CaFolder::commit`] has written it.

use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use super::profile::{self, CrossSigned};
use super::roster::{FormerRoot, IssuingCa, RevokedCa, Root, RootCrl, Roster};
use super::{CaCertificate, CaError, CaId, Crl, RevokedCertificate, Serial, key};
use crate::registry::{Revocation, RevocationReason};

/// A new authority.
pub struct NewAuthority {
    /// Its certificates.
    pub roster: Roster,
    /// The key of its root.
    pub root_key: KeyPair,
    /// The key of its issuing CA.
    pub issuing_key: KeyPair,
}

/// An authority whose issuing CA was replaced.
pub struct NewIssuing {
    /// The certificates from then on.
    pub roster: Roster,
    /// The key of the new issuing CA.
    pub key: KeyPair,
}

/// An authority from which CAs were taken out.
pub struct Retirement {
    /// The certificates from then on.
    pub roster: Roster,
    /// The issuing CAs that are gone.
    pub issuing: Vec<IssuingCa>,
}

/// Key file of the issuing CA of a new authority.
const FIRST_ISSUING_KEY: &str = "issuing.key";

/// Makes a root and an issuing CA.
pub(super) fn create(now: OffsetDateTime) -> Result<NewAuthority, CaError> {
    let root = SigningRoot::make(None, now)?;
    let (issuing, issuing_key) = root.issue_issuing(now)?;
    let crl = root.sign_crl(None, now, issuing.not_after())?;
    let ca =
        IssuingCa { certificate: issuing, key: FIRST_ISSUING_KEY.to_owned(), superseded_at: None };
    let SigningRoot { certificate, key: root_key } = root;
    let roster = Roster::new(Root { certificate, crl: Some(crl) }, ca);
    Ok(NewAuthority { roster, root_key, issuing_key })
}

/// Puts a new issuing CA in front, signed by the root in force.
pub fn roll_issuing(
    roster: &Roster,
    root_key: KeyPair,
    now: OffsetDateTime,
) -> Result<NewIssuing, CaError> {
    let root = SigningRoot::open(&roster.root.certificate, root_key, now)?;
    let (issuing, key) = root.issue_issuing(now)?;
    let mut roster = roster.clone();
    let crl = root.sign_crl(roster.root.crl.as_ref(), now, issuing.not_after())?;
    roster.root.crl = Some(crl);
    put_in_front(&mut roster, issuing, now);
    Ok(NewIssuing { roster, key })
}

/// Puts a new root in the place of the present one, with cross certificates between the two
/// (RFC 4210, 4.4) and an issuing CA under the new one.
pub fn roll_root(
    roster: &Roster,
    root_key: KeyPair,
    now: OffsetDateTime,
) -> Result<NewAuthority, CaError> {
    if let Some(former) = &roster.former_root {
        return Err(CaError::OverlapLasts(former.root.certificate.id().clone()));
    }
    let old = SigningRoot::open(&roster.root.certificate, root_key, now)?;
    let new = SigningRoot::make(Some(&old.certificate), now)?;
    let (issuing, issuing_key) = new.issue_issuing(now)?;
    let old_ends = old.certificate.not_after().min(issuing.not_after());
    let former = FormerRoot {
        new_with_old: old.vouch_for(&new, now)?,
        old_with_new: new.vouch_for(&old, now)?,
        root: Root {
            crl: Some(old.sign_crl(roster.root.crl.as_ref(), now, old_ends)?),
            certificate: old.certificate,
        },
        superseded_at: now,
    };
    let crl = new.sign_crl(None, now, issuing.not_after())?;
    let SigningRoot { certificate, key: root_key } = new;
    let mut roster = roster.clone();
    roster.root = Root { certificate, crl: Some(crl) };
    roster.former_root = Some(former);
    put_in_front(&mut roster, issuing, now);
    Ok(NewAuthority { roster, root_key, issuing_key })
}

/// Ends the overlap of a former root, with every issuing CA below it, or of a former issuing CA.
/// With the key of its root, the root's revocation list names an issuing CA from then on.
pub fn retire(
    roster: &Roster,
    id: &CaId,
    root_key: Option<KeyPair>,
    now: OffsetDateTime,
) -> Result<Retirement, CaError> {
    if [roster.root.certificate.id(), roster.current()?.certificate.id()].contains(&id) {
        return Err(CaError::InForce(id.clone()));
    }
    let mut left = roster.clone();
    let gone: Vec<IssuingCa> = match &roster.former_root {
        Some(former) if former.root.certificate.id() == id => {
            left.former_root = None;
            let below = |ca: &&IssuingCa| ca.certificate.issuer_id() == Some(id);
            roster.issuing.iter().filter(below).cloned().collect()
        }
        _ => roster.issuing.iter().filter(|ca| ca.certificate.id() == id).cloned().collect(),
    };
    if gone.is_empty() && left.former_root == roster.former_root {
        return Err(CaError::Unknown(id.clone()));
    }
    left.issuing.retain(|ca| !gone.contains(ca));
    if let Some(key) = root_key {
        revoke(&mut left, &gone, key, now)?;
    }
    Ok(Retirement { roster: left, issuing: gone })
}

/// Puts issuing CAs onto the list of the root that signed them.
fn revoke(
    roster: &mut Roster,
    gone: &[IssuingCa],
    key: KeyPair,
    now: OffsetDateTime,
) -> Result<(), CaError> {
    let until = roster.current()?.certificate.not_after();
    let former = roster.former_root.as_mut().map(|former| &mut former.root);
    let root = std::iter::once(&mut roster.root).chain(former).find(|root| {
        gone.iter().all(|ca| ca.certificate.issuer_id() == Some(root.certificate.id()))
    });
    let Some(root) = root else { return Err(CaError::NothingToRevoke) };
    let signing = SigningRoot::open(&root.certificate, key, now)?;
    let mut crl = root.crl.clone().unwrap_or_default();
    crl.revoked.extend(gone.iter().map(|ca| RevokedCa {
        serial: ca.certificate.serial().clone(),
        at: now,
        not_after: ca.certificate.not_after(),
    }));
    root.crl = Some(signing.sign_crl(Some(&crl), now, until)?);
    Ok(())
}

fn put_in_front(roster: &mut Roster, issuing: CaCertificate, now: OffsetDateTime) {
    if let Some(current) = roster.issuing.first_mut() {
        current.superseded_at = Some(now);
    }
    roster.issuing.retain(|ca| now < ca.certificate.not_after());
    let key = format!("issuing-{}.key", issuing.id());
    roster.issuing.insert(0, IssuingCa { certificate: issuing, key, superseded_at: None });
}

/// A root with its key at hand.
struct SigningRoot {
    certificate: CaCertificate,
    key: KeyPair,
}

impl SigningRoot {
    fn make(predecessor: Option<&CaCertificate>, now: OffsetDateTime) -> Result<Self, CaError> {
        let key = key::generate()?;
        let params = profile::root(predecessor, &Serial::random()?, now);
        let made = params.self_signed(&key).map_err(|e| CaError::issue("the root", e))?;
        Ok(Self { certificate: certificate("the root", made.der())?, key })
    }

    fn open(root: &CaCertificate, key: KeyPair, now: OffsetDateTime) -> Result<Self, CaError> {
        if key.public_key_raw() != root.public_key() {
            return Err(CaError::NotTheRootKey(root.id().clone()));
        }
        if now >= root.not_after() {
            return Err(CaError::RootExpired(root.not_after()));
        }
        Ok(Self { certificate: root.clone(), key })
    }

    fn issuer(&self) -> Result<Issuer<'static, &KeyPair>, CaError> {
        Issuer::from_ca_cert_der(self.certificate.der(), &self.key)
            .map_err(|e| CaError::issue("the root", e))
    }

    fn issue_issuing(&self, now: OffsetDateTime) -> Result<(CaCertificate, KeyPair), CaError> {
        let key = key::generate()?;
        let params = profile::issuing(&Serial::random()?, now, self.certificate.not_after());
        Ok((self.sign("the issuing CA", &params, &key)?, key))
    }

    /// Signs a cross certificate for another root.
    fn vouch_for(&self, other: &Self, now: OffsetDateTime) -> Result<CaCertificate, CaError> {
        let roots = CrossSigned { subject: &other.certificate, issuer: &self.certificate };
        let params = profile::cross(&roots, &Serial::random()?, now);
        self.sign("the root", &params, &other.key)
    }

    fn sign(
        &self,
        whose: &str,
        params: &CertificateParams,
        key: &KeyPair,
    ) -> Result<CaCertificate, CaError> {
        let made = params.signed_by(key, &self.issuer()?).map_err(|e| CaError::issue(whose, e))?;
        certificate(whose, made.der())
    }

    fn sign_crl(
        &self,
        former: Option<&RootCrl>,
        now: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<RootCrl, CaError> {
        let mut crl = former.cloned().unwrap_or_default();
        crl.number += 1;
        crl.revoked.retain(|ca| now < ca.not_after);
        let revoked: Vec<RevokedCertificate> = crl.revoked.iter().map(entry).collect();
        let list =
            Crl { number: crl.number, this_update: now, next_update: until, revoked: &revoked };
        crl.der = list
            .sign(&self.certificate, &self.issuer()?)
            .map_err(|e| CaError::issue("the root's revocation list", e))?;
        Ok(crl)
    }
}

fn entry(ca: &RevokedCa) -> RevokedCertificate {
    let revocation = Revocation { at: ca.at, reason: RevocationReason::Superseded };
    RevokedCertificate { serial: ca.serial.clone(), revocation }
}

fn certificate(whose: &str, der: &CertificateDer<'static>) -> Result<CaCertificate, CaError> {
    CaCertificate::from_der(der)
        .map_err(|e| CaError::Made { subject: whose.to_owned(), detail: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_unix;

    fn copy(key: &KeyPair) -> KeyPair {
        KeyPair::try_from(key.serialize_der()).unwrap()
    }

    #[test]
    fn a_new_issuing_ca_stands_in_front_and_expired_ones_go() {
        let now = from_unix(1_800_000_000);
        let first = create(now).unwrap();
        let second = roll_issuing(&first.roster, copy(&first.root_key), now).unwrap().roster;
        assert_eq!(second.issuing.len(), 2);
        assert_eq!(second.issuing[1].superseded_at, Some(now));
        assert_eq!(second.issuing[1].certificate, first.roster.issuing[0].certificate);
        assert_ne!(second.issuing[0].key, second.issuing[1].key);
        assert_eq!(second.root.certificate, first.roster.root.certificate);
        assert_eq!(second.root.crl.as_ref().unwrap().number, 2);
        let later = second.issuing[1].certificate.not_after();
        let third = roll_issuing(&second, copy(&first.root_key), later).unwrap().roster;
        assert_eq!(third.issuing.len(), 1);
    }

    #[test]
    fn a_new_root_keeps_the_name_and_both_vouch_for_each_other() {
        let now = from_unix(1_800_000_000);
        let old = create(now).unwrap();
        let later = now + time::Duration::days(365);
        let new = roll_root(&old.roster, copy(&old.root_key), later).unwrap().roster;
        let former = new.former_root.as_ref().unwrap();
        assert_eq!(former.root.certificate, old.roster.root.certificate);
        assert_eq!(new.root.certificate.subject(), former.root.certificate.subject());
        assert_eq!(former.new_with_old.not_after(), former.root.certificate.not_after());
        assert_eq!(former.new_with_old.id(), new.root.certificate.id());
        assert_eq!(former.old_with_new.id(), former.root.certificate.id());
        assert_eq!(Roster::parse(&new.to_json().unwrap()).unwrap(), new);
        // The issuing CAs of both roots are accepted.
        assert_eq!(new.anchors().count(), 4);
    }

    #[test]
    fn only_the_key_of_the_root_in_force_rolls_over() {
        let now = from_unix(1_800_000_000);
        let (ours, theirs) = (create(now).unwrap(), create(now).unwrap());
        for result in [
            roll_issuing(&ours.roster, copy(&theirs.root_key), now).err(),
            roll_root(&ours.roster, copy(&theirs.root_key), now).err(),
        ] {
            assert!(matches!(result, Some(CaError::NotTheRootKey(_))));
        }
        let ended = ours.roster.root.certificate.not_after();
        let result = roll_issuing(&ours.roster, copy(&ours.root_key), ended).err();
        assert!(matches!(result, Some(CaError::RootExpired(_))));
    }

    #[test]
    fn the_list_of_a_root_names_a_retired_issuing_ca_until_its_end() {
        let now = from_unix(1_800_000_000);
        let first = create(now).unwrap();
        let rolled = roll_issuing(&first.roster, copy(&first.root_key), now).unwrap().roster;
        let former = &rolled.issuing[1].certificate;
        let key = Some(copy(&first.root_key));
        let retired = retire(&rolled, former.id(), key, now).unwrap().roster;
        let crl = retired.root.crl.clone().unwrap();
        assert_eq!((crl.number, crl.revoked.len()), (3, 1));
        assert_eq!(&crl.revoked[0].serial, former.serial());

        let again = |now| roll_issuing(&retired, copy(&first.root_key), now).unwrap().roster;
        assert_eq!(again(now).root.crl.unwrap().revoked.len(), 1);
        assert_eq!(again(former.not_after()).root.crl.unwrap().revoked.len(), 0);
        let other = Some(create(now).unwrap().root_key);
        let refused = retire(&rolled, former.id(), other, now);
        assert!(matches!(refused.err(), Some(CaError::NotTheRootKey(_))));
        // A root that goes has nobody left to sign its list.
        let new = roll_root(&rolled, copy(&first.root_key), now).unwrap().roster;
        let key = Some(copy(&first.root_key));
        let refused = retire(&new, first.roster.root.certificate.id(), key, now);
        assert!(matches!(refused.err(), Some(CaError::NothingToRevoke)));
    }

    #[test]
    fn retirement_takes_a_former_root_with_all_below_it() {
        let now = from_unix(1_800_000_000);
        let first = create(now).unwrap();
        let rolled = roll_issuing(&first.roster, copy(&first.root_key), now).unwrap().roster;
        let new = roll_root(&rolled, copy(&first.root_key), now).unwrap();
        let again = roll_root(&new.roster, copy(&new.root_key), now).err();
        assert!(matches!(again, Some(CaError::OverlapLasts(_))));

        let former = new.roster.former_root.as_ref().unwrap().root.certificate.id().clone();
        let retired = retire(&new.roster, &former, None, now).unwrap();
        assert_eq!(retired.issuing, new.roster.issuing[1..]);
        assert_eq!(retired.roster.certificates().count(), 2);
        assert!(matches!(retire(&retired.roster, &former, None, now), Err(CaError::Unknown(_))));
        for ca in retired.roster.certificates() {
            assert!(matches!(retire(&new.roster, ca.id(), None, now), Err(CaError::InForce(_))));
        }
    }
}
