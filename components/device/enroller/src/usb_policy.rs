//! Fetching what the cloud says of USB ports, and handing it to the USB daemon.
//!
//! The document is signed for this device, and the USB daemon judges it; here it is only passed on.

use std::time::Duration;

use holdfast_ipc::identity::{State, StatusPublisher};
use holdfast_ipc::usb::Usb1Proxy;
use holdfast_ipc::{CallError, ErrorKind};
use zbus::Connection;

use crate::device_api::{DeviceApi, PolicyReply};
use crate::keyring::Keyring;
use crate::peer::PeerError;
use crate::retry::{Curve, Jitter};

/// How often an identity to ask with is looked for.
const LOOK: Duration = Duration::from_secs(3);
/// How often the cloud is asked, give or take a tenth.
const PERIOD: Duration = Duration::from_secs(15 * 60);
/// How long the USB daemon may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why the policy was not passed on. It is tried again.
#[derive(Debug, thiserror::Error)]
enum PolicyError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("the connector refused: {code} (request {request_id})")]
    Refused { code: String, request_id: String },
    #[error("the USB daemon did not take it: {0}")]
    NotTaken(CallError),
}

/// The policy that the USB daemon has, as far as this daemon knows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Taken {
    device_id: String,
    version: u64,
}

/// The task.
pub struct UsbPolicy {
    keyring: Keyring,
    status: StatusPublisher,
    bus: Connection,
    taken: Option<Taken>,
    /// What was logged last.
    fault: Option<String>,
    failures: u32,
}

impl UsbPolicy {
    /// The task; the USB daemon is on this bus.
    pub fn new(keyring: Keyring, status: StatusPublisher, bus: Connection) -> Self {
        Self { keyring, status, bus, taken: None, fault: None, failures: 0 }
    }

    /// Asks and passes on for as long as the daemon lives.
    pub async fn run(mut self, jitter: &mut dyn Jitter) {
        loop {
            let result = self.look().await;
            let wait = self.wait_after(&result, jitter);
            tokio::time::sleep(wait).await;
        }
    }

    /// Whether the cloud was asked; not, while there is nobody to ask.
    async fn look(&mut self) -> Result<bool, PolicyError> {
        let status = self.status.status();
        if status.state != State::Active {
            return Ok(false);
        }
        let Some(connector) = self.keyring.keys().connector else { return Ok(false) };
        self.ask(&connector, status.device_id).await?;
        Ok(true)
    }

    async fn ask(&mut self, connector: &DeviceApi, device_id: String) -> Result<(), PolicyError> {
        let taken = self.taken.as_ref().filter(|taken| taken.device_id == device_id);
        match connector.ask_usb_policy(taken.map(|taken| taken.version)).await? {
            PolicyReply::Nothing | PolicyReply::Known => Ok(()),
            PolicyReply::Document(document) => {
                let version = self.hand_over(&document).await.map_err(PolicyError::NotTaken)?;
                tracing::info!("the USB daemon has version {version} of its policy");
                self.taken = Some(Taken { device_id, version });
                Ok(())
            }
            PolicyReply::Refused(rejection) => {
                Err(PolicyError::Refused { code: rejection.code, request_id: rejection.request_id })
            }
        }
    }

    async fn hand_over(&self, document: &str) -> Result<u64, CallError> {
        let call = async { Usb1Proxy::new(&self.bus).await?.apply_policy(document).await };
        match tokio::time::timeout(PATIENCE, call).await {
            Ok(Ok(version)) => Ok(version),
            Ok(Err(error)) => Err(CallError::from_reply(&error)
                .unwrap_or_else(|| CallError::new(ErrorKind::Failed, error.to_string()))),
            Err(_) => Err(CallError::new(ErrorKind::Failed, "it took too long")),
        }
    }

    /// How long to wait; says in the log what is wrong, once.
    fn wait_after(
        &mut self,
        result: &Result<bool, PolicyError>,
        jitter: &mut dyn Jitter,
    ) -> Duration {
        let period = |jitter: &mut dyn Jitter| PERIOD.mul_f64(0.9 + jitter.draw() / 5.0);
        let error = match result {
            Ok(was_asked) => {
                (self.fault, self.failures) = (None, 0);
                return if *was_asked { period(jitter) } else { LOOK };
            }
            Err(error) => error,
        };
        let text = error.to_string();
        if self.fault.as_ref() != Some(&text) {
            tracing::warn!("USB policy: {text}");
            self.fault = Some(text);
        }
        self.failures = self.failures.saturating_add(1);
        match error {
            PolicyError::Peer(_) => Curve::OFFLINE.wait(self.failures, None, jitter).max(LOOK),
            // The same document will not be better the next time.
            PolicyError::NotTaken(error) if error.kind == ErrorKind::InvalidArgs => period(jitter),
            PolicyError::Refused { .. } | PolicyError::NotTaken(_) => {
                Curve::REFUSAL.wait(self.failures, None, jitter).clamp(LOOK, PERIOD)
            }
        }
    }
}
