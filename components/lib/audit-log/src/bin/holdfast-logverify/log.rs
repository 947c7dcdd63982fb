//! A log as it was named on the command line.

use holdfast_audit_log::checkpoint::{AuditKey, SignedCheckpoint};
use holdfast_audit_log::frame::Decoded;
use holdfast_audit_log::verify::{Report, Verified, Verifier};
use holdfast_audit_log::{Hash, Origin};

use crate::cli::LogArguments;
use crate::failure::Failure;
use crate::files::{self, LogFiles};
use crate::receipt::Receipt;

/// A log, and what its records are held against.
#[derive(Debug)]
pub struct Log {
    files: LogFiles,
    key: Option<AuditKey>,
    origin: Option<Origin>,
    /// Checkpoints that were kept elsewhere, with the names of their files.
    pub checkpoints: Vec<(String, SignedCheckpoint)>,
    receipt: Option<(String, Receipt)>,
}

impl Log {
    /// Finds the files; the log itself is not read yet.
    pub fn open(arguments: &LogArguments) -> Result<Self, Failure> {
        let LogArguments { paths, key, origin, checkpoint, receipt, receipt_key } = arguments;
        let receipt = match (receipt, receipt_key) {
            (Some(path), Some(key)) => {
                Some((path.display().to_string(), Receipt::read(path, key)?))
            }
            _ => None,
        };
        Ok(Self {
            files: LogFiles::find(paths)?,
            key: key.as_deref().map(files::key).transpose()?,
            origin: origin.clone(),
            checkpoints: files::checkpoints(checkpoint)?,
            receipt,
        })
    }

    /// Number of files.
    pub fn count(&self) -> usize {
        self.files.files.len()
    }

    /// The key's short name.
    pub fn key_id(&self) -> Option<String> {
        self.key.as_ref().map(|key| hex::encode(key.id().as_bytes()))
    }

    /// Verifies the log, and does something with each record that is in its place meanwhile.
    pub fn verify(
        &self,
        each: impl FnMut(&Decoded<'_>, Hash) -> Result<(), Failure>,
    ) -> Result<Verified, Failure> {
        let empty = match &self.key {
            Some(key) => Verifier::new(key.clone(), self.origin.clone()),
            None => Verifier::without_key(self.origin.clone()),
        };
        let mut read = self.read(empty, each)?;
        if let Some((place, receipt)) = &self.receipt {
            if let Some(origin) = read.origin().filter(|origin| !receipt.is_of(origin)) {
                let detail =
                    format!("{place}: the receipt is of log {}, not {origin}", receipt.log);
                return Err(Failure::not_there(detail, "Name the receipt of this log."));
            }
            read.vouched(place, receipt.state);
        }
        let verified = read.finish(&self.checkpoints);
        match self.files.files.first() {
            Some(file) if verified.report.origin.is_none() && verified.report.records == 0 => {
                Err(Failure::input(
                    &file.path,
                    "no record of a log can be read here",
                    "Name segments of a spool (*.log) or of an export (*.seg).",
                ))
            }
            _ => Ok(verified),
        }
    }

    /// Goes through a log again that is verified already.
    pub fn records(
        &self,
        each: impl FnMut(&Decoded<'_>, Hash) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.read(Verifier::without_key(self.origin.clone()), each).map(drop)
    }

    fn read(
        &self,
        mut verifier: Verifier,
        mut each: impl FnMut(&Decoded<'_>, Hash) -> Result<(), Failure>,
    ) -> Result<Verifier, Failure> {
        for file in &self.files.files {
            let bytes = files::read(&file.path)?;
            let mut failure = None;
            let each = |decoded: &Decoded<'_>, hash| {
                if failure.is_none() {
                    failure = each(decoded, hash).err();
                }
            };
            if files::has_no_header(&bytes) {
                verifier.frames_with(&file.place, &bytes, each);
            } else {
                verifier.segment_with(&file.place, &bytes, each);
            }
            if let Some(failure) = failure {
                return Err(failure);
            }
        }
        Ok(verifier)
    }

    /// What a reader of the report should know besides.
    pub fn notes(&self, report: &Report) -> Vec<String> {
        let mut notes = self.files.notes.clone();
        if !report.is_signature_verified {
            notes
                .push("signatures are not verified: name the key of the log with --key".to_owned());
        }
        if report.first > 0 {
            let last = report.first - 1;
            notes.push(format!("records 0 to {last} are not here: the beginning was not named, or the cloud has it and the device deleted it"));
        }
        match report.signed_size {
            Some(signed) if signed < report.size => {
                let last = report.size - 1;
                notes.push(format!("records {signed} to {last} are in the chain but not signed yet: their end could be cut off unseen"));
            }
            None if report.records > 0 => notes.push(
                "no checkpoint covers these records: their end could be cut off unseen".to_owned(),
            ),
            _ => {}
        }
        if let Some((place, receipt)) = &self.receipt
            && receipt.state.size < report.first
        {
            notes.push(format!("{place} is of records that are not here"));
        }
        notes
    }
}
