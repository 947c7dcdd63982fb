//! From errors to what the state machine and the operator make of them.

use holdfast_tpm::TpmError;

use crate::edge_id::{EdgeIdUnusable, MachineUnusable};
use crate::est::EnrolError;
use crate::pairing::PairingUnusable;
use crate::peer::PeerError;
use crate::state::{Event, Problem};
use crate::store::StoreError;
use crate::tpm_owner::TpmGone;

pub(super) fn failed(code: &str, error: &dyn std::fmt::Display) -> Event {
    Event::Failed(Problem::new(code, error.to_string()))
}

impl From<PeerError> for Event {
    fn from(error: PeerError) -> Self {
        let (code, next) = match &error {
            PeerError::Unreachable { .. } => (
                "server-unreachable",
                "check the network, the connector's address in site.toml and that it runs",
            ),
            PeerError::NotTrusted { .. } => (
                "server-not-trusted",
                "the connector must show a certificate of the site's trust anchors; if it does, \
                 check the device's clock and what stands between the two",
            ),
            PeerError::CertificateRejected { .. } => {
                ("certificate-rejected", "the device asks for a new certificate by itself")
            }
            PeerError::Protocol { .. } => (
                "server-protocol",
                "check that the address in site.toml is a Holdfast connector of a fitting version",
            ),
        };
        let problem = Problem::new(code, format!("{error}; {next}"));
        match error {
            PeerError::CertificateRejected { .. } => Self::CertificateRejected(problem),
            _ => Self::Unreachable { problem, retry_after: None },
        }
    }
}

impl From<TpmError> for Event {
    fn from(error: TpmError) -> Self {
        match error {
            TpmError::Open { .. } => failed("tpm-unavailable", &error),
            _ => failed("tpm-failed", &format!("the TPM failed: {error}")),
        }
    }
}

impl From<TpmGone> for Event {
    fn from(error: TpmGone) -> Self {
        failed("tpm-unavailable", &error)
    }
}

impl From<StoreError> for Event {
    fn from(error: StoreError) -> Self {
        if error.is_permanent() {
            Self::Broken(Problem::new("state-damaged", error.to_string()))
        } else {
            let text = format!("cannot use the state folder: {error}; check /var and its space");
            failed("state-unwritable", &text)
        }
    }
}

impl From<EdgeIdUnusable> for Event {
    fn from(error: EdgeIdUnusable) -> Self {
        match error {
            EdgeIdUnusable::Unreadable { .. } => failed("edge-id-unreadable", &error),
            EdgeIdUnusable::Invalid { .. } => {
                Self::Broken(Problem::new("edge-id-invalid", error.to_string()))
            }
        }
    }
}

impl From<MachineUnusable> for Event {
    fn from(error: MachineUnusable) -> Self {
        match error {
            MachineUnusable::Unreadable { .. } => failed("machine-id-unreadable", &error),
            MachineUnusable::Invalid { .. } => {
                Self::Broken(Problem::new("machine-id-invalid", error.to_string()))
            }
        }
    }
}

impl From<PairingUnusable> for Event {
    fn from(error: PairingUnusable) -> Self {
        Self::Broken(Problem::new("pairing-code-invalid", error.to_string()))
    }
}

impl From<EnrolError> for Event {
    fn from(error: EnrolError) -> Self {
        match error {
            EnrolError::Peer(error) => error.into(),
            EnrolError::Tpm(error) => error.into(),
            EnrolError::Gone(error) => error.into(),
            EnrolError::Request(_) | EnrolError::Key(_) => failed("request-failed", &error),
        }
    }
}
