//! What the listeners share.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::audit::Operation;
use crate::ca::{Authority, CurrentAuthority};
use crate::clock::SharedClock;
use crate::device_audit::DeviceAudit;
use crate::reply::{ErrorReply, RequestId};
use crate::store::{Store, StoreError};
use crate::tokens::KeyRing;

/// Store, authority and clock.
#[derive(Clone)]
pub struct App {
    /// What the server remembers.
    pub store: Arc<dyn Store>,
    /// What signs certificates, while the server runs.
    pub authorities: Arc<CurrentAuthority>,
    /// What signs tokens.
    pub token_keys: Arc<KeyRing>,
    /// The audit logs of devices.
    pub device_audit: Arc<DeviceAudit>,
    /// The time.
    pub clock: SharedClock,
}

impl App {
    /// The present moment.
    pub fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    /// What signs certificates now.
    pub fn authority(&self) -> Arc<Authority> {
        self.authorities.get()
    }

    /// Turns the end of a change into an answer. A change that did not happen gets its audit record
    /// here; that of one that happened is stored with it.
    pub async fn outcome<T>(
        &self,
        operation: &Operation,
        result: Result<T, StoreError>,
        id: &RequestId,
    ) -> Result<T, ErrorReply> {
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if !matches!(error, StoreError::Closed | StoreError::Database(_)) {
            let failed = operation.failed(&error.to_string());
            self.store.record_audit(failed).await.map_err(|e| ErrorReply::of_store(&e, id))?;
        }
        Err(ErrorReply::of_store(&error, id))
    }
}
