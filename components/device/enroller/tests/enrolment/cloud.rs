//! A connector on loopback, operated through its own command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use clap::Parser as _;
use holdfast_attestation::pcr::{PhaseMeasurement, ReleaseMeasurement};
use holdfast_cloud::ca::{Passphrases, ServerCertificate, ServerNames};
use holdfast_cloud::cli::{Arguments, Client, run};
use holdfast_cloud::clock::{Clock, SystemClock};
use holdfast_cloud::data::DataFolder;
use holdfast_cloud::est::EnrolmentRates;
use holdfast_cloud::server::{Configuration, Server};
use holdfast_cloud::store::{AuditFilter, DeviceFilter};
use holdfast_cloud::tls::{
    Listener, Rate, ServerIdentity, Timeouts, device_config, enrolment_config,
};
use holdfast_cloud::{device_api, est};
use p256::pkcs8::EncodePrivateKey as _;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// PCR 11 of the release that the connector knows.
pub const KERNEL_PCR: [u8; 32] = [0x11; 32];

pub struct Cloud {
    folder: tempfile::TempDir,
    clock: Arc<TravelClock>,
    addresses: [SocketAddr; 3],
    server: Option<Server>,
    future: Option<Future>,
}

/// Device-facing listeners whose TLS lives in the connector's time.
struct Future {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Runs as the machine's, some seconds ahead of it: rate limits and the device's waits agree.
#[derive(Debug, Default)]
struct TravelClock {
    ahead: AtomicI64,
}

impl Clock for TravelClock {
    fn now(&self) -> OffsetDateTime {
        SystemClock.now() + time::Duration::seconds(self.ahead.load(Ordering::SeqCst))
    }
}

#[derive(Debug)]
struct CloudTime(Arc<TravelClock>);

impl TimeProvider for CloudTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().unix_timestamp()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

const ANYWHERE: &str = "127.0.0.1:0";
const GENEROUS: Rate = Rate { burst: 10_000, per_minute: 10_000 };
pub const GENEROUS_RATES: EnrolmentRates = EnrolmentRates { source: GENEROUS, device: GENEROUS };
const TIMEOUTS: Timeouts = Timeouts {
    handshake: Duration::from_secs(60),
    idle: Duration::from_secs(60),
    write: Duration::from_secs(60),
};

fn names() -> ServerNames {
    ServerNames::new(std::iter::empty()).unwrap()
}

impl Cloud {
    /// Starts a connector whose clock is right.
    pub async fn start() -> Self {
        let mut cloud = Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::default(),
            addresses: [ANYWHERE.parse().unwrap(); 3],
            server: None,
            future: None,
        };
        cloud.resume().await;
        cloud
    }

    /// Starts the server again at the same addresses.
    pub async fn resume(&mut self) {
        let server = self.serve(self.addresses).await;
        let endpoints = server.endpoints();
        self.addresses = [endpoints.est, endpoints.device, endpoints.management];
        self.server = Some(server);
    }

    /// Moves on by some days: the server stops and comes back later, at the same addresses.
    pub async fn travel(&mut self, days: i64) {
        if self.server.is_some() {
            self.stop().await;
        }
        self.clock.ahead.fetch_add(days * 86_400, Ordering::SeqCst);
        let server = self.serve([ANYWHERE.parse().unwrap(); 3]).await;
        let app = server.app();
        let tls = DataFolder::at(&self.data()).tls();
        let authority = app.authority();
        let certificate =
            ServerCertificate::open_or_issue(&tls, &authority, &names(), app.now()).unwrap();
        let identity = Arc::new(ServerIdentity::new(certificate).unwrap());
        let anchors = authority.anchors();
        let time = Arc::new(CloudTime(Arc::clone(&self.clock)));

        let mut est_tls = enrolment_config(Arc::clone(&identity), &anchors).unwrap();
        est_tls.time_provider = time.clone();
        let est_router = est::router(app, GENEROUS_RATES);
        let est =
            Listener::<est::Session>::bind("est", self.addresses[0], est_tls, est_router, TIMEOUTS);
        let mut device_tls = device_config(identity, &anchors).unwrap();
        device_tls.time_provider = time;
        let device_router = device_api::router(app);
        let device =
            Listener::<()>::bind("device", self.addresses[1], device_tls, device_router, TIMEOUTS);
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(est.await.unwrap().serve(stopped.clone()));
        tasks.spawn(device.await.unwrap().serve(stopped));
        self.future = Some(Future { stop, tasks });
        self.server = Some(server);
    }

    async fn serve(&self, [est, device, management]: [SocketAddr; 3]) -> Server {
        let configuration = Configuration {
            data: self.data(),
            est,
            device,
            management,
            public: None,
            names: names(),
            passphrases: Passphrases::default(),
            rates: GENEROUS_RATES,
        };
        Server::start(configuration, self.clock.clone()).await.unwrap()
    }

