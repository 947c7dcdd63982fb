//! Logs to read, as a device writes them.
#![allow(dead_code, clippy::unwrap_used)]

use holdfast_audit_log::checkpoint::{
    AuditKey, BootBinding, Checkpoint, KeyId, SignedCheckpoint, TpmClock,
};
use holdfast_audit_log::frame::{Class, Kind, Timestamp};
use holdfast_audit_log::{Appender, Entry, Origin};
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::{EncodePublicKey as _, LineEnding};

/// What a TPM does on the device.
pub struct Signer {
    key: SigningKey,
}

impl Signer {
    /// A key of its own for each number.
    pub fn new(number: u8) -> Self {
        Self { key: SigningKey::from_slice(&[number; 32]).unwrap() }
    }

    pub fn pem(&self) -> String {
        self.key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap()
    }

    pub fn audit_key(&self) -> AuditKey {
        AuditKey::from_pem(&self.pem()).unwrap()
    }

    pub fn sign(&self, checkpoint: Checkpoint) -> SignedCheckpoint {
        let signature: Signature = self.key.sign_prehash(&checkpoint.signing_digest()).unwrap();
        let spki = self.key.verifying_key().to_public_key_der().unwrap();
        let key = KeyId::of_spki(spki.as_bytes());
        checkpoint.signed(key, signature.to_der().as_bytes().to_vec())
    }
}

pub fn origin() -> Origin {
    Origin::new("holdfast.example/audit/3f9a").unwrap()
}

pub fn boot_binding() -> BootBinding {
    let clock = TpmClock { clock_ms: 86_400_000, reset_count: 12, restart_count: 0, is_safe: true };
    BootBinding { clock, nv_counter: 12 }
}

/// A file of a log.
pub type File = (String, Vec<u8>);

/// A log that is being written.
pub struct Writer {
    pub log: Appender,
    pub signer: Signer,
    /// Closed segments and the open one.
    pub files: Vec<File>,
    /// Segment, and where in it each record begins.
    pub places: Vec<(usize, usize)>,
}

impl Writer {
    pub fn new(origin: Origin, key: u8) -> Self {
        let mut writer = Self {
            log: Appender::new(origin),
            signer: Signer::new(key),
            files: Vec::new(),
            places: Vec::new(),
        };
        writer.open_segment();
        writer
    }

    pub fn open_segment(&mut self) {
        let header = self.log.segment_header();
        self.files.push((format!("{:020}.log", header.first_sequence()), header.encode()));
    }

    pub fn append(&mut self, class: Class, kind: Kind, payload: &[u8]) {
        let sequence = self.log.size();
        let segment = self.files.len() - 1;
        let out = &mut self.files[segment].1;
        self.places.push((segment, out.len()));
        let time = Timestamp {
            realtime_ns: 1_700_000_000_000_000_000 + sequence * 1_000_000,
            boottime_ns: sequence * 1_000_000,
            is_synchronised: true,
        };
        self.log.append(Entry { class, kind, time, payload }, out).unwrap();
    }

    /// Ordinary records.
    pub fn records(&mut self, count: u64) {
        for _ in 0..count {
            let payload = format!("record {}", self.log.size());
            self.append(Class::Kernel, Kind::Loss, payload.as_bytes());
        }
    }

    pub fn checkpoint(&self) -> SignedCheckpoint {
        self.signer.sign(self.log.checkpoint(None))
    }

    /// Signs the log and keeps the checkpoint in it.
    pub fn record_checkpoint(&mut self) {
        let checkpoint = self.checkpoint().to_string();
        self.append(Class::Log, Kind::Checkpoint, checkpoint.as_bytes());
    }

    /// Where record `sequence` ends in its segment.
    pub fn end_of(&self, sequence: usize) -> usize {
        let (segment, _) = self.places[sequence];
        match self.places.get(sequence + 1) {
            Some((next, offset)) if *next == segment => *offset,
            _ => self.files[segment].1.len(),
        }
    }

    /// The bytes of a record.
    pub fn frame(&self, sequence: usize) -> Vec<u8> {
        let (segment, offset) = self.places[sequence];
        self.files[segment].1[offset..self.end_of(sequence)].to_vec()
    }
}
