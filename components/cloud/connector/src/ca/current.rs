//! The authority of a running server, exchangeable while it runs.

use std::sync::{Arc, PoisonError, RwLock};

use super::Authority;

/// Gives everybody the authority that is in force. Who signs and then builds an answer around the
/// result takes it once, so that a roll-over in between does not mix two of them.
pub struct CurrentAuthority(RwLock<Arc<Authority>>);

impl CurrentAuthority {
    /// Starts with an authority.
    pub fn new(authority: Authority) -> Self {
        Self(RwLock::new(Arc::new(authority)))
    }

    /// The one in force.
    pub fn get(&self) -> Arc<Authority> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another one in force.
    pub fn replace(&self, authority: Authority) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(authority);
    }
}
