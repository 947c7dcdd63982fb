//! A log as others verify it: a tar of the key, the segments as they lie here, and a receipt.
//!
//! ```text
//! key.pem                              what signs the log's checkpoints
//! segments/00000000000000000000.seg    header and frames
//! segments/…
//! receipt.jws                          what the server says that it has
//! ```
//!
//! Files are handed out as they are, damaged ones too: to say where is the verifier's task.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::try_unfold;

use super::ingest::{DeviceAudit, DeviceAuditError};
use super::log::LogId;
use super::objects::Objects;
use crate::store::Store;

const BLOCK: usize = 512;
const PAGE: u32 = 64;

/// A log to be handed out as it was at one moment.
#[derive(Clone, Debug)]
pub struct Export {
    /// Which.
    pub log: LogId,
    /// Number of records at that moment.
    pub size: u64,
    /// PEM of its key.
    pub key: String,
    /// Of that size.
    pub receipt: String,
    /// Time stamp of the files, seconds since 1970.
    pub at: u64,
}

enum Step {
    Key,
    Segments(u64),
    Receipt,
    Done,
}

impl DeviceAudit {
    /// The log as a tar, piece by piece.
    pub fn export(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        export: Export,
    ) -> impl Stream<Item = Result<Bytes, DeviceAuditError>> + Send + 'static {
        let state = (Arc::clone(self), Arc::clone(store), Arc::new(export), Step::Key);
        try_unfold(state, |(audit, store, export, step)| async move {
            let (piece, next) = match step {
                Step::Key => {
                    (entry("key.pem", export.key.as_bytes(), export.at), Step::Segments(0))
                }
                Step::Segments(first) => audit.segments(&store, &export, first).await?,
                Step::Receipt => {
                    let mut piece = entry("receipt.jws", export.receipt.as_bytes(), export.at);
                    // The end of a tar: two blocks of zeros (POSIX.1-2017, pax, ustar).
                    piece.resize(piece.len() + 2 * BLOCK, 0);
                    (piece, Step::Done)
                }
                Step::Done => return Ok(None),
            };
            Ok(Some((Bytes::from(piece), (audit, store, export, next))))
        })
    }

    /// The next segment, from the one that begins with `first`.
    async fn segments(
        &self,
        store: &Arc<dyn Store>,
        export: &Arc<Export>,
        first: u64,
    ) -> Result<(Vec<u8>, Step), DeviceAuditError> {
        let batches = store.audit_batches(export.log.clone(), first, PAGE).await?;
        let batches: Vec<_> = batches.into_iter().filter(|b| b.first < export.size).collect();
        let Some(last) = batches.last() else { return Ok((Vec::new(), Step::Receipt)) };
        // One piece is a file or a few small ones.
        let mut taken = 0;
        let some = batches.iter().take_while(|batch| {
            taken += batch.bytes;
            taken <= 8 << 20 || batch.first == first
        });
        let some: Vec<u64> = some.map(|batch| batch.first).collect();
        let next = match batches.get(some.len()) {
            Some(batch) => batch.first,
            None => last.first + last.records,
        };
        let (objects, export) = (self.objects().clone(), Arc::clone(export));
        let read = move || {
            let mut piece = Vec::new();
            for first in some {
                let bytes = objects.read(&export.log, first)?;
                let name = format!("segments/{}", Objects::file_name(first));
                piece.extend(entry(&name, &bytes, export.at));
            }
            Ok::<_, DeviceAuditError>(piece)
        };
        Ok((tokio::task::spawn_blocking(read).await??, Step::Segments(next)))
    }
}

fn entry(name: &str, content: &[u8], at: u64) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    // The names are short and plain: what tar says of them cannot be.
    let _ = header.set_path(name);
    header.set_size(content.len() as u64);
    header.set_mode(0o600);
    header.set_mtime(at);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}
