//! A running server, and the two ends that talk to it.

pub mod audit_log;
pub mod device;
pub mod http;
pub mod openssl;
pub mod process;
pub mod software;
pub mod swtpm;

use std::path::Path;
use std::sync::Arc;

use holdfast_attestation::pcr::site_measurement;
use holdfast_cloud::ca::{Passphrases, ServerNames};
use holdfast_cloud::cli::{Client, ClientError};
use holdfast_cloud::clock::{ManualClock, SharedClock};
use holdfast_cloud::data::Endpoints;
use holdfast_cloud::est::EnrolmentRates;
use holdfast_cloud::registry::Digest;
use holdfast_cloud::server::{Configuration, PublicListener, Server};
use holdfast_cloud::tls::Rate;
use holdfast_tpm::swtpm::{Manufacturer, Swtpm as Chip};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;

/// PCR 11 of the release that [`Fixture::publish_release`] publishes.
pub const PCR11: [u8; 32] = [0x11; 32];

/// The public address that certificates name.
pub const PUBLIC_URL: &str = "http://pki.example.org";

/// A server with a site, its data folder and an administrator's client.
pub struct Fixture {
    pub server: Server,
    pub admin: Client,
    pub clock: Arc<ManualClock>,
    folder: TempDir,
    pub site: String,
}

impl Fixture {
    /// A server of tenant `demo`, with a site and no release.
    pub async fn start() -> Self {
        Self::start_with(EnrolmentRates {
            source: Rate { burst: 1000, per_minute: 1000 },
            device: Rate { burst: 1000, per_minute: 1000 },
        })
        .await
    }

    pub async fn start_with(rates: EnrolmentRates) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(OffsetDateTime::now_utc()));
        let server = serve(folder.path(), Arc::clone(&clock) as SharedClock, rates).await;
        let admin = admin(&server, folder.path());
        let root = server.app().authority().root_pem();
        let site = site_toml(server.endpoints(), &root);
        let fixture = Self { server, admin, clock, folder, site };
        let _: Value = fixture
            .admin
            .post("/api/v1/sites", &json!({ "document": fixture.site }))
            .await
            .unwrap();
        fixture
    }

    /// Stops the server and starts it again on the same folder.
    pub async fn restart(self) -> Self {
        self.restart_after(|_| ()).await
    }

    /// The same, with a change of the folder in between.
    pub async fn restart_after(self, change: impl FnOnce(&Path)) -> Self {
        let Self { server, clock, folder, site, .. } = self;
        server.stop().await;
        change(folder.path());
        let rates = EnrolmentRates {
            source: Rate { burst: 1000, per_minute: 1000 },
            device: Rate { burst: 1000, per_minute: 1000 },
        };
        let server = serve(folder.path(), Arc::clone(&clock) as SharedClock, rates).await;
        let admin = admin(&server, folder.path());
        Self { server, admin, clock, folder, site }
    }

    /// The server's data folder.
    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    pub async fn publish_release(&self) {
        let _: Value = self.admin.post("/api/v1/releases", &release(PCR11)).await.unwrap();
    }

    pub async fn register(&self, edge_id: &str, ek_sha256: Digest) -> Value {
        let body = json!({ "edge_id": edge_id, "ek_sha256": ek_sha256 });
        self.admin.post("/api/v1/devices", &body).await.unwrap()
    }

    /// Registers with this binding and what else is said.
    pub async fn register_by(&self, edge_id: &str, binding: &str, more: Value) -> Value {
        let mut body = json!({ "edge_id": edge_id, "binding": binding });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.admin.post("/api/v1/devices", &body).await.unwrap()
    }

    /// Allows the maker of these TPMs.
    pub async fn allow(&self, maker: &Manufacturer) {
        // The clock stands since before the TPMs were made, and their certificates begin then.
        self.clock.advance(3600);
        let certificates = maker.ca_certificates_pem().unwrap().concat();
        let body = json!({ "certificates": certificates });
        let _: Value = self.admin.post("/api/v1/ek-cas", &body).await.unwrap();
    }

    /// A software TPM that booted with the site, as a release that is published.
    pub async fn boot(&self, chip: &Chip) -> swtpm::Swtpm {
        let tpm = chip.open().unwrap();
        tpm.pcr_extend(11, &[0xAB; 32]).unwrap();
        tpm.pcr_extend(14, &site_measurement(self.site.as_bytes())).unwrap();
        let pcr11 = tpm.pcr_read(&[11]).unwrap()[0].digest;
        let _: Value = self.admin.post("/api/v1/releases", &release(pcr11)).await.unwrap();
        swtpm::Swtpm::new(tpm)
    }

    pub async fn device(&self, name: &str) -> Value {
        self.admin.get(&format!("/api/v1/devices/{name}")).await.unwrap()
    }

    pub async fn change(&self, name: &str, verb: &str) -> Result<Value, ClientError> {
        self.admin.post(&format!("/api/v1/devices/{name}/{verb}"), &json!({})).await
    }

    /// The newest event.
    pub async fn last_event(&self) -> Value {
        let events: Value = self.admin.get("/api/v1/events?limit=1").await.unwrap();
        events["items"][0].clone()
    }

    /// Audit records, newest first, as (action, decision, outcome).
    pub async fn audit(&self) -> Vec<(String, String, String)> {
        let records: Value = self.admin.get("/api/v1/audit").await.unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let items = records["items"].as_array().unwrap().iter();
        items
            .map(|item| {
                let record = &item["record"];
                (text(&record["action"]), text(&record["decision"]), text(&record["outcome"]))
            })
            .collect()
    }
}

pub async fn serve(data: &Path, clock: SharedClock, rates: EnrolmentRates) -> Server {
    let any = "127.0.0.1:0".parse().unwrap();
    let configuration = Configuration {
        data: data.to_owned(),
        est: any,
        device: any,
        management: any,
        public: Some(PublicListener { address: any, url: Some(PUBLIC_URL.parse().unwrap()) }),
        names: ServerNames::new(["connector.example.org"]).unwrap(),
        passphrases: Passphrases::default(),
        rates,
    };
    Server::start(configuration, clock).await.unwrap()
}

/// A client with the key of the first start.
pub fn admin(server: &Server, data: &Path) -> Client {
    client(server, &std::fs::read_to_string(data.join("admin.key")).unwrap())
}

/// A client with another key.
pub fn client(server: &Server, key: &str) -> Client {
    let url = format!("https://{}", server.endpoints().management);
    Client::new(&url, server.app().authority().root_pem().as_bytes(), key).unwrap()
}

/// A site configuration of tenant `demo`.
pub fn site_toml(endpoints: &Endpoints, root_pem: &str) -> String {
    format!(
        "format = 1\ntenant = \"demo\"\n[edge_id]\nsource = \"dmi-serial\"\n[connector]\n\
         enrol_url = \"https://{}\"\ndevice_url = \"https://{}\"\n[trust]\nanchors = [\"\"\"\n{root_pem}\"\"\"]\n",
        endpoints.est, endpoints.device,
    )
}

/// A release's measurement.
pub fn release(pcr11: [u8; 32]) -> Value {
    json!({
        "format": 1,
        "name": "holdfast",
        "version": "0.1.0",
        "profile": "release",
        "security_version": 1,
        "pcr11": [
            { "phase": "enter-initrd", "sha256": "ee".repeat(32) },
            { "phase": "enter-initrd:leave-initrd:sysinit", "sha256": hex::encode(pcr11) },
        ],
        "uki_sha256": hex::encode(pcr11),
        "root_hash": "33".repeat(32),
    })
}
