//! What both faces of the daemon do with a call before the backend does the work.

use std::sync::Arc;

use holdfast_usb_rules::RuleId;
use zbus::{Connection, message::Header};

use super::{UsbBackend, argument};
use crate::{Call, CallError, Guard, Role};

/// The backend behind the guard. Clones share one backend.
pub(super) struct Service<B> {
    backend: Arc<B>,
    guard: Guard,
}

// Derived, it would ask for a backend that can be cloned.
impl<B> Clone for Service<B> {
    fn clone(&self) -> Self {
        Self { backend: Arc::clone(&self.backend), guard: self.guard.clone() }
    }
}

/// Where a call came from.
#[derive(Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) connection: &'a Connection,
    pub(super) header: &'a Header<'a>,
}

impl<B: UsbBackend> Service<B> {
    pub(super) fn new(backend: Arc<B>, guard: Guard) -> Self {
        Self { backend, guard }
    }

    pub(super) fn backend(&self) -> &B {
        &self.backend
    }

    /// Lets a viewer through to what only reads.
    pub(super) async fn admit_viewer(
        &self,
        from: Origin<'_>,
        call: &Call<'_>,
    ) -> Result<&B, CallError> {
        self.guard.authorize(from.connection, from.header, Role::Viewer, call).await?;
        Ok(&self.backend)
    }

    /// Runs a change for a caller of at least this role.
    pub(super) async fn change<T>(
        &self,
        from: Origin<'_>,
        role: Role,
        call: &Call<'_>,
        operation: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let caller = self.guard.caller(from.connection, from.header, call).await?;
        let decision = caller.require(role);
        self.guard.change(call, &caller, decision, operation).await
    }

    pub(super) async fn append_rule(
        &self,
        from: Origin<'_>,
        text: &str,
        after: u32,
        temporary: bool,
    ) -> Result<u32, CallError> {
        let target = after.to_string();
        let arguments: [&[u8]; 3] = [text.as_bytes(), &after.to_be_bytes(), &[u8::from(temporary)]];
        let call = Call { action: "usb.rule-append", target: &target, arguments: &arguments };
        self.change(from, Role::Admin, &call, async {
            let (rule, position) = (argument::rule(text)?, argument::position(after));
            self.backend.append_rule(rule, position, temporary).await.map(|RuleId(id)| id)
        })
        .await
    }

    pub(super) async fn remove_rule(&self, from: Origin<'_>, rule: u32) -> Result<(), CallError> {
        let target = rule.to_string();
        let arguments: [&[u8]; 1] = [&rule.to_be_bytes()];
        let call = Call { action: "usb.rule-remove", target: &target, arguments: &arguments };
        self.change(from, Role::Admin, &call, self.backend.remove_rule(RuleId(rule))).await
    }
}

/// Who may make a decision: one that stays changes the policy.
pub(super) fn role_to_decide(permanent: bool) -> Role {
    if permanent { Role::Admin } else { Role::Operator }
}
