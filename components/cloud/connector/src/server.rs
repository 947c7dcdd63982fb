//! The server: wires store, authority and listeners together, runs and stops them.

mod upkeep;

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use self::upkeep::{ClientTls, Upkeep, server_certificate};
use crate::app::App;
use crate::ca::{
    CaError, CurrentAuthority, DeviceProfile, Passphrases, PublicUrl, RosterError, ServerNames,
};
use crate::clock::SharedClock;
use crate::data::{DataError, DataFolder, Endpoints};
use crate::device_audit::{DeviceAudit, DeviceAuditError};
use crate::est::EnrolmentRates;
use crate::store::Store;
use crate::tls::{Listener, ServerIdentity, Timeouts, TlsError, Transport, management_config};
use crate::tokens::{KeyRing, TokenKeyError};
use crate::{device_api, est, management, public};

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
    /// Revocation lists and OCSP for third parties, if they are to be served.
    pub public: Option<PublicListener>,
    /// Names and addresses under which the server is reached.
    pub names: ServerNames,
    /// Passphrases of the authority's keys.
    pub passphrases: Passphrases,
    /// How often devices may ask.
    pub rates: EnrolmentRates,
}

/// Where third parties learn whether a certificate is revoked.
#[derive(Clone, Debug)]
pub struct PublicListener {
    /// Address to listen on.
    pub address: SocketAddr,
    /// Its address as others see it; new certificates name it.
    pub url: Option<PublicUrl>,
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
    /// Its certificates.
    #[error("the authority's certificates: {0}")]
    Roster(#[from] RosterError),
    /// Opening it was cut off.
    #[error("the authority could not be opened: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The keys that sign tokens.
    #[error(transparent)]
    TokenKeys(#[from] TokenKeyError),
    /// The audit logs of devices.
    #[error(transparent)]
    DeviceAudit(#[from] DeviceAuditError),
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
    upkeep: Arc<Upkeep>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    _lock: File,
}

/// A peer that reads nothing for so long is gone, or wants to hold what the server has.
const WRITE: Duration = Duration::from_secs(60);
/// Devices keep a connection for their next request; a TPM signs a few times per second only.
const DEVICE_TIMEOUTS: Timeouts = Timeouts {
    handshake: Duration::from_secs(20),
    idle: Duration::from_secs(20 * 60),
    write: WRITE,
};
/// The TPM works between the two requests of an enrolment, for some seconds on slow chips.
const EST_TIMEOUTS: Timeouts =
    Timeouts { handshake: Duration::from_secs(20), idle: Duration::from_secs(120), write: WRITE };
const MANAGEMENT_TIMEOUTS: Timeouts =
    Timeouts { handshake: Duration::from_secs(10), idle: Duration::from_secs(60), write: WRITE };
/// Who fetches a list has no reason to stay.
const PUBLIC_TIMEOUTS: Timeouts =
    Timeouts { handshake: Duration::from_secs(10), idle: Duration::from_secs(30), write: WRITE };

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
        let device = device_profile(&configuration);
        let authority = authority.with_device_profile(device.clone());
        let certificate = server_certificate(&authority, &data, &configuration.names, now)?;
        let token_keys = KeyRing::open_or_create(&data.token_keys(), now)?;
        let identity = Arc::new(ServerIdentity::new(certificate)?);
        let tls = ClientTls::new(&identity, &authority)?;
        let authorities = Arc::new(CurrentAuthority::new(authority));
        let token_keys = Arc::new(token_keys);
        let store: Arc<dyn Store> = Arc::new(store);
        let device_audit = DeviceAudit::open(&data.device_audit(), &store, now).await?;
        let device_audit = Arc::new(device_audit);
        let app = App { store, authorities, token_keys, device_audit, clock };

        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let upkeep = Arc::new(Upkeep {
            app: app.clone(),
            data: data.clone(),
            names: configuration.names.clone(),
            passphrase: configuration.passphrases.issuing.clone(),
            device,
            identity,
            tls,
            turn: Mutex::default(),
        });
        let endpoints = listen(&configuration, &upkeep, &stopped, &mut tasks).await?;
        data.write_endpoints(&endpoints)?;
        tasks.spawn(Arc::clone(&upkeep).run(stopped));
        tracing::info!(
            est = %endpoints.est,
            device = %endpoints.device,
            management = %endpoints.management,
            public = endpoints.public.map(tracing::field::display),
            "serving"
        );
        Ok(Self { endpoints, app, upkeep, stop, tasks, _lock: lock })
    }

    /// Where it listens.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// What its listeners share.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Takes over an authority that was changed in the data folder, without waiting until the
    /// server looks by itself; says whether it was.
    pub async fn reload_authority(&self) -> Result<bool, StartError> {
        self.upkeep.take_over().await
    }

    /// Lets running requests end, then ends.
    pub async fn stop(mut self) {
        tracing::info!("stopping");
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
        // The store's thread writes what is queued before its handle is gone.
        let rest = (self.app, self.upkeep);
        let _ = tokio::task::spawn_blocking(move || drop(rest)).await;
        tracing::info!("stopped");
    }
}

async fn listen(
    configuration: &Configuration,
    upkeep: &Upkeep,
    stopped: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> Result<Endpoints, StartError> {
    let Upkeep { app, identity, tls, .. } = upkeep;
    let address = configuration.est;
    let router = est::router(app, configuration.rates);
    let est = Arc::clone(&tls.est);
    let listener = Listener::<est::Session>::bind("est", address, est, router, EST_TIMEOUTS).await;
    let est = spawn(listener, "est", address, stopped, tasks)?;

    let address = configuration.device;
    let (device, router) = (Arc::clone(&tls.device), device_api::router(app));
    let listener = Listener::<()>::bind("device", address, device, router, DEVICE_TIMEOUTS).await;
    let device = spawn(listener, "device", address, stopped, tasks)?;

    let address = configuration.management;
    let tls = management_config(Arc::clone(identity))?;
    let router = management::router(app);
    let listener =
        Listener::<()>::bind("management", address, tls, router, MANAGEMENT_TIMEOUTS).await;
    let management = spawn(listener, "management", address, stopped, tasks)?;

    let public = match &configuration.public {
        None => None,
        Some(PublicListener { address, .. }) => {
            let (address, router) = (*address, public::router(app));
            let listener =
                Listener::<()>::bind("public", address, Transport::Plain, router, PUBLIC_TIMEOUTS);
            Some(spawn(listener.await, "public", address, stopped, tasks)?)
        }
    };
    Ok(Endpoints { est, device, management, public })
}

fn device_profile(configuration: &Configuration) -> DeviceProfile {
    let public_url = configuration.public.as_ref().and_then(|public| public.url.clone());
    DeviceProfile { public_url, ..DeviceProfile::default() }
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
