//! What the enrolment listener keeps per connection: the one open challenge. It ends with the
//! connection, so memory is bounded by connections, and a nonce cannot be used on another one.

use std::sync::{Mutex, PoisonError};

use holdfast_attestation::challenge::Challenge;

use crate::registry::Digest;

/// The challenge with what was said when it was asked for.
#[derive(Clone)]
pub(super) struct OpenChallenge {
    pub(super) challenge: Challenge,
    pub(super) ek_sha256: Digest,
    pub(super) ek_certificates: Vec<Vec<u8>>,
}

/// Per-connection state of the enrolment listener.
#[derive(Default)]
pub struct Session(Mutex<Option<OpenChallenge>>);

impl Session {
    /// Keeps a challenge in place of the one before.
    pub(super) fn open(&self, challenge: OpenChallenge) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(challenge);
    }

    /// Gives the challenge out and marks it as used: whatever comes of the request, there is no
    /// second try with this nonce.
    pub(super) fn take(&self) -> Option<OpenChallenge> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = slot.clone();
        if let Some(open) = slot.as_mut() {
            open.challenge.used = true;
        }
        taken
    }
}
