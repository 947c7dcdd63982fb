//! The device's identity on disk.
//!
//! ```text
//! ak.tss        attestation key, made once
//! audit.tss     audit checkpoint key, made once, before any enrolment
//! pending.tss   device key that has no accepted certificate yet
//! pending.crt   certificate issued for it, not yet accepted by the server
//! device.tss    device key in use            device.pub  its public half
//! device.crt    certificate in use, followed by its issuers
//! pin.json      tenant, trust anchors and TPM of the first enrolment
//! last-seen     latest time that an authenticated server told
//! roots.json    roots that took over from the site's anchors, with the signatures that say so
//! records.json  what was done and waits for the audit log (`recorder::waiting`)
//! ```
//!
//! Every file is written whole: temporary file, fsync, rename, fsync of the folder. A promotion
//! needs two renames; [`Store::load`] finishes one that was cut in between.

use std::io;

use serde::{Deserialize, Serialize};
use spki::der::pem::LineEnding;

use crate::certificate::{CertificateError, Chain};
use crate::disk::Disk;
use crate::recovery::ACKNOWLEDGED as RECOVERY_ACKNOWLEDGED;
use crate::roots::Succession;

const AK: &str = "ak.tss";
const AUDIT_KEY: &str = "audit.tss";
const PENDING_KEY: &str = "pending.tss";
const PENDING_CERTIFICATE: &str = "pending.crt";
const DEVICE_KEY: &str = "device.tss";
const DEVICE_PUBLIC: &str = "device.pub";
const DEVICE_CERTIFICATE: &str = "device.crt";
const PIN: &str = "pin.json";
const LAST_SEEN: &str = "last-seen";
const ROOTS: &str = "roots.json";
const TEMPORARY: &str = ".new-";

/// Durable state that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system said no.
    #[error("{file}: {source}")]
    Io {
        /// Name in the state folder.
        file: &'static str,
        /// What the file system said.
        source: io::Error,
    },
    /// A file is there but is not what it should be.
    #[error("{file}: {reason}; restore it from a backup, or erase the state folder to enrol anew")]
    Damaged {
        /// Name in the state folder.
        file: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl StoreError {
    /// Whether only a person can mend it.
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}

/// What the device bound itself to at its first enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The tenant.
    pub tenant: String,
    /// SHA-256 of each trust anchor's DER in hexadecimal, sorted.
    pub anchors_sha256: Vec<String>,
    /// SHA-256 of the site configuration in force then.
    pub site_sha256: String,
    /// SHA-256 of the endorsement key of the TPM that holds the keys.
    pub ek_sha256: String,
}

/// A key with the certificate that the server accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// TSS2 PRIVATE KEY in PEM.
    pub key: String,
    /// Its certificate chain.
    pub chain: Chain,
}

/// A key on its way to become the identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// TSS2 PRIVATE KEY in PEM.
    pub key: String,
    /// The certificate, once it was issued.
    pub chain: Option<Chain>,
}

/// All that the store holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Attestation key, TSS2 PRIVATE KEY in PEM.
    pub ak: Option<String>,
    /// Audit key, TSS2 PRIVATE KEY in PEM.
    pub audit_key: Option<String>,
    /// The identity in use.
    pub active: Option<Identity>,
    /// The identity in the making.
    pub pending: Option<Pending>,
    /// What the first enrolment pinned.
    pub pin: Option<Pin>,
    /// Latest time told by an authenticated server, in seconds since 1970.
    pub last_seen: Option<u64>,
    /// Roots that took over. They are still to be verified.
    pub roots: Vec<Succession>,
    /// What had to be repaired after an interruption.
    pub repairs: Vec<&'static str>,
}

/// Reads the public key (DER of its `SubjectPublicKeyInfo`) out of a TSS2 PRIVATE KEY.
pub type SpkiOfKey = fn(&str) -> Result<Vec<u8>, String>;

/// The files of the identity.
pub struct Store {
    disk: Box<dyn Disk>,
    spki_of_key: SpkiOfKey,
}

impl Store {
    /// A store on a disk.
    pub fn new(disk: Box<dyn Disk>, spki_of_key: SpkiOfKey) -> Self {
        Self { disk, spki_of_key }
    }

