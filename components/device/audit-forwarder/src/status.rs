//! The log's state, for people and programs.

use std::collections::BTreeMap;

use base64::Engine as _;
use holdfast_audit_log::LossCause;
use serde::Serialize;

use crate::keeper::State;
use crate::new_log::id_of;
use crate::spool::Fill;
use crate::upload::UploadStatus;

#[derive(Serialize)]
struct Status<'a> {
    /// The log's id.
    log: &'a str,
    /// Records that are durable.
    size: u64,
    /// Hash of the last, hexadecimal.
    head: String,
    /// Sequence number of the oldest that is still on the device.
    first: u64,
    /// Size at the last signed checkpoint since the daemon's start.
    signed: Option<u64>,
    /// The key of the checkpoints, PEM (`SubjectPublicKeyInfo`), once it was asked for.
    public_key: Option<String>,
    spool: Spool,
    /// Records that were lost since the daemon's start, by cause; each loss is in the log.
    lost: &'a BTreeMap<LossCause, u64>,
    /// Why the disk took no records at the last write.
    write_error: Option<&'a str>,
    upload: &'a UploadStatus,
    /// The log that this one follows.
    previous: Option<&'a crate::spool::PreviousLog>,
}

#[derive(Serialize)]
struct Spool {
    used: u64,
    limit: u64,
    fill: &'static str,
}

/// A DER `SubjectPublicKeyInfo` as PEM (RFC 7468).
fn pem(spki: &[u8]) -> String {
    let base64 = base64::prelude::BASE64_STANDARD.encode(spki);
    let lines: Vec<&str> =
        base64.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

/// The state as JSON.
pub fn json(log: &State, upload: &UploadStatus, key: Option<&[u8]>) -> serde_json::Result<String> {
    let fill = match log.fill {
        Fill::Low => "low",
        Fill::High => "high",
        Fill::Reserve => "reserve",
    };
    serde_json::to_string(&Status {
        log: id_of(&log.origin),
        size: log.size,
        head: log.head.to_string(),
        first: log.first,
        signed: log.signed,
        public_key: key.map(pem),
        spool: Spool { used: log.used, limit: log.limit, fill },
        lost: &log.lost,
        write_error: log.write_error.as_deref(),
        upload,
        previous: log.previous.as_ref(),
    })
}
