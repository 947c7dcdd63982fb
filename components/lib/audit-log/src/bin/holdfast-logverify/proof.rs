//! `inclusion`, `consistency` and `check`: proofs that stand for themselves.

use std::io::{self, Write as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use holdfast_audit_log::checkpoint::{AuditKey, Checkpoint, SignedCheckpoint};
use holdfast_audit_log::frame::{Decoded, Frame, Kind};
use holdfast_audit_log::show::quoted;
use holdfast_audit_log::tree::{Head, Tree, verify_consistency, verify_inclusion};
use holdfast_audit_log::verify::Verified;
use holdfast_audit_log::{Hash, Origin};
use serde::{Deserialize, Serialize};

use crate::cli::{CheckArguments, ConsistencyArguments, InclusionArguments, LogArguments};
use crate::failure::{Code, Failure};
use crate::log::Log;
use crate::{files, verify};

const WHOLE: &str = "Name all segments from the record on, and a size up to that of the log.";

/// A proof with all that a checker needs but the key. Hashes are in hexadecimal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "proof", rename_all = "kebab-case", deny_unknown_fields)]
enum Proof {
    /// A record is in the log (RFC 9162, section 2.1.3).
    Inclusion {
        origin: String,
        sequence: u64,
        /// Leaf data of the record, base64; its hash is SHA-256(0x00 || record).
        record: String,
        size: u64,
        root: String,
        /// Siblings from the leaf up to the root.
        path: Vec<String>,
        /// The signed checkpoint of this size, if there is one.
        checkpoint: Option<String>,
    },
    /// The log of one size is the beginning of that of another (RFC 9162, section 2.1.4).
    Consistency {
        origin: String,
        old_size: u64,
        old_root: String,
        new_size: u64,
        new_root: String,
        path: Vec<String>,
        old_checkpoint: Option<String>,
        new_checkpoint: Option<String>,
    },
}

/// A verified log with what proofs are made of.
struct Source {
    origin: Origin,
    tree: Tree,
    checkpoints: Vec<SignedCheckpoint>,
}

impl Source {
    /// The first checkpoint that satisfies a condition.
    fn checkpoint(&self, is_it: impl Fn(&Checkpoint) -> bool) -> Option<&SignedCheckpoint> {
        self.checkpoints.iter().find(|signed| is_it(signed.unverified()))
    }

    fn of_size(&self, size: u64) -> Option<String> {
        self.checkpoint(|c| c.size == size).map(ToString::to_string)
    }

    fn root(&self, size: u64) -> Result<Hash, Failure> {
        self.tree.root_at(size).map_err(|error| Failure::not_there(error.to_string(), WHOLE))
    }
}

/// Reads a log for a proof; `None` where it was tampered with, which is told.
fn source(
    arguments: &LogArguments,
    mut each: impl FnMut(&Decoded<'_>),
) -> Result<Option<Source>, Failure> {
    let log = Log::open(arguments)?;
    let mut checkpoints: Vec<SignedCheckpoint> = Vec::new();
    let Verified { report, tree } = log.verify(|decoded, _| {
        if decoded.frame.kind == Kind::Checkpoint {
            checkpoints.extend(SignedCheckpoint::parse(decoded.frame.payload));
        }
        each(decoded);
        Ok(())
    })?;
    if !report.is_good() {
        let mut told = io::stderr().lock();
        verify::findings(&mut told, &report.findings)?;
        writeln!(told, "holdfast-logverify: nothing is proven of a log that was tampered with")?;
        return Ok(None);
    }
    checkpoints.extend(log.checkpoints.iter().map(|(_, signed)| signed.clone()));
    checkpoints.sort_by_key(|signed| signed.unverified().size);
    match (report.origin, tree) {
        (Some(origin), Some(tree)) => Ok(Some(Source { origin, tree, checkpoints })),
        _ => Err(Failure::not_there("these records have no tree", WHOLE)),
    }
}

/// Prints the proof that a record is in the log.
pub fn inclusion(arguments: &InclusionArguments) -> Result<Code, Failure> {
    let sequence = arguments.record;
    let mut record = None;
    let source = source(&arguments.log, |decoded| {
        if decoded.frame.sequence == sequence {
            record = Some(decoded.leaf_data.to_vec());
        }
    })?;
    let Some(source) = source else { return Ok(Code::Tampered) };
    let size = arguments.size.unwrap_or_else(|| {
        let covers = source.checkpoint(|checkpoint| checkpoint.size > sequence);
        covers.map_or(source.tree.size(), |signed| signed.unverified().size)
    });
    let path = source.tree.inclusion(sequence, size);
    let path = path.map_err(|error| Failure::not_there(error.to_string(), WHOLE))?;
    let Some(record) = record else {
        return Err(Failure::not_there(format!("record {sequence} is not here"), WHOLE));
    };
    print(&Proof::Inclusion {
        origin: source.origin.to_string(),
        sequence,
        record: BASE64_STANDARD.encode(record),
        size,
        root: source.root(size)?.to_string(),
        path: path.iter().map(ToString::to_string).collect(),
        checkpoint: source.of_size(size),
    })
}

/// Prints the proof that the log only grew.
pub fn consistency(arguments: &ConsistencyArguments) -> Result<Code, Failure> {
    let Some(source) = source(&arguments.log, |_| ())? else { return Ok(Code::Tampered) };
    let (old, new) = (arguments.old, arguments.new.unwrap_or(source.tree.size()));
    let path = source.tree.consistency(old, new);
    let path = path.map_err(|error| Failure::not_there(error.to_string(), WHOLE))?;
    print(&Proof::Consistency {
        origin: source.origin.to_string(),
        old_size: old,
        old_root: source.root(old)?.to_string(),
        new_size: new,
        new_root: source.root(new)?.to_string(),
        path: path.iter().map(ToString::to_string).collect(),
        old_checkpoint: source.of_size(old),
        new_checkpoint: source.of_size(new),
    })
}

fn print(proof: &Proof) -> Result<Code, Failure> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, proof).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(Code::Good)
}