    /// Reads everything, after finishing or undoing what an interruption left half done.
    pub fn load(&mut self) -> Result<Held, StoreError> {
        let mut repairs = Vec::new();
        self.remove_temporaries()?;
        let mut pending_chain = match self.read_chain(PENDING_CERTIFICATE) {
            Err(StoreError::Damaged { .. }) => {
                self.remove(PENDING_CERTIFICATE)?;
                repairs.push("dropped an unreadable pending certificate");
                None
            }
            other => other?,
        };
        let mut pending_key = self.read_key(PENDING_KEY)?;
        let mut device_key = self.read_key(DEVICE_KEY)?;
        let mut device_chain = self.read_chain(DEVICE_CERTIFICATE)?;

        if let Some(chain) = &pending_chain
            && !fits(pending_key.as_ref(), chain)?
        {
            if fits(device_key.as_ref(), chain)? {
                self.rename(PENDING_CERTIFICATE, DEVICE_CERTIFICATE)?;
                device_chain = pending_chain;
                repairs.push("finished putting a new certificate in place");
            } else {
                self.remove(PENDING_CERTIFICATE)?;
                repairs.push("dropped a pending certificate that fits no key");
            }
            pending_chain = None;
        }
        let active = match (device_key.take(), device_chain) {
            (Some(key), Some(chain)) if fits(Some(&key), &chain)? => Some((key, chain)),
            (None, None) => None,
            (key, chain) => {
                if chain.is_some() {
                    self.remove(DEVICE_CERTIFICATE)?;
                }
                if let Some(key) = key {
                    if pending_key.is_none() {
                        self.rename(DEVICE_KEY, PENDING_KEY)?;
                        pending_key = Some(key);
                    } else {
                        self.remove(DEVICE_KEY)?;
                    }
                }
                repairs.push("set aside a key and a certificate that do not fit each other");
                None
            }
        };
        self.repair_public(active.as_ref().map(|(key, _)| key))?;
        let roots = match self.read_roots() {
            Err(StoreError::Damaged { .. }) => {
                self.remove(ROOTS)?;
                repairs.push("dropped an unreadable list of roots; the server is asked again");
                Vec::new()
            }
            other => other?,
        };
        Ok(Held {
            ak: self.read_key(AK)?.map(|key| key.pem),
            audit_key: self.read_key(AUDIT_KEY)?.map(|key| key.pem),
            active: active.map(|(key, chain)| Identity { key: key.pem, chain }),
            pending: pending_key.map(|key| Pending { key: key.pem, chain: pending_chain }),
            pin: self.read_pin()?,
            last_seen: self.read_last_seen()?,
            roots,
            repairs,
        })
    }

    /// Stores the attestation key.
    pub fn put_ak(&mut self, key: &str) -> Result<(), StoreError> {
        self.put(AK, key.as_bytes())
    }

    /// Stores the audit key.
    pub fn put_audit_key(&mut self, key: &str) -> Result<(), StoreError> {
        self.put(AUDIT_KEY, key.as_bytes())
    }

    /// Stores a new device key, in place of any earlier pending one.
    pub fn put_pending_key(&mut self, key: &str) -> Result<(), StoreError> {
        self.remove(PENDING_CERTIFICATE)?;
        self.put(PENDING_KEY, key.as_bytes())
    }

    /// Stores the certificate issued for the pending key.
    pub fn put_pending_certificate(&mut self, chain: &Chain) -> Result<(), StoreError> {
        let pem = chain.to_pem().map_err(|error| damaged(PENDING_CERTIFICATE, &error))?;
        self.put(PENDING_CERTIFICATE, pem.as_bytes())
    }

    /// Puts the pending identity in place of the active one.
    pub fn promote(&mut self) -> Result<(), StoreError> {
        // The key first: `load` completes the promotion from a pending certificate that fits the
        // device key, and a pending certificate is durable before the first rename.
        self.rename(PENDING_KEY, DEVICE_KEY)?;
        self.rename(PENDING_CERTIFICATE, DEVICE_CERTIFICATE)?;
        let key = self.read_key(DEVICE_KEY)?;
        self.repair_public(key.as_ref())
    }

    /// Forgets the pending identity.
    pub fn discard_pending(&mut self) -> Result<(), StoreError> {
        self.remove(PENDING_CERTIFICATE)?;
        self.remove(PENDING_KEY)
    }

    /// Stores the pins of the first enrolment.
    pub fn put_pin(&mut self, pin: &Pin) -> Result<(), StoreError> {
        let text = serde_json::to_string_pretty(pin).map_err(|error| damaged(PIN, &error))?;
        self.put(PIN, text.as_bytes())
    }

    /// Stores the latest time told by an authenticated server.
    pub fn put_last_seen(&mut self, seconds: u64) -> Result<(), StoreError> {
        self.put(LAST_SEEN, format!("{seconds}\n").as_bytes())
    }

    /// Stores the roots that took over, in place of those before.
    pub fn put_roots(&mut self, roots: &[Succession]) -> Result<(), StoreError> {
        let text = serde_json::to_string_pretty(roots).map_err(|error| damaged(ROOTS, &error))?;
        self.put(ROOTS, text.as_bytes())
    }

