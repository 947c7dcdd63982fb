//! The work behind `org.holdfast.Identity1`; who may ask for it is decided before it gets here.

use std::path::PathBuf;
use std::sync::Arc;

use holdfast_ipc::allow_list::SignScheme;
use holdfast_ipc::identity::{Certified, Connector, IdentityBackend, StatusPublisher, Token};
use holdfast_ipc::{Audience, CallError, ErrorKind, Name};
use holdfast_tpm::{BootPolicy, KeyBlob, SignatureScheme, TpmError};
use zeroize::Zeroizing;

use crate::check;
use crate::clock::Clock;
use crate::keyring::Keyring;
use crate::order::{Order, Orders};
use crate::tpm_owner::{JobError, TpmOwner};

/// Name of the key whose certificate the device shows.
const DEVICE_KEY: &str = "device";
/// Name of the key that signs audit checkpoints; it exists before any enrolment.
const AUDIT_KEY: &str = "audit";

/// Files that say which boots may open sealed secrets.
#[derive(Debug, Clone)]
pub struct BootPolicyFiles {
    /// PCR signatures, in systemd's format.
    pub signature: PathBuf,
    /// The key that made them, PEM.
    pub public_key: PathBuf,
}

impl BootPolicyFiles {
    /// Reads both.
    pub fn read(&self) -> Result<BootPolicy, String> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))
        };
        BootPolicy::load(&read(&self.signature)?, &read(&self.public_key)?)
            .map_err(|error| error.to_string())
    }
}

/// The daemon's side of the bus interface.
#[derive(Debug)]
pub struct Service {
    tpm: TpmOwner,
    keyring: Keyring,
    boot_policy: BootPolicyFiles,
    status: StatusPublisher,
    clock: Arc<Clock>,
    orders: Orders,
}

impl Service {
    /// A service that uses the keys in this ring.
    pub fn new(
        tpm: TpmOwner,
        keyring: Keyring,
        boot_policy: BootPolicyFiles,
        status: StatusPublisher,
        clock: Arc<Clock>,
        orders: Orders,
    ) -> Self {
        Self { tpm, keyring, boot_policy, status, clock, orders }
    }

    fn key(&self, name: &str) -> Result<Arc<KeyBlob>, CallError> {
        let keys = self.keyring.keys();
        match name {
            DEVICE_KEY => keys.device.ok_or_else(|| not_ready("the device has no identity yet")),
            AUDIT_KEY => keys.audit.ok_or_else(|| not_ready("the audit key is not made yet")),
            other => Err(CallError::new(
                ErrorKind::InvalidArgs,
                format!("there is no key \"{other}\"; there are {DEVICE_KEY} and {AUDIT_KEY}"),
            )),
        }
    }

    async fn load(&self, key: Arc<KeyBlob>) -> Result<(), JobError> {
        self.tpm.ask(move |tpm| Ok(tpm.load(&key).map(drop)?)).await
    }

    fn boot_policy(&self) -> Result<BootPolicy, CallError> {
        self.boot_policy.read().map_err(|reason| {
            let text = format!("{reason}; only a system that booted from a signed image can seal");
            CallError::new(ErrorKind::NotReady, text)
        })
    }
}

impl IdentityBackend for Service {
    async fn sign(
        &self,
        key: &Name,
        scheme: SignScheme,
        digest: &[u8],
    ) -> Result<Vec<u8>, CallError> {
        let blob = self.key(key.as_str())?;
        let digest: [u8; 32] = digest
            .try_into()
            .map_err(|_| CallError::new(ErrorKind::InvalidArgs, "the digest must have 32 bytes"))?;
        let scheme = match scheme {
            SignScheme::RsaPssSha256 => SignatureScheme::RsaPssSha256,
            SignScheme::RsaPkcs1Sha256 => SignatureScheme::RsaPkcs1Sha256,
            SignScheme::EcdsaP256Sha256 => SignatureScheme::EcdsaSha256,
        };
        self.tpm
            .ask(move |tpm| {
                let key = tpm.load(&blob)?;
                Ok(tpm.sign(&key, scheme, &digest)?)
            })
            .await
            .map_err(|error| tpm_error(&error))
    }

