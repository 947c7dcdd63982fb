//! Checkpoints are signed by the TPM, which the enroller owns.

use std::sync::Arc;

use holdfast_attestation::audit_key::qualifying_data;
use holdfast_attestation::tpm::Public;
use holdfast_audit_log::checkpoint::{Checkpoint, KeyId};
use holdfast_ipc::identity::Identity1Proxy;
use tokio::sync::{mpsc, watch};
use zbus::Connection;

use crate::keeper::{Inbox, Request};

/// Name of the key at the enroller; it exists before any enrolment.
const KEY: &str = "audit";
const SCHEME: &str = "ecdsa-p256-sha256";

/// The public key of the checkpoints' signatures.
#[derive(Clone, Debug)]
pub struct AuditKey {
    /// Its short name.
    pub id: KeyId,
    /// Its `SubjectPublicKeyInfo`, DER.
    pub spki: Vec<u8>,
}

/// Why a checkpoint was not signed. It is tried again in a while.
#[derive(Debug, thiserror::Error)]
enum NotSigned {
    #[error("the enroller does not sign it: {0}")]
    Bus(#[from] zbus::Error),
    #[error("the audit key cannot be read: {0}")]
    Key(String),
}

/// The TPM's word about the audit key: `TPMT_PUBLIC`, `TPMS_ATTEST` and `TPMT_SIGNATURE`.
pub async fn certify(
    bus: &Connection,
    qualifying: &[u8],
) -> zbus::Result<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    Identity1Proxy::new(bus).await?.certify_key(KEY, qualifying).await
}

/// Gets checkpoints signed, for as long as the keeper makes them. `key` is for whoever wants to
/// verify them.
pub async fn run(
    bus: Connection,
    inbox: Arc<Inbox>,
    mut to_sign: mpsc::Receiver<Checkpoint>,
    key: watch::Sender<Option<AuditKey>>,
) {
    let mut was_told = false;
    while let Some(checkpoint) = to_sign.recv().await {
        let is_bound = checkpoint.boot.is_some();
        let (log, size) = (checkpoint.origin.clone(), checkpoint.size);
        let request = match sign(&bus, checkpoint, &key).await {
            Ok(note) => {
                was_told = false;
                tracing::debug!(size, "checkpoint");
                Request::Signed { log, note, is_bound }
            }
            Err(error) => {
                if !was_told {
                    tracing::warn!("a checkpoint waits: {error}");
                }
                was_told = true;
                // A key that was replaced is asked for again.
                key.send_replace(None);
                Request::NotSigned(log)
            }
        };
        if inbox.ask(request).is_err() {
            return;
        }
    }
}

async fn sign(
    bus: &Connection,
    checkpoint: Checkpoint,
    key: &watch::Sender<Option<AuditKey>>,
) -> Result<String, NotSigned> {
    let known = key.borrow().as_ref().map(|key| key.id);
    let id = if let Some(id) = known {
        id
    } else {
        let (public, ..) = certify(bus, &qualifying_data(checkpoint.origin.as_str())).await?;
        let public = Public::parse(&public).map_err(|e| NotSigned::Key(e.to_string()))?;
        let spki = public.to_spki_der().map_err(|e| NotSigned::Key(e.to_string()))?;
        let id = KeyId::of_spki(&spki);
        key.send_replace(Some(AuditKey { id, spki }));
        id
    };
    let digest = checkpoint.signing_digest();
    let signature = Identity1Proxy::new(bus).await?.sign(KEY, SCHEME, &digest).await?;
    Ok(checkpoint.signed(id, signature).to_string())
}
