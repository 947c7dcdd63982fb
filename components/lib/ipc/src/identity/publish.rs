//! From a change of the status to the signals that announce it.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::mpsc;
use zbus::{Connection, Variant, object_server::SignalEmitter};

use super::{INTERFACE, IdentityStatus, OBJECT_PATH, interface::Signals};

/// The status of the identity, changed here and shown on the bus. Clones share one status.
#[derive(Clone, Debug)]
pub struct StatusPublisher {
    status: Arc<RwLock<IdentityStatus>>,
    changes: mpsc::UnboundedSender<Change>,
}

#[derive(Debug)]
struct Change {
    old: IdentityStatus,
    new: IdentityStatus,
}

/// The changes that [`serve`](super::serve) announces.
#[derive(Debug)]
pub struct Changes(mpsc::UnboundedReceiver<Change>);

impl StatusPublisher {
    /// A publisher and the changes to hand to [`serve`](super::serve).
    pub fn new(status: IdentityStatus) -> (Self, Changes) {
        let (changes, receiver) = mpsc::unbounded_channel();
        (Self { status: Arc::new(RwLock::new(status)), changes }, Changes(receiver))
    }

    /// The status now.
    pub fn status(&self) -> IdentityStatus {
        self.status.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the status; every call that changed something is announced, in order.
    pub fn update(&self, change: impl FnOnce(&mut IdentityStatus)) {
        let mut status = self.status.write().unwrap_or_else(PoisonError::into_inner);
        let old = status.clone();
        change(&mut status);
        if *status != old {
            // Nobody listens before the service is up and after it went down.
            let _ = self.changes.send(Change { old, new: status.clone() });
        }
    }

    pub(super) fn read<T>(&self, get: impl FnOnce(&IdentityStatus) -> T) -> T {
        get(&self.status.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Changes {
    /// Announces changes until the last publisher or the connection is gone.
    pub(super) async fn announce(mut self, connection: Connection) {
        while let Some(change) = self.0.recv().await {
            if let Err(error) = change.announce(&connection).await {
                tracing::warn!("a change of the identity's status was not announced: {error}");
                if connection.is_closed() {
                    return;
                }
            }
        }
    }
}

impl Change {
    async fn announce(&self, connection: &Connection) -> zbus::Result<()> {
        let emitter = SignalEmitter::new(connection, OBJECT_PATH)?;
        let changed: HashMap<&str, Variant<'_>> =
            self.new.changed_since(&self.old).into_iter().collect();
        if !changed.is_empty() {
            emitter
                .emit(
                    "org.freedesktop.DBus.Properties",
                    "PropertiesChanged",
                    &(INTERFACE, changed, &[] as &[&str]),
                )
                .await?;
        }
        if self.new.state != self.old.state {
            emitter.state_transition(self.old.state.as_str(), self.new.state.as_str()).await?;
        }
        let serial = &self.new.certificate_serial;
        let is_news = self.new.certificate_is_issued || !self.old.certificate_serial.is_empty();
        if is_news && !serial.is_empty() && *serial != self.old.certificate_serial {
            emitter.certificate_renewed(serial).await?;
        }
        Ok(())
    }
}
