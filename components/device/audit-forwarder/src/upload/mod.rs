//! Bringing the log to the connector: records in order, over mutual TLS with the device's key, each
//! one until the connector has signed for it.

mod answer;
mod connection;
pub mod cursor;
mod frames;
pub mod key;
mod receipt;
mod status;

pub use connection::{Identity, IdentityError};
pub use receipt::ReceiptError;
pub use status::{UploadState, UploadStatus};

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdfast_attestation::audit_key::qualifying_data;
use holdfast_audit_log::Origin;
use holdfast_connection::peer::{Body, Peer, PeerError};
use holdfast_connection::retry::{Curve, SystemJitter};
use holdfast_connection::trust::TrustError;
use http::Method;
use tokio::sync::{Notify, oneshot, watch};
use zbus::Connection;

use crate::keeper::{Keeper, Request, State};
use crate::new_log;
use answer::{LogAnswer, Understood, understand};
use cursor::{Cursor, Local, Reply, Step, Stored};
use frames::{Frames, FramesError, Wanted};
use key::BusKey;

const FRAMES: &str = "application/vnd.holdfast.audit-frames";
const JSON: &str = "application/json";
/// Bytes of one upload, before they are packed: what cannot be packed is within the limit as well.
const AT_ONCE: usize = 1_000_000;
/// How often an identity is looked for.
const LOOK: Duration = Duration::from_secs(3);
/// Level of zstd: the best ratio that a small processor does not notice.
const LEVEL: i32 = 3;

/// Why a round ended early. Everything is tried again.
#[derive(Debug, thiserror::Error)]
enum UploadError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    #[error(transparent)]
    Frames(#[from] FramesError),
    #[error("the enroller does not certify the audit key: {0}")]
    Certify(zbus::Error),
    #[error("the connector refuses: {0}")]
    Refused(String, Option<Duration>),
    #[error(
        "the connector signed for other records than were sent: record {sequence} is {found} there, \
         and {expected} here; nothing is deleted"
    )]
    OtherRecords { sequence: u64, found: String, expected: String },
    #[error("cannot name another log: {0}")]
    Name(std::io::Error),
    #[error("the keeper of the log has ended")]
    Ended,
}

/// The uploader.
#[derive(Debug)]
pub struct Uploader {
    /// The spool's folder.
    pub spool: PathBuf,
    /// Who writes the log.
    pub keeper: Keeper,
    /// The bus.
    pub bus: Connection,
    /// The device's key.
    pub key: BusKey,
    /// How long records wait for others.
    pub delay: Duration,
    /// Somebody wants them sent now.
    pub now: Arc<Notify>,
    /// For whom it may concern.
    pub status: watch::Sender<UploadStatus>,
}

/// What lives as long as a connection to the connector.
struct Session {
    identity: Identity,
    peer: Peer,
}