    /// Forgets the identity and what bound the device to its site. The pin goes last, and with it
    /// the reason to do this: what is cut is done again.
    pub fn leave_site(&mut self) -> Result<(), StoreError> {
        // The next cloud has no recovery keys yet.
        self.remove(RECOVERY_ACKNOWLEDGED)?;
        self.discard_pending()?;
        self.remove(DEVICE_CERTIFICATE)?;
        self.remove(DEVICE_KEY)?;
        self.remove(DEVICE_PUBLIC)?;
        self.remove(ROOTS)?;
        self.remove(PIN)
    }

    fn remove_temporaries(&mut self) -> Result<(), StoreError> {
        let names = self.disk.list().map_err(io_error("state folder"))?;
        for name in names.iter().filter(|name| name.starts_with(TEMPORARY)) {
            self.disk.remove(name).map_err(io_error("temporary file"))?;
        }
        Ok(())
    }

    fn repair_public(&mut self, key: Option<&Key>) -> Result<(), StoreError> {
        let wanted = key
            .map(|key| {
                spki::Document::try_from(key.spki.as_slice())
                    .and_then(|document| document.to_pem("PUBLIC KEY", LineEnding::LF))
                    .map_err(|error| damaged(DEVICE_KEY, &error))
            })
            .transpose()?;
        let present = self.disk.read(DEVICE_PUBLIC).map_err(io_error(DEVICE_PUBLIC))?;
        match (wanted, present) {
            (Some(wanted), present) if present.as_deref() != Some(wanted.as_bytes()) => {
                self.put(DEVICE_PUBLIC, wanted.as_bytes())
            }
            (None, Some(_)) => self.remove(DEVICE_PUBLIC),
            _ => Ok(()),
        }
    }

    fn read_text(&self, file: &'static str) -> Result<Option<String>, StoreError> {
        let Some(content) = self.disk.read(file).map_err(io_error(file))? else {
            return Ok(None);
        };
        String::from_utf8(content).map(Some).map_err(|error| damaged(file, &error))
    }

    fn read_key(&self, file: &'static str) -> Result<Option<Key>, StoreError> {
        let Some(pem) = self.read_text(file)? else {
            return Ok(None);
        };
        let spki = (self.spki_of_key)(&pem).map_err(|error| damaged(file, &error))?;
        Ok(Some(Key { pem, spki }))
    }

    fn read_chain(&self, file: &'static str) -> Result<Option<Chain>, StoreError> {
        let Some(pem) = self.read_text(file)? else {
            return Ok(None);
        };
        Chain::from_pem(&pem).map(Some).map_err(|error| damaged(file, &error))
    }

    fn read_pin(&self) -> Result<Option<Pin>, StoreError> {
        let Some(text) = self.read_text(PIN)? else {
            return Ok(None);
        };
        serde_json::from_str(&text).map(Some).map_err(|error| damaged(PIN, &error))
    }

    fn read_roots(&self) -> Result<Vec<Succession>, StoreError> {
        let Some(text) = self.read_text(ROOTS)? else {
            return Ok(Vec::new());
        };
        serde_json::from_str(&text).map_err(|error| damaged(ROOTS, &error))
    }

    fn read_last_seen(&self) -> Result<Option<u64>, StoreError> {
        let Some(text) = self.read_text(LAST_SEEN)? else {
            return Ok(None);
        };
        text.trim().parse().map(Some).map_err(|error| damaged(LAST_SEEN, &error))
    }

    fn put(&mut self, file: &'static str, content: &[u8]) -> Result<(), StoreError> {
        let temporary = format!("{TEMPORARY}{file}");
        self.disk
            .write(&temporary, content)
            .and_then(|()| self.disk.sync(&temporary))
            .and_then(|()| self.disk.rename(&temporary, file))
            .and_then(|()| self.disk.sync_folder())
            .map_err(io_error(file))
    }

    fn rename(&mut self, from: &'static str, to: &'static str) -> Result<(), StoreError> {
        self.disk.rename(from, to).and_then(|()| self.disk.sync_folder()).map_err(io_error(from))
    }

    fn remove(&mut self, file: &'static str) -> Result<(), StoreError> {
        self.disk.remove(file).and_then(|()| self.disk.sync_folder()).map_err(io_error(file))
    }
}

struct Key {
    pem: String,
    spki: Vec<u8>,
}

fn fits(key: Option<&Key>, chain: &Chain) -> Result<bool, StoreError> {
    let certified =
        chain.spki().map_err(|error: CertificateError| damaged(DEVICE_CERTIFICATE, &error))?;
    Ok(key.is_some_and(|key| key.spki == certified))
}

fn io_error(file: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io { file, source }
}

fn damaged(file: &'static str, reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged { file, reason: reason.to_string() }
}

#[cfg(test)]
mod tests;
