//! The server: wires store, authority and listeners together, runs and stops them.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::App;
use crate::ca::{CaError, Passphrases, ServerCertificate, ServerNames};
use crate::clock::SharedClock;
use crate::data::{DataError, DataFolder, Endpoints};
use crate::est::EnrolmentRates;
use crate::tls::{
    Listener, ServerIdentity, Timeouts, TlsError, device_config, enrolment_config,
    management_config,
};
use crate::{device_api, est, management};

/// How a server is to run.
#[derive(Clone)]
pub struct Configuration {
    /// Data folder.
    pub data: PathBuf,
    /// Address of the enrolment listener.
    pub est: SocketAddr,
    /// Address of the device API.
    pub device: SocketAddr,
    /// Address of the management API.
    pub management: SocketAddr,
    /// Names and addresses under which the server is reached.
    pub names: ServerNames,
    /// Passphrases of the authority's keys.
    pub passphrases: Passphrases,
    /// How often devices may ask.
    pub rates: EnrolmentRates,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The certificate authority.
    #[error(transparent)]
    Authority(#[from] CaError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address.
    #[error("cannot listen on {address} for {listener}: {source}")]
    Listen {
        /// Which listener.
        listener: &'static str,
        /// Address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A running server.
pub struct Server {
    endpoints: Endpoints,
    app: App,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    _lock: File,
}

/// Devices keep a connection for their next request; a TPM signs a few times per second only.
const DEVICE_TIMEOUTS: Timeouts =
    Timeouts { handshake: Duration::from_secs(20), idle: Duration::from_secs(20 * 60) };
/// The TPM works between the two requests of an enrolment, for some seconds on slow chips.
const EST_TIMEOUTS: Timeouts =
    Timeouts { handshake: Duration::from_secs(20), idle: Duration::from_secs(120) };
const MANAGEMENT_TIMEOUTS: Timeouts =
    Timeouts { handshake: Duration::from_secs(10), idle: Duration::from_secs(60) };

/// Rest of the issuing CA's life at which the log asks for a roll-over: two lives of a device
/// certificate.
const ISSUING_WARNING: time::Duration = time::Duration::days(180);

/// How often the server's certificate is looked at.
const RENEWAL_CHECK: Duration = Duration::from_secs(6 * 3600);

impl Server {
    /// Opens the data folder, or makes it, and listens.
    pub async fn start(
        configuration: Configuration,
        clock: SharedClock,
    ) -> Result<Self, StartError> {
        let data = DataFolder::at(&configuration.data);
        data.create()?;
        let lock = data.lock()?;
        let now = clock.now();
        let (authority, store) = data.open(&configuration.passphrases, now).await?;
        data.ensure_admin_key(&store, now).await?;
        let app = App { store: Arc::new(store), authority: Arc::new(authority), clock };

        let certificate = server_certificate(&app, &data, &configuration.names)?;
        let identity = Arc::new(ServerIdentity::new(certificate)?);
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let endpoints = listen(&configuration, &app, &identity, &stopped, &mut tasks).await?;
        data.write_endpoints(&endpoints)?;
        let names = configuration.names;
        tasks.spawn(renew(app.clone(), data, names, identity, stopped));
        tracing::info!(
            est = %endpoints.est,
            device = %endpoints.device,
            management = %endpoints.management,
            "serving"
        );
        Ok(Self { endpoints, app, stop, tasks, _lock: lock })
    }

    /// Where it listens.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// What its listeners share.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Lets running requests end, then ends.
    pub async fn stop(mut self) {
        tracing::info!("stopping");
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
        // The store's thread writes what is queued before its handle is gone.
        let app = self.app;
        let _ = tokio::task::spawn_blocking(move || drop(app)).await;
        tracing::info!("stopped");
    }
}

async fn listen(
    configuration: &Configuration,
    app: &App,
    identity: &Arc<ServerIdentity>,
    stopped: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> Result<Endpoints, StartError> {
    // A device may send its own certificate without the issuing CA's: both are anchors.
    let anchors = [app.authority.root().clone(), app.authority.issuing().clone()];

    let address = configuration.est;
    let tls = enrolment_config(Arc::clone(identity), &anchors)?;
    let router = est::router(app, configuration.rates);
    let listener = Listener::<est::Session>::bind("est", address, tls, router, EST_TIMEOUTS).await;
    let est = spawn(listener, "est", address, stopped, tasks)?;

    let address = configuration.device;
    let tls = device_config(Arc::clone(identity), &anchors)?;
    let listener =
        Listener::<()>::bind("device", address, tls, device_api::router(app), DEVICE_TIMEOUTS);
    let device = spawn(listener.await, "device", address, stopped, tasks)?;

    let address = configuration.management;
    let tls = management_config(Arc::clone(identity))?;
    let router = management::router(app);
    let listener =
        Listener::<()>::bind("management", address, tls, router, MANAGEMENT_TIMEOUTS).await;
    let management = spawn(listener, "management", address, stopped, tasks)?;
    Ok(Endpoints { est, device, management })
}

fn spawn<S: Default + Send + Sync + 'static>(
    listener: std::io::Result<Listener<S>>,
    name: &'static str,
    address: SocketAddr,
    stopped: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> Result<SocketAddr, StartError> {
    let failed = |source| StartError::Listen { listener: name, address, source };
    let listener = listener.map_err(failed)?;
    let bound = listener.address().map_err(failed)?;
    tasks.spawn(listener.serve(stopped.clone()));
    Ok(bound)
}

/// The server's certificate, made anew when its time comes.
fn server_certificate(
    app: &App,
    data: &DataFolder,
    names: &ServerNames,
) -> Result<ServerCertificate, CaError> {
    let ends = app.authority.issuing_ends();
    if ends - app.now() < ISSUING_WARNING {
        tracing::warn!(%ends, "the issuing CA nears its end: roll it over with the root's key");
    }
    ServerCertificate::open_or_issue(&data.tls(), &app.authority, names, app.now())
}

/// Renews the server's certificate while the server runs.
async fn renew(
    app: App,
    data: DataFolder,
    names: ServerNames,
    identity: Arc<ServerIdentity>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(RENEWAL_CHECK) => {}
        }
        let renewed = server_certificate(&app, &data, &names)
            .map_err(StartError::from)
            .and_then(|certificate| Ok(identity.replace(certificate)?));
        if let Err(error) = renewed {
            tracing::error!(%error, "the server's certificate could not be renewed");
        }
    }
}
