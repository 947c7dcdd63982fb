//! The data folder: which file is where, and what the first start makes.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use holdfast_audit_log::Actor;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::access::{ApiKey, PresentedKey, Role};
use crate::audit::{Act, Operation};
use crate::ca::{Authority, CaError, CaFolder, Passphrases};
use crate::files::{self, FileError, Readers};
use crate::store::{SqliteStore, Store, StoreError};

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The authority cannot be opened.
    #[error(transparent)]
    Authority(#[from] CaError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system's random source failed.
    #[error("the system gives no random bytes")]
    Random,
    /// endpoints.json is not what a server wrote.
    #[error("{path} is not usable: {detail}; is the server running?")]
    Endpoints {
        /// File.
        path: String,
        /// What is wrong.
        detail: String,
    },
}

/// Where a running server listens; written by the server, read by the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Enrolment.
    pub est: SocketAddr,
    /// Device API.
    pub device: SocketAddr,
    /// Management API.
    pub management: SocketAddr,
    /// Revocation lists, CA certificates and OCSP, if they are served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<SocketAddr>,
}

/// A data folder.
#[derive(Clone, Debug)]
pub struct DataFolder(PathBuf);

impl DataFolder {
    /// Names a folder; nothing is touched.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Makes it if it is missing.
    pub fn create(&self) -> Result<(), DataError> {
        Ok(files::create_private_folder(&self.0)?)
    }

    /// Holds the folder for one server.
    pub fn lock(&self) -> Result<File, DataError> {
        Ok(files::lock(&self.0.join("lock"))?)
    }

    /// The roots in force: what operators' programs trust.
    pub fn root_certificate(&self) -> PathBuf {
        self.0.join("ca/root.crt")
    }

    /// The first administrator's API key.
    pub fn admin_key(&self) -> PathBuf {
        self.0.join("admin.key")
    }

    /// The keys that sign devices' tokens.
    pub fn token_keys(&self) -> PathBuf {
        self.0.join("token-keys.json")
    }

    /// The audit logs of devices.
    pub fn device_audit(&self) -> PathBuf {
        self.0.join("audit")
    }

    /// The server's TLS certificate and key.
    pub fn tls(&self) -> PathBuf {
        self.0.join("tls")
    }

    /// The certificate authority.
    pub fn authority(&self) -> CaFolder {
        CaFolder::at(&self.0.join("ca"))
    }

    /// Waits until no other process makes or changes the authority.
    pub fn lock_authority(&self) -> Result<File, DataError> {
        Ok(files::wait_for_lock(&self.0.join("ca.lock"))?)
    }

    /// Whether a server runs on this folder.
    pub fn is_served(&self) -> bool {
        self.lock().is_err()
    }

    /// Opens the store, whether a server runs or not.
    pub fn open_store(&self) -> Result<SqliteStore, DataError> {
        Ok(SqliteStore::open(&self.0.join("holdfast.db"))?)
    }

    fn endpoints(&self) -> PathBuf {
        self.0.join("endpoints.json")
    }

    /// Opens authority and store, or makes them. Processes that come at the same time wait for
    /// each other.
    pub async fn open(
        &self,
        passphrases: &Passphrases,
        now: OffsetDateTime,
    ) -> Result<(Authority, SqliteStore), DataError> {
        self.create()?;
        let _alone = self.lock_authority()?;
        let store = self.open_store()?;
        let ca = self.authority();
        if !ca.exists() {
            // The record stands before the authority does: a crash between the two leaves a record
            // too many, never an authority without one.
            let root = ca.prepare(passphrases, now)?.sha256();
            let operation = Operation::new(now, Actor::system(), Act::CreateAuthority, &root);
            store.record_audit(operation.done()).await?;
            ca.establish()?;
            tracing::info!(root_sha256 = root, "made a certificate authority");
            tracing::warn!(
                file = %self.0.join("ca/root.key").display(),
                encrypted = passphrases.root.is_some(),
                "the root's key is not needed to serve: move it off this machine"
            );
        }
        let (authority, _) = Authority::open_or_create(&self.0.join("ca"), passphrases, now)?;
        Ok((authority, store))
    }

    /// Makes an administrator's key where there is none in force. The file comes first: a crash
    /// between the two leaves a key that opens nothing, and the next start makes another.
    pub async fn ensure_admin_key(
        &self,
        store: &dyn Store,
        now: OffsetDateTime,
    ) -> Result<(), DataError> {
        let keys = store.api_keys().await?;
        if keys.iter().any(|key| key.role == Role::Admin && key.revoked_at.is_none()) {
            return Ok(());
        }
        let presented = PresentedKey::random().map_err(|_| DataError::Random)?;
        let text = presented.reveal();
        files::write(&self.admin_key(), format!("{}\n", *text).as_bytes(), Readers::Owner)?;
        let key = ApiKey {
            id: presented.id().to_owned(),
            name: format!("admin-{}", presented.id()),
            role: Role::Admin,
            secret_sha256: presented.secret_sha256(),
            created_at: now,
            created_by: "first start".to_owned(),
            revoked_at: None,
        };
        let operation = Operation::new(now, Actor::system(), Act::CreateApiKey, &key.name);
        store.add_api_key(key, operation.done()).await?;
        tracing::info!(file = %self.admin_key().display(), "made an administrator's API key");
        Ok(())
    }

    /// Tells the command line where the server listens.
    pub fn write_endpoints(&self, endpoints: &Endpoints) -> Result<(), DataError> {
        let path = self.endpoints();
        let text = serde_json::to_string_pretty(endpoints).map_err(|e| DataError::Endpoints {
            path: path.display().to_string(),
            detail: e.to_string(),
        })?;
        Ok(files::write(&path, text.as_bytes(), Readers::Owner)?)
    }

    /// Where the server of this folder listens, or did when it last ran.
    pub fn read_endpoints(&self) -> Result<Endpoints, DataError> {
        let path = self.endpoints();
        let unusable =
            |detail: String| DataError::Endpoints { path: path.display().to_string(), detail };
        let text = files::read_text(&path).map_err(|e| unusable(e.to_string()))?;
        serde_json::from_str(&text).map_err(|e| unusable(e.to_string()))
    }
}
