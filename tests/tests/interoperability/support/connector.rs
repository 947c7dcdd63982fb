//! A connector in this process, listening on loopback.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_cloud::ca::{Passphrases, ServerNames};
use holdfast_cloud::cli::Client;
use holdfast_cloud::clock::SystemClock;
use holdfast_cloud::data::{DataFolder, Endpoints};
use holdfast_cloud::est::EnrolmentRates;
use holdfast_cloud::server::{Configuration, Server};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Runs until it is dropped.
pub struct Connector {
    server: Option<Server>,
    runtime: Runtime,
    folder: TempDir,
}

impl Connector {
    /// One that knows no device.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let anywhere = "127.0.0.1:0".parse().unwrap();
        let configuration = Configuration {
            data: folder.path().join("data"),
            est: anywhere,
            device: anywhere,
            management: anywhere,
            public: None,
            names: ServerNames::new(std::iter::empty()).unwrap(),
            passphrases: Passphrases::default(),
            rates: EnrolmentRates::default(),
        };
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(Server::start(configuration, Arc::new(SystemClock))).unwrap();
        Self { server: Some(server), runtime, folder }
    }

    /// Where it listens.
    pub fn endpoints(&self) -> &Endpoints {
        self.server.as_ref().unwrap().endpoints()
    }

    /// The certificate of its root, PEM.
    pub fn root(&self) -> PathBuf {
        DataFolder::at(&self.data()).root_certificate()
    }

    /// Certificate and key of the CA that issues devices' certificates, PEM.
    pub fn issuing_ca(&self) -> (PathBuf, PathBuf) {
        (self.data().join("ca/issuing.crt"), self.data().join("ca/issuing.key"))
    }

    /// The administrator's API key.
    pub fn admin_key(&self) -> String {
        let path = DataFolder::at(&self.data()).admin_key();
        std::fs::read_to_string(path).unwrap().trim().to_owned()
    }

    /// A change by the administrator, which must succeed.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.runtime.block_on(self.administrator().post(path, body)).unwrap()
    }

    /// What the administrator sees.
    pub fn get(&self, path: &str) -> Value {
        self.runtime.block_on(self.administrator().get(path)).unwrap()
    }

    fn administrator(&self) -> Client {
        let url = format!("https://{}", self.endpoints().management);
        let root = std::fs::read(self.root()).unwrap();
        Client::new(&url, &root, &self.admin_key()).unwrap()
    }

    /// A site configuration of this connector.
    pub fn site(&self) -> String {
        let Endpoints { est, device, .. } = self.endpoints();
        let root = std::fs::read_to_string(self.root()).unwrap();
        format!(
            "format = 1\ntenant = \"demo\"\n[edge_id]\nsource = \"dmi-serial\"\n[connector]\n\
             enrol_url = \"https://{est}\"\ndevice_url = \"https://{device}\"\n[trust]\n\
             anchors = [\"\"\"\n{root}\"\"\"]\n"
        )
    }

    /// A folder for what a test makes.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
    }
}
