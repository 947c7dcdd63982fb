//! The signed note around a checkpoint (C2SP signed-note).

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::error::{CheckpointError, Problem};
use super::key::KeyId;
use super::{Checkpoint, lines};

/// A signature line. Witnesses may add theirs to that of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key.
    pub name: String,
    /// Which key of that name.
    pub key: KeyId,
    /// The signature in the form of the key's type.
    pub bytes: Vec<u8>,
}

/// A checkpoint with signatures of which none is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    pub(super) checkpoint: Checkpoint,
    pub(super) signatures: Vec<NoteSignature>,
}

impl SignedCheckpoint {
    /// Longest checkpoint that is read, bytes.
    pub const MAX_BYTES: usize = 16 * 1024;
    /// Most signatures that are read; a verifier must accept 16.
    pub const MAX_SIGNATURES: usize = 32;

    const SIGNATURE: &str = "\u{2014} ";

    /// Reads a checkpoint. What is read is printed again to the same bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(Problem::TooLong(bytes.len()).on(1));
        }
        let text = text_of(bytes)?;
        let mut all: Vec<&str> = text.split('\n').collect();
        // After the last line's end there is nothing.
        if all.pop() != Some("") {
            return Err(Problem::Unended.on(all.len() + 1));
        }
        let empty = all.iter().position(|line| line.is_empty());
        let body = &all[..empty.unwrap_or(all.len())];
        let checkpoint = Checkpoint::parse(body)?;
        let first = body.len() + 2;
        if empty.is_none() {
            return Err(Problem::Missing("the empty line before the signatures").on(first - 1));
        }
        let signed = &all[body.len() + 1..];
        if signed.is_empty() {
            return Err(Problem::Missing("a signature").on(first));
        }
        if signed.len() > Self::MAX_SIGNATURES {
            let line = first + Self::MAX_SIGNATURES;
            return Err(Problem::TooManySignatures(Self::MAX_SIGNATURES).on(line));
        }
        let signature = |(place, line): (usize, &&str)| {
            parse_signature(line).ok_or(Problem::Signature.on(first + place))
        };
        let signatures = signed.iter().enumerate().map(signature).collect::<Result<_, _>>()?;
        Ok(Self { checkpoint, signatures })
    }

    /// What is signed, if it is.
    pub fn unverified(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The signature lines.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }
}

fn text_of(bytes: &[u8]) -> Result<&str, CheckpointError> {
    let line = |offset: usize| bytes[..offset].split(|b| *b == b'\n').count();
    let text = str::from_utf8(bytes).map_err(|e| Problem::Characters.on(line(e.valid_up_to())))?;
    match text.bytes().position(|b| b < b' ' && b != b'\n') {
        Some(offset) => Err(Problem::Characters.on(line(offset))),
        None => Ok(text),
    }
}

fn parse_signature(line: &str) -> Option<NoteSignature> {
    let (name, base64) = line.strip_prefix(SignedCheckpoint::SIGNATURE)?.split_once(' ')?;
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '+') {
        return None;
    }
    let bytes = BASE64_STANDARD.decode(base64).ok()?;
    let (key, signature) = bytes.split_first_chunk()?;
    if signature.is_empty() {
        return None;
    }
    Some(NoteSignature { name: name.to_owned(), key: KeyId::new(*key), bytes: signature.to_vec() })
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.checkpoint)?;
        self.signatures.iter().try_for_each(|NoteSignature { name, key, bytes }| {
            let base64 = lines::base64(&[key.as_bytes().as_slice(), bytes].concat());
            writeln!(f, "{}{name} {base64}", Self::SIGNATURE)
        })
    }
}
