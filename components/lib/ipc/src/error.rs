//! The error that a call ends with, as it travels over the bus.

use std::borrow::Cow;

use zbus::{
    DBusError,
    message::{Header, Message},
    names::ErrorName,
};

/// What went wrong, by the stable name that clients may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The caller may not do this.
    AccessDenied,
    /// An argument is not acceptable.
    InvalidArgs,
    /// The device has no identity yet.
    NotReady,
    /// The sealed bytes were made by another TPM, for another system, or are damaged.
    NotOurs,
    /// The TPM did not answer or refused.
    Tpm,
    /// The audit record could not be written, so that nothing was done.
    AuditUnavailable,
    /// Anything else.
    Failed,
}

impl ErrorKind {
    const ALL: [Self; 7] = [
        Self::AccessDenied,
        Self::InvalidArgs,
        Self::NotReady,
        Self::NotOurs,
        Self::Tpm,
        Self::AuditUnavailable,
        Self::Failed,
    ];

    /// The D-Bus error name.
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessDenied => "org.freedesktop.DBus.Error.AccessDenied",
            Self::InvalidArgs => "org.freedesktop.DBus.Error.InvalidArgs",
            Self::NotReady => "org.holdfast.Error.NotReady",
            Self::NotOurs => "org.holdfast.Error.NotOurs",
            Self::Tpm => "org.holdfast.Error.Tpm",
            Self::AuditUnavailable => "org.holdfast.Error.AuditUnavailable",
            Self::Failed => "org.freedesktop.DBus.Error.Failed",
        }
    }

    /// The kind that a D-Bus error name stands for.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Error of a method call: a stable kind and a text for people that says what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// What went wrong.
    pub kind: ErrorKind,
    /// For people.
    pub message: String,
}

impl CallError {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Reads the error that a proxy returned, if it is the peer's answer; `None` if the call did
    /// not get that far (no bus, no service, no answer).
    pub fn from_reply(error: &zbus::Error) -> Option<Self> {
        let (name, message): (Cow<'_, str>, _) = match error {
            zbus::Error::MethodError(name, message, _) => {
                (name.as_str().to_owned().into(), message.clone())
            }
            zbus::Error::FDO(error) => {
                (error.name().as_str().to_owned().into(), error.description().map(str::to_owned))
            }
            _ => return None,
        };
        Some(Self::new(ErrorKind::from_name(&name)?, message.unwrap_or_default()))
    }
}

impl DBusError for CallError {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        Message::error(call, self.name()).build(&self.message)
    }

    fn name(&self) -> ErrorName<'_> {
        ErrorName::from_static_str_unchecked(self.kind.name())
    }

    fn description(&self) -> Option<&str> {
        Some(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_and_lead_back() {
        for kind in ErrorKind::ALL {
            assert!(ErrorName::try_from(kind.name()).is_ok(), "{kind:?}");
            assert_eq!(ErrorKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(ErrorKind::from_name("org.freedesktop.DBus.Error.ServiceUnknown"), None);
    }
}
