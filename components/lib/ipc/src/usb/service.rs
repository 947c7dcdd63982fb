//! What both faces of the daemon do with a call before the backend does the work.

use std::sync::Arc;

use holdfast_policy_document::read_unverified;
use holdfast_usb_rules::RuleId;
use zbus::{Connection, message::Header};

use super::{UsbBackend, argument};
use crate::{Call, CallError, Caller, Guard, Role};

/// The unit that fetches policies from the cloud.
const POLICY_UNIT: &str = "holdfast-enroll.service";

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
        let target = format!("{}: {text}", argument::place(after));
        let arguments: [&[u8]; 3] = [text.as_bytes(), &after.to_be_bytes(), &[u8::from(temporary)]];
        let call = Call { action: "usb.rule-append", target: &target, arguments: &arguments };
        self.change(from, Role::Admin, &call, async {
            let (rule, position) = (argument::rule(text)?, argument::position(after));
            self.backend.append_rule(rule, position, temporary).await.map(|RuleId(id)| id)
        })
        .await
    }

    pub(super) async fn apply_policy(
        &self,
        from: Origin<'_>,
        document: String,
    ) -> Result<u64, CallError> {
        let read = read_unverified(document.as_bytes());
        let version = read.map(|read| read.policy.version.to_string()).unwrap_or_default();
        let arguments: [&[u8]; 1] = [document.as_bytes()];
        let call = Call { action: "usb.policy-apply", target: &version, arguments: &arguments };
        let caller = self.guard.caller(from.connection, from.header, &call).await?;
        let decision = may_apply_policy(&caller);
        let operation = self.backend.apply_policy(document.clone());
        self.guard.change(&call, &caller, decision, operation).await
    }

    pub(super) async fn remove_rule(&self, from: Origin<'_>, rule: u32) -> Result<(), CallError> {
        let target = rule.to_string();
        let arguments: [&[u8]; 1] = [&rule.to_be_bytes()];
        let call = Call { action: "usb.rule-remove", target: &target, arguments: &arguments };
        self.change(from, Role::Admin, &call, self.backend.remove_rule(RuleId(rule))).await
    }
}

/// Whether the caller may hand over a policy of the cloud: the unit that fetches it, and admins. Who
/// signed it is another question.
fn may_apply_policy(caller: &Caller) -> Result<(), String> {
    let by_role = caller.require(Role::Admin);
    match caller.unit.as_ref().filter(|unit| unit.name == POLICY_UNIT) {
        None => by_role,
        Some(unit) if unit.pinned => Ok(()),
        Some(unit) => by_role.map_err(|reason| {
            format!("{reason}; {} may, but the bus gave no proof of the process", unit.name)
        }),
    }
}

/// Who may make a decision: one that stays changes the policy.
pub(super) fn role_to_decide(permanent: bool) -> Role {
    if permanent { Role::Admin } else { Role::Operator }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unit;

    #[test]
    fn the_unit_that_fetches_policies_and_admins_may_hand_them_over() {
        let admin = Some(Role::Admin);
        let table = [
            (None, Some((POLICY_UNIT, true)), Ok(())),
            (None, Some((POLICY_UNIT, false)), Err("no proof of the process")),
            (admin, Some((POLICY_UNIT, false)), Ok(())),
            (admin, None, Ok(())),
            (Some(Role::Operator), None, Err("role admin is needed")),
            (None, Some(("holdfast-audit.service", true)), Err("role admin is needed")),
            (None, None, Err("role admin is needed")),
        ];
        for (role, unit, expected) in table {
            let unit = unit.map(|(name, pinned)| Unit { name: name.to_owned(), pinned });
            let caller = Caller { uid: 990, role, pid: None, login_uid: None, unit, program: None };
            match (may_apply_policy(&caller), expected) {
                (Ok(()), Ok(())) => {}
                (Err(reason), Err(part)) if reason.contains(part) => {}
                (result, _) => panic!("{caller:?}: {result:?}, expected {expected:?}"),
            }
        }
    }
}
