//! Audit records of the server's own operations.

use holdfast_audit_log::{Action, Actor, AuditRecord, Source, Text};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::registry::Tenant;
use crate::store::AuditEntry;

macro_rules! acts {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// What can be asked of the server that changes something.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Act {
            $($(#[$doc])* $variant,)*
        }

        impl Act {
            /// Every act.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in audit records.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

acts! {
    /// The server made its certificate authority.
    CreateAuthority => "authority.create",
    /// Another issuing CA signs from then on.
    RollIssuing => "authority.roll-issuing",
    /// Another root is the anchor from then on.
    RollRoot => "authority.roll-root",
    /// A former root or issuing CA is accepted no more.
    RetireAuthority => "authority.retire",
    /// A device was registered.
    Register => "registry.register",
    /// The devices of a table were registered.
    Import => "registry.import",
    /// Somebody took note of an alert.
    AcknowledgeAlert => "alert.acknowledge",
    /// A waiting device was let in.
    Approve => "registry.approve",
    /// A device was shut out for a while.
    Suspend => "registry.suspend",
    /// A suspended device was let in again.
    Resume => "registry.resume",
    /// A device was shut out for good.
    Revoke => "registry.revoke",
    /// A device was taken out of the fleet.
    Retire => "registry.retire",
    /// An Edge ID was given to another TPM.
    Rebind => "registry.rebind",
    /// The firmware state of the next enrolment is taken for the right one.
    ForgetFirmware => "registry.forget-firmware",
    /// A device was put into a group, or out of one.
    MoveGroup => "registry.move-group",
    /// A group was made or replaced.
    SetGroup => "group.set",
    /// A group was removed.
    RemoveGroup => "group.remove",
    /// Rules or ports of a group's or a device's USB were set or taken away.
    SetUsbPolicy => "usb-policy.set",
    /// A device asked for a certificate.
    Enrol => "est.enrol",
    /// A device asked for its next certificate with the one it has.
    Renew => "est.renew",
    /// A device used its first certificate.
    Activate => "registry.activate",
    /// A device told of a boot.
    ReportBoot => "device.boot",
    /// A device handed over its recovery keys.
    StoreRecoveryKey => "recovery.store",
    /// A recovery key was handed out, wrapped.
    ExportRecoveryKey => "recovery.export",
    /// A device began an audit log.
    RegisterAuditLog => "audit-log.register",
    /// A device's audit log told two histories and takes no more records.
    ForkAuditLog => "audit-log.fork",
    /// A release was published.
    PublishRelease => "release.publish",
    /// A release was withdrawn.
    WithdrawRelease => "release.withdraw",
    /// CAs of TPM makers were allowed.
    AddEkCa => "ek-ca.add",
    /// A CA of a TPM maker is allowed no more.
    RemoveEkCa => "ek-ca.remove",
    /// A site configuration was added.
    AddSite => "site.add",
    /// Devices were let go to another site.
    TransferSite => "site.transfer",
    /// A device asked for a token.
    IssueToken => "token.issue",
    /// Tokens for an audience were allowed.
    AddAudience => "token.add-audience",
    /// Tokens for an audience were forbidden.
    RemoveAudience => "token.remove-audience",
    /// The keys that sign tokens were changed.
    RotateTokenKeys => "token.rotate-keys",
    /// An API key was made.
    CreateApiKey => "api-key.create",
    /// An API key was revoked.
    RevokeApiKey => "api-key.revoke",
}

impl Act {
    fn action(self) -> Action {
        // The names are constants, and a test holds each of them to the form.
        Action::new(self.name()).unwrap_or_else(|error| unreachable!("{error}"))
    }
}

/// What was asked, before it is known what comes of it.
#[derive(Clone, Debug)]
pub struct Operation {
    at: OffsetDateTime,
    actor: Actor,
    act: Act,
    target: String,
    arguments: Vec<Vec<u8>>,
    tenant: Option<Tenant>,
    device_id: Option<Uuid>,
}

impl Operation {
    /// An operation by a caller.
    pub fn new(at: OffsetDateTime, actor: Actor, act: Act, target: &str) -> Self {
        Self {
            at,
            actor,
            act,
            target: target.to_owned(),
            arguments: Vec::new(),
            tenant: None,
            device_id: None,
        }
    }

    /// With these arguments, of which the record keeps a digest.
    #[must_use]
    pub fn with_arguments(mut self, arguments: &[&[u8]]) -> Self {
        self.arguments = arguments.iter().map(|argument| argument.to_vec()).collect();
        self
    }

    /// On a tenant.
    #[must_use]
    pub fn with_tenant(mut self, tenant: &Tenant) -> Self {
        self.tenant = Some(tenant.clone());
        self
    }

    /// On a device.
    #[must_use]
    pub fn with_device(mut self, id: Uuid, tenant: &Tenant) -> Self {
        self.device_id = Some(id);
        self.with_tenant(tenant)
    }

    /// It was done.
    pub fn done(&self) -> AuditEntry {
        self.entry(|record| record)
    }

    /// It was allowed and failed.
    pub fn failed(&self, reason: &str) -> AuditEntry {
        self.entry(|record| record.failed(Text::lossy(reason)))
    }

    /// It was not allowed.
    pub fn denied(&self, reason: &str) -> AuditEntry {
        self.entry(|record| record.denied(Text::lossy(reason)))
    }

    fn entry(&self, outcome: impl FnOnce(AuditRecord) -> AuditRecord) -> AuditEntry {
        let arguments: Vec<&[u8]> = self.arguments.iter().map(Vec::as_slice).collect();
        let record = AuditRecord::new(
            self.at,
            Source::cloud(),
            self.actor.clone(),
            self.act.action(),
            Text::lossy(&self.target),
        )
        .with_arguments(&arguments);
        AuditEntry {
            record: outcome(record),
            tenant: self.tenant.clone(),
            device_id: self.device_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_act_has_a_name_of_the_right_form() {
        let names: std::collections::BTreeSet<_> =
            Act::ALL.iter().map(|act| act.action().as_str().to_owned()).collect();
        assert_eq!(names.len(), Act::ALL.len());
    }
}