    async fn certify(&self, key: &Name, qualifying: &[u8]) -> Result<Certified, CallError> {
        let blob = self.key(key.as_str())?;
        let attestation = self.keyring.keys().attestation;
        let attestation = attestation.ok_or_else(|| not_ready("the keys are not made yet"))?;
        let qualifying = qualifying.to_vec();
        let public = blob.public().to_vec();
        let statement = self
            .tpm
            .ask(move |tpm| {
                let (key, attestation) = (tpm.load(&blob)?, tpm.load(&attestation)?);
                Ok(tpm.certify(&key, &attestation, &qualifying)?)
            })
            .await
            .map_err(|error| tpm_error(&error))?;
        Ok(Certified { public, attest: statement.attest, signature: statement.signature })
    }

    async fn connector(&self) -> Result<Connector, CallError> {
        let site = self.keyring.keys().site;
        let site = site.ok_or_else(|| not_ready("the device has no certificate yet"))?;
        let (url, roots) = site.as_ref().clone();
        Ok(Connector { url, roots, time: self.clock.now() })
    }

    async fn certificate_chain(&self) -> Result<String, CallError> {
        let chain = self.keyring.keys().chain;
        chain
            .map(|chain| chain.to_string())
            .ok_or_else(|| not_ready("the device has no certificate yet"))
    }

    async fn seal(&self, plaintext: Zeroizing<Vec<u8>>) -> Result<Vec<u8>, CallError> {
        let policy = self.boot_policy()?;
        self.tpm
            .ask(move |tpm| Ok(tpm.seal(&policy, &plaintext)?.to_bytes()?))
            .await
            .map_err(|error| tpm_error(&error))
    }

    async fn unseal(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CallError> {
        let policy = self.boot_policy()?;
        let blob = KeyBlob::from_bytes(sealed).map_err(|error| {
            let text = format!("these are no sealed bytes of this interface: {error}");
            CallError::new(ErrorKind::NotOurs, text)
        })?;
        self.tpm
            .ask(move |tpm| Ok(tpm.unseal(&policy, &blob)?))
            .await
            .map_err(|error| not_ours(&error))
    }

    async fn renew(&self) -> Result<String, CallError> {
        self.orders.give(Order::Renew).await
    }

    async fn re_enroll(&self) -> Result<String, CallError> {
        self.orders.give(Order::ReEnroll).await
    }

    async fn token(&self, audience: &Audience) -> Result<Token, CallError> {
        let connector = self.keyring.keys().connector;
        let connector = connector.ok_or_else(|| not_ready("the device has no certificate yet"))?;
        let failed = |text: String| CallError::new(ErrorKind::Failed, text);
        match connector.ask_token(audience.as_str()).await {
            Ok(Ok(issued)) => Ok(Token { token: issued.token, expires: issued.expires }),
            Ok(Err(rejection)) => Err(failed(rejection.message())),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    async fn check(&self) -> Result<String, CallError> {
        let keys = self.keyring.keys();
        let device_key_loads = match keys.device.clone() {
            Some(key) => Some(self.load(key).await.map_err(|error| error.to_string())),
            None => None,
        };
        let checks = check::run(&check::Context {
            status: &self.status.status(),
            keys: &keys,
            clock: &self.clock,
            device_key_loads,
            chain_verifies: keys.chain_verifies(),
        });
        serde_json::to_string(&checks)
            .map_err(|error| CallError::new(ErrorKind::Failed, error.to_string()))
    }
}

fn not_ready(what: &str) -> CallError {
    CallError::new(ErrorKind::NotReady, format!("{what}; `holdfast status` says what it waits for"))
}

fn tpm_error(error: &JobError) -> CallError {
    CallError::new(ErrorKind::Tpm, error.to_string())
}

/// A sealed secret that does not open is not ours, unless the TPM itself is in trouble.
fn not_ours(error: &JobError) -> CallError {
    let kind = match error {
        JobError::Gone(_) | JobError::Tpm(TpmError::Open { .. } | TpmError::OutOfSlots { .. }) => {
            ErrorKind::Tpm
        }
        JobError::Tpm(_) => ErrorKind::NotOurs,
    };
    let text = format!(
        "the sealed bytes do not open here: {error}; they open only on the TPM, and under a system \
         signed with the key, that they were sealed with"
    );
    CallError::new(kind, text)
}
