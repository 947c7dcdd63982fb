//! How a command ends.

use std::{fmt, process::ExitCode};

use holdfast_ipc::CallError;

use crate::service::Service;

/// Exit codes; part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Done.
    Ok = 0,
    /// Failed, or a check failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Refused: the caller may not, or this device cannot open the file.
    Refused = 3,
    /// The service or the bus cannot be reached.
    Unreachable = 4,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// A command that did not succeed: what happened and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How the process ends.
    pub code: Code,
    /// What happened.
    pub text: String,
    /// What to do next.
    pub advice: Option<String>,
}

impl Failure {
    /// A failure without advice.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), advice: None }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::text::printable(&self.text))?;
        match &self.advice {
            Some(advice) => write!(f, "\n  {advice}"),
            None => Ok(()),
        }
    }
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        Service::IDENTITY.failure(error)
    }
}

impl From<zbus::fdo::Error> for Failure {
    fn from(error: zbus::fdo::Error) -> Self {
        match error {
            zbus::fdo::Error::ZBus(error) => error.into(),
            error => zbus::Error::from(error).into(),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Service::IDENTITY.answered(error)
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use holdfast_ipc::ErrorKind;
    use zbus::fdo;

    use super::*;

    #[test]
    fn codes_of_answers() {
        let table = [
            (ErrorKind::AccessDenied, Code::Refused),
            (ErrorKind::NotOurs, Code::Refused),
            (ErrorKind::NotReady, Code::Failed),
            (ErrorKind::InvalidArgs, Code::Failed),
            (ErrorKind::Tpm, Code::Failed),
            (ErrorKind::AuditUnavailable, Code::Failed),
        ];
        for (kind, code) in table {
            assert_eq!(Failure::from(CallError::new(kind, "x")).code, code, "{kind:?}");
        }
    }

    #[test]
    fn the_service_that_was_asked_is_named() {
        let unknown = fdo::Error::ServiceUnknown("x".into());
        let failure = Service::USB.failure(zbus::Error::FDO(Box::new(unknown)));
        assert!(failure.text.starts_with("the USB service does not answer"), "{failure}");
        assert!(failure.advice.unwrap().contains("systemctl status holdfast-usb;"));
        let refused = Service::USB.answered(CallError::new(ErrorKind::AccessDenied, "no"));
        assert_eq!(refused.code, Code::Refused);
        assert!(refused.advice.unwrap().contains("--permanent holdfast-admin"));
    }

    #[test]
    fn codes_without_an_answer() {
        let fdo = |error| zbus::Error::FDO(Box::new(error));
        let table = [
            (fdo(fdo::Error::ServiceUnknown("x".into())), Code::Unreachable),
            (fdo(fdo::Error::NoReply("x".into())), Code::Unreachable),
            (fdo(fdo::Error::AccessDenied("x".into())), Code::Refused),
            (
                zbus::Error::InputOutput(Arc::new(io::Error::from(io::ErrorKind::NotFound))),
                Code::Unreachable,
            ),
            (fdo(fdo::Error::UnknownMethod("x".into())), Code::Failed),
        ];
        for (error, code) in table {
            assert_eq!(Failure::from(error.clone()).code, code, "{error}");
        }
    }
}