/// What a proof came to.
#[derive(Serialize)]
struct Verdict {
    is_good: bool,
    text: String,
    /// Record that is proven, where one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
}

/// Checks a proof and says what it proves.
pub fn check(arguments: &CheckArguments, json: bool) -> Result<Code, Failure> {
    let path = &arguments.proof;
    let proof: Proof = serde_json::from_slice(&files::read(path)?).map_err(|error| {
        let advice = "Expected what `inclusion` or `consistency` printed.";
        Failure::input(path, format!("not a proof: {error}"), advice)
    })?;
    let checker = Checker {
        key: files::key(&arguments.key)?,
        origin: arguments.origin.clone(),
        given: files::checkpoints(&arguments.checkpoint)?,
    };
    let verdict = match checker.check(&proof) {
        Ok((text, sequence)) => Verdict { is_good: true, text, sequence },
        Err(text) => Verdict { is_good: false, text, sequence: None },
    };
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, &verdict).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        let word = if verdict.is_good { "good" } else { "WRONG" };
        writeln!(out, "{word}: {}", quoted(&verdict.text))?;
    }
    Ok(Code::of(verdict.is_good))
}

struct Checker {
    key: AuditKey,
    origin: Option<Origin>,
    given: Vec<(String, SignedCheckpoint)>,
}

impl Checker {
    /// What the proof proves, or why it does not.
    fn check(&self, proof: &Proof) -> Result<(String, Option<u64>), String> {
        match proof {
            Proof::Inclusion { origin, sequence, record, size, root, path, checkpoint } => {
                let origin = self.origin(origin)?;
                let record = BASE64_STANDARD.decode(record);
                let record = record.map_err(|_| "the record is not base64".to_owned())?;
                is_record(&record, *sequence)?;
                let tree = Head { size: *size, root: hash(root)? };
                let path = hashes(path)?;
                verify_inclusion(Hash::leaf(&record), *sequence, tree, &path)
                    .map_err(|error| error.to_string())?;
                self.signed(&origin, tree, checkpoint.as_deref())?;
                let text = format!(
                    "record {sequence} is in log {origin}, as the checkpoint of {size} records signs"
                );
                Ok((text, Some(*sequence)))
            }
            Proof::Consistency {
                origin,
                old_size,
                old_root,
                new_size,
                new_root,
                path,
                old_checkpoint,
                new_checkpoint,
            } => {
                let origin = self.origin(origin)?;
                let old = Head { size: *old_size, root: hash(old_root)? };
                let new = Head { size: *new_size, root: hash(new_root)? };
                verify_consistency(old, new, &hashes(path)?).map_err(|error| error.to_string())?;
                self.signed(&origin, old, old_checkpoint.as_deref())?;
                self.signed(&origin, new, new_checkpoint.as_deref())?;
                let text = format!(
                    "log {origin} only grew from {old_size} to {new_size} records; checkpoints sign both"
                );
                Ok((text, None))
            }
        }
    }

    fn origin(&self, found: &str) -> Result<Origin, String> {
        let found = Origin::new(found).map_err(|error| error.to_string())?;
        match &self.origin {
            Some(expected) if *expected != found => {
                Err(format!("the proof is of log {found}, not {expected}"))
            }
            _ => Ok(found),
        }
    }

    /// Whether the key signed this tree, in the proof or in a checkpoint that was given.
    fn signed(&self, origin: &Origin, tree: Head, note: Option<&str>) -> Result<(), String> {
        let own = note.map(|note| SignedCheckpoint::parse(note.as_bytes()));
        let own = own.transpose().map_err(|error| format!("the proof's checkpoint: {error}"))?;
        let candidates = own.iter().chain(self.given.iter().map(|(_, signed)| signed));
        let mut why =
            format!("no checkpoint of {} records is there; name one with --checkpoint", tree.size);
        for signed in candidates.filter(|signed| signed.unverified().size == tree.size) {
            match self.key.verify(signed, origin) {
                Ok(checkpoint) if checkpoint.root == tree.root => return Ok(()),
                Ok(_) => why = format!("the checkpoint of {} records has another root", tree.size),
                Err(error) => why = format!("the checkpoint of {} records: {error}", tree.size),
            }
        }
        Err(why)
    }
}

/// Leaf data is a frame without its checksum; that of another record proves nothing of this one.
fn is_record(leaf_data: &[u8], sequence: u64) -> Result<(), String> {
    let checksum = crc32c::crc32c(leaf_data).to_be_bytes();
    let frame = [leaf_data, &checksum].concat();
    let decoded =
        Frame::decode(&frame).map_err(|error| format!("the record cannot be read: {error}"))?;
    if decoded.frame.sequence == sequence && decoded.encoded_len() == frame.len() {
        Ok(())
    } else {
        Err(format!("the record is number {}, not {sequence}", decoded.frame.sequence))
    }
}

fn hash(digits: &str) -> Result<Hash, String> {
    let bytes = hex::decode(digits).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(Hash::new).ok_or_else(|| "a hash is not 64 hexadecimal digits".to_owned())
}

fn hashes(path: &[String]) -> Result<Vec<Hash>, String> {
    path.iter().map(|digits| hash(digits)).collect()
}
