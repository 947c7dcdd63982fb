//! What a running server does for itself: it renews its certificate, and takes over an authority
//! that was rolled over in its data folder.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use super::StartError;
use crate::app::App;
use crate::ca::{Authority, CaError, DeviceProfile, Passphrase, ServerCertificate, ServerNames};
use crate::data::DataFolder;
use crate::tls::{ServerIdentity, SharedTls, device_config, enrolment_config};

/// Rest of the issuing CA's life at which the log asks for a roll-over: two lives of a device
/// certificate.
const ISSUING_WARNING: time::Duration = time::Duration::days(180);
/// How often the server's certificate is looked at.
const RENEWAL_CHECK: Duration = Duration::from_secs(6 * 3600);
/// How often the authority's files are looked at.
const AUTHORITY_CHECK: Duration = Duration::from_secs(2);

/// What hangs on the authority, and what is needed to open it again.
pub(super) struct Upkeep {
    pub app: App,
    pub data: DataFolder,
    pub names: ServerNames,
    pub passphrase: Option<Passphrase>,
    pub device: DeviceProfile,
    pub identity: Arc<ServerIdentity>,
    pub tls: ClientTls,
    /// Held while certificates are exchanged.
    pub turn: Mutex<()>,
}

/// Configurations of the listeners that verify client certificates.
#[derive(Clone)]
pub(super) struct ClientTls {
    pub est: Arc<SharedTls>,
    pub device: Arc<SharedTls>,
}

impl ClientTls {
    pub(super) fn new(
        identity: &Arc<ServerIdentity>,
        authority: &Authority,
    ) -> Result<Self, StartError> {
        let anchors = authority.anchors();
        let est = enrolment_config(Arc::clone(identity), &anchors)?;
        let device = device_config(Arc::clone(identity), &anchors)?;
        let shared = |config| Arc::new(SharedTls::new(config));
        Ok(Self { est: shared(est), device: shared(device) })
    }
}

async fn stop(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

impl Upkeep {
    /// Until the server stops.
    pub(super) async fn run(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut renewal = interval_at(Instant::now() + RENEWAL_CHECK, RENEWAL_CHECK);
        let mut authority = interval(AUTHORITY_CHECK);
        authority.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut complaint = String::new();
        loop {
            tokio::select! {
                () = stop(&mut stopped) => return,
                _ = renewal.tick() => {
                    if let Err(error) = self.renew().await {
                        tracing::error!(%error, "the server's certificate could not be renewed");
                    }
                }
                _ = authority.tick() => {
                    let error = self.take_over().await.err().map(|e| e.to_string());
                    let error = error.unwrap_or_default();
                    if error != complaint && !error.is_empty() {
                        tracing::error!(error, "the authority's files changed and cannot be used; \
                            the server goes on with what it has");
                    }
                    complaint = error;
                }
            }
        }
    }

    async fn renew(&self) -> Result<(), StartError> {
        let _turn = self.turn.lock().await;
        let certificate =
            server_certificate(&self.app.authority(), &self.data, &self.names, self.app.now())?;
        Ok(self.identity.replace(certificate)?)
    }

    /// Uses the authority of the data folder if it is another one; says whether it is.
    pub(super) async fn take_over(&self) -> Result<bool, StartError> {
        let _turn = self.turn.lock().await;
        let folder = self.data.authority();
        let roster = folder.roster()?;
        if roster == *self.app.authority().roster() {
            return Ok(false);
        }
        let passphrase = self.passphrase.clone();
        // Opening an encrypted key takes a second of a processor.
        let opening = move || Authority::open(&folder, roster, passphrase.as_ref());
        let authority =
            tokio::task::spawn_blocking(opening).await??.with_device_profile(self.device.clone());
        let certificate = server_certificate(&authority, &self.data, &self.names, self.app.now())?;
        let tls = ClientTls::new(&self.identity, &authority)?;
        tracing::info!(
            root = %authority.roster().root.certificate.id(),
            issuing = %authority.roster().current()?.certificate.id(),
            "took over the authority that was changed in the data folder"
        );
        self.identity.replace(certificate)?;
        self.tls.est.replace_with(&tls.est);
        self.tls.device.replace_with(&tls.device);
        self.app.authorities.replace(authority);
        Ok(true)
    }
}

/// The server's certificate, made anew when its time comes.
pub(super) fn server_certificate(
    authority: &Authority,
    data: &DataFolder,
    names: &ServerNames,
    now: time::OffsetDateTime,
) -> Result<ServerCertificate, CaError> {
    let ends = authority.issuing_ends();
    if ends - now < ISSUING_WARNING {
        tracing::warn!(%ends, "the issuing CA nears its end: run holdfast-cloud ca roll-issuing");
    }
    let root_ends = authority.roster().root.certificate.not_after();
    if root_ends - now < ISSUING_WARNING * 4 {
        tracing::warn!(ends = %root_ends, "the root nears its end: run holdfast-cloud ca roll-root");
    }
    ServerCertificate::open_or_issue(&data.tls(), authority, names, now)
}
