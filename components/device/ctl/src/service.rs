//! The services that commands speak to, and what their errors mean to a person.

use holdfast_ipc::{CallError, ErrorKind};

use crate::{Code, Failure};

/// A service of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    /// What it is called, as in `the USB service`.
    name: &'static str,
    /// Its unit, without `.service`.
    unit: &'static str,
    /// Who may do what.
    roles: &'static str,
}

impl Service {
    pub(crate) const IDENTITY: Self = Self {
        name: "identity service",
        unit: "holdfast-enroll",
        roles: "Reading needs group holdfast-viewer, token holdfast-admin, everything else \
                holdfast-operator",
    };
    pub(crate) const AUDIT: Self = Self {
        name: "audit service",
        unit: "holdfast-audit",
        roles: "status needs group holdfast-viewer, reading the log holdfast-operator",
    };
    pub(crate) const USB: Self = Self {
        name: "USB service",
        unit: "holdfast-usb",
        roles: "Looking needs group holdfast-viewer, deciding about a device holdfast-operator, \
                rules, ports and --permanent holdfast-admin",
    };

    /// A call that did not succeed.
    pub(crate) fn failure(self, error: zbus::Error) -> Failure {
        if let Some(answer) = CallError::from_reply(&error) {
            return self.answered(answer);
        }
        match error {
            zbus::Error::Connection(..)
            | zbus::Error::InputOutput(_)
            | zbus::Error::Handshake(_) => Failure::new(
                Code::Unreachable,
                format!("the system bus cannot be reached: {error}"),
            )
            .advise("Is this a Holdfast device, and has it started up?"),
            zbus::Error::FDO(ref reply)
                if matches!(
                    **reply,
                    zbus::fdo::Error::ServiceUnknown(_)
                        | zbus::fdo::Error::NameHasNoOwner(_)
                        | zbus::fdo::Error::NoReply(_)
                        | zbus::fdo::Error::TimedOut(_)
                        | zbus::fdo::Error::Timeout(_)
                ) =>
            {
                let Self { name, unit, .. } = self;
                Failure::new(Code::Unreachable, format!("the {name} does not answer: {error}"))
                    .advise(format!("Look at it: systemctl status {unit}; journalctl -u {unit}"))
            }
            error => Failure::new(Code::Failed, error.to_string()),
        }
    }

    /// The error that it answered with.
    pub(crate) fn answered(self, error: CallError) -> Failure {
        let CallError { kind, message } = error;
        match kind {
            ErrorKind::AccessDenied => Failure::new(Code::Refused, message)
                .advise(format!("{}; group membership counts from the next login.", self.roles)),
            ErrorKind::NotOurs => Failure::new(Code::Refused, message),
            ErrorKind::NotReady => Failure::new(Code::Failed, message)
                .advise("`holdfast status` says how far the device is."),
            ErrorKind::Tpm => Failure::new(Code::Failed, message)
                .advise("`holdfast check tpm` says more about the TPM."),
            ErrorKind::InvalidArgs | ErrorKind::AuditUnavailable | ErrorKind::Failed => {
                Failure::new(Code::Failed, message)
            }
        }
    }

    /// An answer that this program does not understand.
    pub(crate) fn odd(self, error: &serde_json::Error) -> Failure {
        Failure::new(Code::Failed, format!("the {} answered oddly: {error}", self.name))
            .advise("Use the holdfast program of the same release as the service.")
    }
}
