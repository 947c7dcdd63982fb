//! The folder of the authority: its roster, its keys, and copies of certificates for operators'
//! programs.

use std::path::{Path, PathBuf};

use rcgen::KeyPair;
use time::OffsetDateTime;

use super::roster::{IssuingCa, Root, Roster};
use super::{CaCertificate, CaError, Passphrase, Passphrases, key, roll_over};
use crate::files::{self, Readers};

const ROSTER: &str = "authority.json";
const ROOT_CERTIFICATE: &str = "root.crt";
const ROOT_KEY: &str = "root.key";
const ISSUING_CERTIFICATE: &str = "issuing.crt";
const ISSUING_KEY: &str = "issuing.key";

/// The folder of an authority.
#[derive(Clone, Debug)]
pub struct CaFolder(PathBuf);

impl CaFolder {
    /// Names a folder; nothing is touched.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Whether there is an authority.
    pub fn exists(&self) -> bool {
        self.0.is_dir()
    }

    /// Makes root and issuing CA.
    pub fn create(&self, passphrases: &Passphrases, now: OffsetDateTime) -> Result<(), CaError> {
        self.prepare(passphrases, now)?;
        self.establish()
    }

    fn unfinished(&self) -> Self {
        Self(self.0.with_extension("unfinished"))
    }

    /// Makes root and issuing CA in a folder of another name, so that a crash leaves none; gives
    /// the root.
    pub fn prepare(
        &self,
        passphrases: &Passphrases,
        now: OffsetDateTime,
    ) -> Result<CaCertificate, CaError> {
        let unfinished = self.unfinished();
        files::remove_folder(&unfinished.0)?;
        files::create_private_folder(&unfinished.0)?;
        let new = roll_over::create(now)?;
        key::write(&unfinished.file(ROOT_KEY), &new.root_key, passphrases.root.as_ref())?;
        unfinished.write_issuing_key(
            &new.roster,
            &new.issuing_key,
            passphrases.issuing.as_ref(),
        )?;
        unfinished.commit(&new.roster)?;
        Ok(new.roster.root.certificate)
    }

    /// Puts in force what was prepared.
    pub fn establish(&self) -> Result<(), CaError> {
        Ok(files::rename(&self.unfinished().0, &self.0)?)
    }

    /// The roster.
    pub fn roster(&self) -> Result<Roster, CaError> {
        match files::read(&self.file(ROSTER)) {
            Ok(json) => Roster::parse(&json)
                .map_err(|e| CaError::Stored { name: ROSTER, detail: e.to_string() }),
            // Folders from before there were roll-overs have one root and one issuing CA.
            Err(error) if error.is_not_found() => self.first_roster(),
            Err(error) => Err(error.into()),
        }
    }

    fn first_roster(&self) -> Result<Roster, CaError> {
        let root = Root { certificate: self.certificate(ROOT_CERTIFICATE)?, crl: None };
        let issuing = IssuingCa {
            certificate: self.certificate(ISSUING_CERTIFICATE)?,
            key: ISSUING_KEY.to_owned(),
            superseded_at: None,
        };
        Ok(Roster::new(root, issuing))
    }

    fn certificate(&self, name: &'static str) -> Result<CaCertificate, CaError> {
        CaCertificate::from_pem(&files::read(&self.file(name))?)
            .map_err(|e| CaError::Stored { name, detail: e.to_string() })
    }

    /// Puts a roster in force. The keys that it names must be there already.
    pub fn commit(&self, roster: &Roster) -> Result<(), CaError> {
        files::write(&self.file(ROSTER), &roster.to_json()?, Readers::Everybody)?;
        self.write_copies(roster)
    }

    /// Brings the copies up to date: every root that is in force, and the CA that signs.
    pub(super) fn write_copies(&self, roster: &Roster) -> Result<(), CaError> {
        let roots: String = roster.roots().map(|root| root.certificate.pem()).collect();
        let issuing = roster.current()?.certificate.pem();
        for (name, pem) in [(ROOT_CERTIFICATE, roots), (ISSUING_CERTIFICATE, issuing)] {
            let path = self.file(name);
            if files::read_text(&path).ok().as_ref() != Some(&pem) {
                files::write(&path, pem.as_bytes(), Readers::Everybody)?;
            }
        }
        Ok(())
    }

    /// Reads the key of an issuing CA.
    pub(super) fn issuing_key(
        &self,
        ca: &IssuingCa,
        passphrase: Option<&Passphrase>,
    ) -> Result<KeyPair, CaError> {
        let key = key::read(&self.file(&ca.key), passphrase)?;
        if key.public_key_raw() != ca.certificate.public_key() {
            return Err(CaError::Stored {
                name: ISSUING_CERTIFICATE,
                detail: format!("it is not the certificate of {}", ca.key),
            });
        }
        Ok(key)
    }

    /// Writes the key of the CA that a roster has in front, encrypted as those before it are: a
    /// running server must be able to open it.
    pub fn write_issuing_key(
        &self,
        roster: &Roster,
        key: &KeyPair,
        passphrase: Option<&Passphrase>,
    ) -> Result<(), CaError> {
        Ok(key::write(&self.file(&roster.current()?.key), key, passphrase)?)
    }

    /// Checks that the present issuing CA's key is encrypted with this passphrase, or not at all.
    pub fn check_passphrase(
        &self,
        roster: &Roster,
        passphrase: Option<&Passphrase>,
    ) -> Result<(), CaError> {
        let current = roster.current()?;
        self.issuing_key(current, passphrase)?;
        let path = self.file(&current.key);
        if passphrase.is_some() && !key::is_encrypted(&path)? {
            return Err(CaError::NotEncrypted(path.display().to_string()));
        }
        Ok(())
    }

    /// Removes the key of an issuing CA that is in no roster any more.
    pub fn remove_key(&self, ca: &IssuingCa) -> Result<(), CaError> {
        Ok(files::remove(&self.file(&ca.key))?)
    }

    /// Where a key of this authority's root lies after the first start.
    pub fn first_root_key(&self) -> PathBuf {
        self.file(ROOT_KEY)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}
