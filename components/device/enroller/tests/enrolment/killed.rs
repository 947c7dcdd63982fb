//! kill -9 of the device's daemon and of the connector, both as processes, at each step at which
//! one side has done something that the other has not heard of. Always in the end: one identity,
//! nothing left over, no device lost.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_cloud::ca::{Passphrases, ServerNames};
use holdfast_cloud::clock::SystemClock;
use holdfast_cloud::data::{DataFolder, Endpoints};
use holdfast_cloud::server::{Configuration, Server};
use holdfast_enroll::certificate::Chain;

use crate::cloud::{self, GENEROUS_RATES};
use crate::device::Device;
use crate::forwarder::Forwarder;

/// The connector's data folder and addresses, for the process that serves it.
const DATA: &str = "HOLDFAST_TEST_DATA";
const ADDRESSES: &str = "HOLDFAST_TEST_ADDRESSES";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listener {
    Est,
    Device,
}

/// A step by its name, and the answer that is kept back when it is reached.
type Step = (&'static str, Listener, usize);

/// Flights of a TLS 1.3 client: hello; Finished with the first request; each further request.
const STEPS: [Step; 4] = [
    ("enrolment listener greets", Listener::Est, 1),
    ("nonce given out", Listener::Est, 2),
    ("certificate issued", Listener::Est, 3),
    ("certificate used for the first time", Listener::Device, 2),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Enroller,
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Enrolment,
    Renewal,
}

/// The connector as a process of its own, which is this program started again.
struct ServerProcess {
    data: PathBuf,
    addresses: String,
    child: Child,
}

impl ServerProcess {
    async fn start(data: &Path) -> Self {
        let any = "127.0.0.1:0 127.0.0.1:0 127.0.0.1:0".to_owned();
        let child = Self::spawn(data, &any);
        let mut process = Self { data: data.to_owned(), addresses: any, child };
        process.wait().await;
        let Endpoints { est, device, management, .. } = process.endpoints();
        process.addresses = format!("{est} {device} {management}");
        process
    }

    fn spawn(data: &Path, addresses: &str) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::connector_process", "--ignored", "--nocapture"])
            .env(DATA, data)
            .env(ADDRESSES, addresses)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn endpoints(&self) -> Endpoints {
        DataFolder::at(&self.data).read_endpoints().unwrap()
    }

    /// Until it answers.
    async fn wait(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let endpoints = DataFolder::at(&self.data).read_endpoints();
            if let Ok(Endpoints { management, .. }) = endpoints
                && tokio::net::TcpStream::connect(management).await.is_ok()
            {
                return;
            }
            assert!(self.child.try_wait().unwrap().is_none(), "the connector ended");
            assert!(Instant::now() < deadline, "the connector does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// At the same addresses.
    async fn restart(&mut self) {
        self.child = Self::spawn(&self.data, &self.addresses);
        self.wait().await;
    }

    /// SIGKILL.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the connector of the other tests here, which start and kill it"]
async fn connector_process() {
    let Ok(data) = std::env::var(DATA) else {
        return;
    };
    let addresses = std::env::var(ADDRESSES).unwrap();
    let addresses: Vec<SocketAddr> =
        addresses.split(' ').map(|address| address.parse().unwrap()).collect();
    let configuration = Configuration {
        data: data.into(),
        est: addresses[0],
        device: addresses[1],
        management: addresses[2],
        public: None,
        names: ServerNames::new(std::iter::empty()).unwrap(),
        passphrases: Passphrases::default(),
        rates: GENEROUS_RATES,
    };
    let _server = Server::start(configuration, Arc::new(SystemClock)).await.unwrap();
    std::future::pending::<()>().await;
}

struct Bench {
    server: ServerProcess,
    est: Forwarder,
    device_api: Forwarder,
    site: PathBuf,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(&folder.path().join("data")).await;
        let Endpoints { est, device, .. } = server.endpoints();
        let (est, device_api) = (Forwarder::start(est).await, Forwarder::start(device).await);
        let site =
            cloud::make_site(folder.path(), &server.data, est.address, device_api.address).await;
        Self { server, est, device_api, site, _folder: folder }
    }

    fn forwarder(&self, listener: Listener) -> &Forwarder {
        match listener {
            Listener::Est => &self.est,
            Listener::Device => &self.device_api,
        }
    }

    async fn run(&mut self, victim: Victim, phase: Phase, step: Step, serial: &str) {
        let (name, listener, flight) = step;
        let shown = format!("{victim:?} killed during {phase:?} at: {name}");
        let device = Device::new(serial, &self.site);
        let unknown = device.start();
        let ek = unknown.wait_for("enroller started").field("ek_sha256").to_owned();
        unknown.stop();
        let register = ["device", "register", serial, "--ek-sha256", &ek];
        cloud::operate(&self.server.data, &register).await;
        if phase == Phase::Enrolment {
            self.forwarder(listener).hold_answer(flight);
        }
        let mut daemon = device.start();
        if phase == Phase::Renewal {
            daemon.online();
            self.forwarder(listener).hold_answer(flight);
            let identity = device.identity().await;
            tokio::spawn(async move {
                // Whoever is killed, this call fails or succeeds; the device's state is judged.
                let _ = identity.renew().await;
            });
        }

        self.forwarder(listener).reached().await;
        match victim {
            Victim::Enroller => {
                drop(daemon);
                self.forwarder(listener).release();
                daemon = device.start();
                daemon.online();
            }
            Victim::Server => {
                self.server.kill();
                self.forwarder(listener).release();
                self.server.restart().await;
                if phase == Phase::Enrolment {
                    daemon.online();
                }
            }
        }
        self.judge(&device, serial, &shown).await;
        daemon.stop();
    }

    /// One identity, which can be renewed, and nothing beside it.
    async fn judge(&self, device: &Device, serial: &str, shown: &str) {
        let identity = device.identity().await;
        // An order that was on its way when the other side was killed may still be carried out.
        identity.renew().await.unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!(identity.state().await.unwrap(), "active", "{shown}");
        let detail = cloud::get(&self.server.data, &format!("/api/v1/devices/{serial}")).await;
        assert_eq!(detail["state"], "active", "{shown}");
        let chain = Chain::from_pem(&device.read_state("device.crt")).unwrap();
        assert_eq!(detail["id"], chain.device_id(), "{shown}");
        // The device writes the number with the sign byte of its DER.
        let serial_number = chain.serial();
        let serial_number = serial_number.strip_prefix("00").unwrap_or(&serial_number);
        assert_eq!(detail["certificates"][0]["serial"], serial_number, "{shown}");
        let all = cloud::get(&self.server.data, "/api/v1/devices").await;
        let of_serial = all["items"].as_array().unwrap().iter();
        assert_eq!(of_serial.filter(|one| one["edge_id"] == serial).count(), 1, "{shown}");
        let left: Vec<_> = std::fs::read_dir(device.state())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("pending") || name.starts_with('.'))
            .collect();
        assert!(left.is_empty(), "{shown}: {left:?}");
    }
}

async fn all_steps(victim: Victim, phase: Phase) {
    let mut bench = Bench::start().await;
    for (number, step) in STEPS.into_iter().enumerate() {
        bench.run(victim, phase, step, &format!("SN-008{number}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn enroller_killed_at_each_step_of_enrolment_and_activation() {
    all_steps(Victim::Enroller, Phase::Enrolment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn enroller_killed_at_each_step_of_renewal() {
    all_steps(Victim::Enroller, Phase::Renewal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_killed_at_each_step_of_enrolment_and_activation() {
    all_steps(Victim::Server, Phase::Enrolment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_killed_at_each_step_of_renewal() {
    all_steps(Victim::Server, Phase::Renewal).await;
}