    pub async fn stop(&mut self) {
        if let Some(Future { stop, mut tasks }) = self.future.take() {
            stop.send(true).unwrap();
            while tasks.join_next().await.is_some() {}
        }
        self.server.take().unwrap().stop().await;
    }

    /// Publishes a release and makes a site configuration.
    pub async fn make_site(&self) -> PathBuf {
        make_site(self.folder.path(), &self.data(), self.addresses[0], self.addresses[1]).await
    }

    /// Runs a command of `holdfast-cloud`, which must succeed.
    pub async fn operate(&self, arguments: &[&str]) {
        operate(&self.data(), arguments).await;
    }

    /// Asks the management API.
    pub async fn get(&self, path: &str) -> Value {
        get(&self.data(), path).await
    }

    /// Posts to the management API.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        client(&self.data()).post(path, body).await.unwrap()
    }

    /// The devices of the registry, as (device id, state).
    pub async fn devices(&self) -> Vec<(String, String)> {
        let store = &self.server.as_ref().unwrap().app().store;
        let devices =
            store.devices(DeviceFilter { limit: 100, ..DeviceFilter::default() }).await.unwrap();
        devices
            .into_iter()
            .map(|device| (device.id.to_string(), device.state.to_string()))
            .collect()
    }

    /// How often the audit has an action.
    pub async fn acts(&self, action: &str) -> usize {
        let store = &self.server.as_ref().unwrap().app().store;
        let filter = AuditFilter { limit: 1000, ..AuditFilter::default() };
        let records = store.audit_records(filter).await.unwrap();
        records.iter().filter(|stored| stored.record.action().as_str() == action).count()
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Publishes a release and makes a site configuration with these addresses, in `folder`.
pub async fn make_site(folder: &Path, data: &Path, est: SocketAddr, device: SocketAddr) -> PathBuf {
    let release = folder.join("release.json");
    let measurement = ReleaseMeasurement {
        format: ReleaseMeasurement::FORMAT,
        name: "holdfast".into(),
        version: "0.1.0".into(),
        profile: "release".into(),
        security_version: 1,
        pcr11: vec![PhaseMeasurement { phase: "enter-initrd".into(), sha256: kernel_pcr() }],
        uki_sha256: [1; 32],
        root_hash: [2; 32],
    };
    std::fs::write(&release, serde_json::to_vec(&measurement).unwrap()).unwrap();
    operate(data, &["release", "publish", release.to_str().unwrap()]).await;

    let key = folder.join("site-signing.key");
    let pem = p256::SecretKey::random(&mut rand_core::OsRng)
        .to_pkcs8_pem(p256::pkcs8::LineEnding::LF)
        .unwrap();
    std::fs::write(&key, pem.as_bytes()).unwrap();
    let site = folder.join("site.toml");
    let [enrol_url, device_url] = [est, device].map(|address| format!("https://{address}"));
    let arguments = [
        ["site", "new"],
        ["--tenant", "demo"],
        ["--edge-id-source", "dmi-serial"],
        ["--enrol-url", &enrol_url],
        ["--device-url", &device_url],
        ["--key", key.to_str().unwrap()],
        ["--out", site.to_str().unwrap()],
    ];
    operate(data, arguments.as_flattened()).await;
    site
}

/// Runs a command of `holdfast-cloud` on a data folder, which must succeed.
pub async fn operate(data: &Path, arguments: &[&str]) {
    let program = ["holdfast-cloud", "--data", data.to_str().unwrap()];
    let all = program.iter().chain(arguments);
    let code = run(Arguments::try_parse_from(all).unwrap()).await;
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS), "{arguments:?}");
}

/// Asks the management API of the server with this data folder.
pub async fn get(data: &Path, path: &str) -> Value {
    client(data).get(path).await.unwrap()
}

fn client(data: &Path) -> Client {
    let folder = DataFolder::at(data);
    let root = std::fs::read(folder.root_certificate()).unwrap();
    let key = std::fs::read_to_string(folder.admin_key()).unwrap();
    let server = format!("https://{}", folder.read_endpoints().unwrap().management);
    Client::new(&server, &root, key.trim()).unwrap()
}

/// The value of PCR 11 after [`KERNEL_PCR`] was extended into it.
fn kernel_pcr() -> [u8; 32] {
    holdfast_attestation::hash::sha256(&[&[0; 32], &KERNEL_PCR])
}

/// The SHA-256 of a file, as it is measured.
pub fn measurement(path: &Path) -> [u8; 32] {
    holdfast_attestation::hash::sha256(&[&std::fs::read(path).unwrap()])
}
