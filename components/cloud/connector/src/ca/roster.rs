//! Which CA certificates are in force, as it is kept in `authority.json`: one file, so that a
//! roll-over happens at once or not at all.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{CaCertificate, CaId, Serial};

const FORMAT: u32 = 1;

/// The certificates of the authority. Private keys lie beside it in files of their own; those of
/// the roots, elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    format: u32,
    /// The root in force.
    pub root: Root,
    /// The one before it, while the overlap of a roll-over lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_root: Option<FormerRoot>,
    /// Issuing CAs. The first one signs; certificates of the others are accepted until they end.
    pub issuing: Vec<IssuingCa>,
}

/// A root with the list of the CAs below it that it revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Self-signed.
    pub certificate: CaCertificate,
    /// Signed when the root's key was last at hand; none in folders from before there were lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crl: Option<RootCrl>,
}

/// A root's revocation list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootCrl {
    /// Grows with each list of this root.
    pub number: u64,
    /// DER.
    #[serde(with = "hex")]
    pub der: Vec<u8>,
    /// What it names; kept for the next list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<RevokedCa>,
}

/// An issuing CA that a root revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokedCa {
    /// Serial number of its certificate.
    pub serial: Serial,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// End of its certificate: until then the list names it.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
}

/// A root whose successor is in force already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormerRoot {
    /// The root itself.
    pub root: Root,
    /// The new root's name and key, signed by this one: for those who know this one only.
    pub new_with_old: CaCertificate,
    /// This root's name and key, signed by the new one: for those who know the new one only.
    pub old_with_new: CaCertificate,
    /// When the new root came into force.
    #[serde(with = "time::serde::rfc3339")]
    pub superseded_at: OffsetDateTime,
}

/// An issuing CA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuingCa {
    /// Signed by a root.
    pub certificate: CaCertificate,
    /// File of its key, in the folder of the roster.
    pub key: String,
    /// When another one took over the signing.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub superseded_at: Option<OffsetDateTime>,
}

/// A roster that contradicts itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RosterError(String);

impl Roster {
    /// Of a root and its one issuing CA.
    pub fn new(root: Root, issuing: IssuingCa) -> Self {
        Self { format: FORMAT, root, former_root: None, issuing: vec![issuing] }
    }

    /// Reads and checks JSON.
    pub fn parse(json: &[u8]) -> Result<Self, RosterError> {
        let roster: Self = serde_json::from_slice(json).map_err(|e| RosterError(e.to_string()))?;
        roster.check()?;
        Ok(roster)
    }

    /// JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, RosterError> {
        let mut json = serde_json::to_vec_pretty(self).map_err(|e| RosterError(e.to_string()))?;
        json.push(b'\n');
        Ok(json)
    }

    /// The issuing CA that signs.
    pub fn current(&self) -> Result<&IssuingCa, RosterError> {
        self.issuing.first().ok_or_else(|| RosterError("it names no issuing CA".to_owned()))
    }

    /// The roots that are anchors, the one in force first.
    pub fn roots(&self) -> impl Iterator<Item = &Root> {
        std::iter::once(&self.root).chain(self.former_root.iter().map(|former| &former.root))
    }

    /// Every certificate that somebody may need to build a path, roots first.
    pub fn certificates(&self) -> impl Iterator<Item = &CaCertificate> {
        let cross =
            self.former_root.iter().flat_map(|former| [&former.new_with_old, &former.old_with_new]);
        let issuing = self.issuing.iter().map(|ca| &ca.certificate);
        self.roots().map(|root| &root.certificate).chain(cross).chain(issuing)
    }

    /// What may be taken for an anchor of client certificates: a device may send its own without
    /// that of the issuing CA.
    pub fn anchors(&self) -> impl Iterator<Item = &CaCertificate> {
        let issuing = self.issuing.iter().map(|ca| &ca.certificate);
        self.roots().map(|root| &root.certificate).chain(issuing)
    }

    fn check(&self) -> Result<(), RosterError> {
        let wrong = |detail: String| Err(RosterError(detail));
        if self.format != FORMAT {
            return wrong(format!("format {} is not known, only {FORMAT}", self.format));
        }
        self.current()?;
        let roots: Vec<&CaId> = self.roots().map(|root| root.certificate.id()).collect();
        for ca in &self.issuing {
            let id = ca.certificate.id();
            if !ca.certificate.issuer_id().is_some_and(|issuer| roots.contains(&issuer)) {
                return wrong(format!("issuing CA {id} is of no root in the file"));
            }
            if ca.key.is_empty() || ca.key.contains('/') || ca.key.starts_with('.') {
                return wrong(format!("\"{}\" is not the name of a key file", ca.key));
            }
        }
        let Some(former) = &self.former_root else { return Ok(()) };
        let (new, old) = (&self.root.certificate, &former.root.certificate);
        for (cross, subject, issuer) in
            [(&former.new_with_old, new, old), (&former.old_with_new, old, new)]
        {
            let same = cross.public_key() == subject.public_key()
                && cross.subject() == subject.subject()
                && cross.issuer_id() == Some(issuer.id());
            if !same {
                return wrong(format!(
                    "the cross certificate of root {} by root {} does not fit them",
                    subject.id(),
                    issuer.id()
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::roll_over::{create, roll_root};
    use crate::clock::from_unix;

    /// What the error says, and what is made wrong, with another authority at hand.
    type Fault = (&'static str, fn(&mut Roster, &Roster));

    #[test]
    fn a_roster_that_contradicts_itself_is_refused() {
        let now = from_unix(1_800_000_000);
        let made = create(now).unwrap();
        let other = create(now).unwrap().roster;
        let rolled = roll_root(&made.roster, made.root_key, now).unwrap().roster;
        let faults: [Fault; 8] = [
            ("format", |roster, _| roster.format = 2),
            ("no issuing CA", |roster, _| roster.issuing.clear()),
            ("of no root", |roster, other| roster.issuing.clone_from(&other.issuing)),
            ("not the name of a key file", |roster, _| roster.issuing[0].key = "../key".into()),
            ("not the name of a key file", |roster, _| roster.issuing[0].key.clear()),
            ("cross certificate", |roster, _| {
                let former = roster.former_root.as_mut().unwrap();
                std::mem::swap(&mut former.new_with_old, &mut former.old_with_new);
            }),
            ("cross certificate", |roster, other| {
                let former = roster.former_root.as_mut().unwrap();
                former.new_with_old = other.root.certificate.clone();
            }),
            ("of no root", |roster, _| roster.former_root = None),
        ];
        for (expected, fault) in faults {
            let mut roster = rolled.clone();
            fault(&mut roster, &other);
            let error = Roster::parse(&roster.to_json().unwrap()).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
        for json in ["", "{}", "[]", "{\"format\":1,\"colour\":1}"] {
            assert!(Roster::parse(json.as_bytes()).is_err(), "{json}");
        }
    }
}