impl Uploader {
    /// Works for as long as the daemon lives.
    pub async fn run(self) {
        let mut jitter = SystemJitter;
        let mut state = self.keeper.state();
        let mut cursor = Cursor::default();
        let mut session = None;
        let mut failures = 0_u32;
        loop {
            match self.round(&mut state, &mut cursor, &mut session).await {
                Ok(()) => {
                    failures = 0;
                    self.report(UploadState::Idle, None);
                    if !self.more(&mut state, &cursor).await {
                        return;
                    }
                }
                Err(UploadError::Ended) => return,
                Err(error) => {
                    session = None;
                    failures = failures.saturating_add(1);
                    let curve = match error {
                        UploadError::Identity(_) => Curve::LOCAL,
                        UploadError::Peer(_) => Curve::OFFLINE,
                        _ => Curve::REFUSAL,
                    };
                    let wait = if matches!(error, UploadError::Identity(IdentityError::NotYet(_))) {
                        // The enroller says on its own what it waits for.
                        failures = 0;
                        LOOK
                    } else {
                        tracing::warn!("upload of the audit log: {error}");
                        let when = match error {
                            UploadError::Refused(_, when) => when,
                            _ => None,
                        };
                        curve.wait(failures, when, &mut jitter)
                    };
                    self.report(UploadState::Waiting, Some(error.to_string()));
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.now.notified() => {}
                    }
                }
            }
        }
    }

    /// Waits until there are records to send, and a while for others. False where there will be
    /// none.
    async fn more(&self, state: &mut watch::Receiver<State>, cursor: &Cursor) -> bool {
        let stored = cursor.stored().map_or(0, |stored| stored.size);
        if state.wait_for(|state| state.size > stored).await.is_err() {
            return false;
        }
        tokio::select! {
            () = tokio::time::sleep(self.delay) => {}
            () = self.now.notified() => {}
        }
        true
    }

    /// Sends all there is.
    async fn round(
        &self,
        state: &mut watch::Receiver<State>,
        cursor: &mut Cursor,
        session: &mut Option<Session>,
    ) -> Result<(), UploadError> {
        // A connection that was idle may be gone, which shows when it is used.
        let mut was_used = session.is_some();
        loop {
            let now = state.borrow_and_update().clone();
            let head = now.head.to_string();
            let local = Local { first: now.first, size: now.size, head };
            let log = new_log::id_of(&now.origin).to_owned();
            let step = cursor.step(&log, &local);
            if step == Step::Rest {
                return Ok(());
            }
            if let Step::Replace(carry) = step {
                let (done, is_done) = oneshot::channel();
                let log = new_log::origin().map_err(UploadError::Name)?;
                let request = Request::Replace(log, carry, done);
                self.keeper.inbox().ask(request).map_err(|_| UploadError::Ended)?;
                is_done.await.map_err(|_| UploadError::Ended)?;
                *cursor = Cursor::default();
                continue;
            }
            if session.is_none() {
                *session = Some(self.connect().await?);
                self.report(UploadState::Sending, None);
            }
            let Some(open) = session.as_mut() else { continue };
            let reply = match self.act(open, &now, &log, &step).await {
                Err(UploadError::Peer(error)) if was_used => {
                    tracing::debug!("{error}");
                    was_used = false;
                    *session = None;
                    continue;
                }
                other => other?,
            };
            cursor.reply(&log, &local, &step, reply);
        }
    }

    async fn connect(&self) -> Result<Session, UploadError> {
        let identity = Identity::of_bus(&self.bus, self.key.clone()).await?;
        let peer = Peer::connect(&identity.server, Arc::clone(&identity.tls)).await?;
        Ok(Session { identity, peer })
    }

    async fn act(
        &self,
        session: &mut Session,
        state: &State,
        log: &str,
        step: &Step,
    ) -> Result<Reply, UploadError> {
        let path = format!("/api/v1/device/audit/logs/{log}");
        let mut sent = None;
        let (method, path, body) = match step {
            Step::Ask => (Method::GET, path, None),
            Step::Register => {
                let content = self.registration(state).await?;
                (Method::PUT, path, Some(Body::new(JSON, content)))
            }
            Step::Send { from, most } => {
                let frames = self.read(&state.origin, *from, state.size, *most)?;
                let body = pack(&frames);
                sent = Some(frames);
                (Method::PUT, format!("{path}/records/{from}"), Some(body))
            }
            Step::Probe(at) => {
                let frames = self.read(&state.origin, *at, state.size, 1)?;
                (Method::PUT, format!("{path}/records/{at}"), Some(pack(&frames)))
            }
            Step::Replace(_) | Step::Rest => return Err(UploadError::Ended),
        };
        let answer = session.peer.send(method, &path, body).await?;
        match understand(&answer) {
            Understood::Log(answer) => {
                let stored = session.accept(&answer, log, sent.as_ref())?;
                // Where the connector is ahead of this disk, the two have parted.
                if stored.size <= state.size {
                    let release = Request::Release(stored.size);
                    self.keeper.inbox().ask(release).map_err(|_| UploadError::Ended)?;
                }
                self.status.send_modify(|status| status.accepted = Some(stored.size));
                Ok(Reply::Stored(stored))
            }
            Understood::Reply(reply, words) => {
                match step {
                    Step::Ask | Step::Probe(_) => tracing::debug!("the connector answers {words}"),
                    _ => tracing::warn!("the connector answers {words}"),
                }
                Ok(reply)
            }
            Understood::Later(words, when) => Err(UploadError::Refused(words, when)),
        }
    }

    fn read(
        &self,
        log: &Origin,
        from: u64,
        durable: u64,
        most: u64,
    ) -> Result<Frames, FramesError> {
        frames::read(&self.spool, Wanted { log, from, durable, most, bytes: AT_ONCE })
    }

    /// The TPM's word that the log's key is its own.
    async fn registration(&self, state: &State) -> Result<Vec<u8>, UploadError> {
        let qualifying = qualifying_data(state.origin.as_str());
        let (public, attest, signature) =
            crate::signer::certify(&self.bus, &qualifying).await.map_err(UploadError::Certify)?;
        let base64 =
            |bytes: &[u8]| base64::Engine::encode(&base64::prelude::BASE64_STANDARD, bytes);
        let json = serde_json::json!({
            "public": base64(&public),
            "attest": base64(&attest),
            "signature": base64(&signature),
            "previous": state.previous,
        });
        Ok(json.to_string().into_bytes())
    }

    fn report(&self, state: UploadState, error: Option<String>) {
        self.status.send_modify(|status| {
            status.state = state;
            status.error = error;
        });
    }
}

impl Session {
    /// Believes an answer only with its receipt, and only about what was sent.
    fn accept(
        &self,
        answer: &LogAnswer,
        log: &str,
        sent: Option<&Frames>,
    ) -> Result<Stored, UploadError> {
        let Identity { trust, device_id, .. } = &self.identity;
        let receipt = receipt::verify(&answer.receipt, trust, log, device_id)?;
        if let Some(sent) = sent {
            let expected = sent.head.to_string();
            if receipt.size < sent.end || (receipt.size == sent.end && receipt.head != expected) {
                let sequence = sent.end.saturating_sub(1);
                let found = receipt.head;
                return Err(UploadError::OtherRecords { sequence, found, expected });
            }
        }
        Ok(Stored { size: receipt.size, head: receipt.head })
    }
}

/// A body with these frames, packed where that helps.
fn pack(frames: &Frames) -> Body {
    match zstd::bulk::compress(&frames.bytes, LEVEL) {
        Ok(packed) if packed.len() < frames.bytes.len() => {
            Body { media_type: FRAMES, encoding: Some("zstd"), content: packed }
        }
        _ => Body::new(FRAMES, frames.bytes.clone()),
    }
}
