//! The daemon: bus, agent, service manager.

use std::path::PathBuf;
use std::sync::Arc;

use holdfast_audit_log::frame::Class;
use holdfast_daemon::config::{self, ConfigError};
use holdfast_daemon::manager;
use holdfast_ipc::audit1::AuditServiceSink;
use holdfast_ipc::identity::{IdentityStatus, StatusPublisher, serve};
use holdfast_ipc::{AuditSink, Bus, BusError, Guard, IdentityPolicy, JournalSink, RoleGroups};
use holdfast_tpm::KeyBlob;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::agent::{Agent, OpenStore, Parts};
use crate::boot_report::BootReport;
use crate::clock::{Clock, SystemTimeSource};
use crate::disk::Folder;
use crate::est;
use crate::keyring::Keyring;
use crate::options::{AuditPlace, Options, Release};
use crate::order::Orders;
use crate::recorder::{OpenDisk, Recorder};
use crate::recovery::HandOver;
use crate::retry::SystemJitter;
use crate::service::{BootPolicyFiles, Service};
use crate::store::Store;
use crate::tpm_owner::TpmOwner;
use crate::usb_policy::UsbPolicy;

/// The daemon's name in audit records.
const DAEMON: &str = "enroller";

/// The daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file of the image or the unit.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The message bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The audit source.
    #[error("cannot set up audit records: {0}")]
    Audit(String),
    /// The operating system.
    #[error("cannot catch signals: {0}")]
    Signals(std::io::Error),
    /// The operating system.
    #[error("cannot start the TPM's thread: {0}")]
    Thread(std::io::Error),
}

/// Runs until told to stop.
pub async fn run(options: Options) -> Result<(), RunError> {
    let release = Release::read(&options.release)?;
    let policy = config::parse(&options.policy, |text| {
        IdentityPolicy::parse(text).map_err(|error| error.to_string())
    })?;
    let groups = config::parse(&options.groups, |text| Ok(RoleGroups::from_group_file(text)))?;
    let clock = Arc::new(Clock::new(Box::<SystemTimeSource>::default(), release.build_time));
    let (status, changes) = StatusPublisher::new(IdentityStatus::default());
    let keyring = Keyring::default();

    let journal = JournalSink::at(&options.journal);
    let log = Arc::new(AuditServiceSink::new(Class::Authentication, journal.clone()));
    let sink: Arc<dyn AuditSink> = match options.audit {
        AuditPlace::Log => Arc::clone(&log) as _,
        AuditPlace::Journal => Arc::new(journal),
    };
    let unnamed = |error: holdfast_audit_log::Error| RunError::Audit(error.to_string());
    let recorder = Recorder::new(DAEMON, Arc::clone(&sink), open_disk(options.state.clone()));
    let recorder = recorder.map_err(unnamed)?;
    let guard = Guard::new(DAEMON, groups, sink).map_err(unnamed)?;
    let tpm = TpmOwner::start(options.tcti.clone()).map_err(RunError::Thread)?;
    let (orders, given) = Orders::new();
    let service = Service::new(
        tpm.clone(),
        keyring.clone(),
        BootPolicyFiles {
            signature: options.pcr_signature.clone(),
            public_key: options.pcr_public_key.clone(),
        },
        status.clone(),
        Arc::clone(&clock),
        orders,
    );
    let bus = Bus::new(options.bus.clone());
    let connection = bus.connect().await?;
    log.connect(connection.clone());
    serve(&connection, service, guard, policy, status.clone(), changes)
        .await
        .map_err(|error| bus.failed(error))?;

    let hand_in_later = recorder.clone();
    let (settled, is_settled) = oneshot::channel();
    let store = open_store(options.state.clone());
    let hand_over = HandOver::new(&options, keyring.clone(), status.clone(), recorder.clone());
    let boot_report = BootReport::new(&options, keyring.clone(), status.clone());
    let usb_policy = UsbPolicy::new(keyring.clone(), status.clone(), connection.clone());
    let parts = Parts { tpm: tpm.clone(), clock, status, keyring, recorder, orders: given };
    let agent = Agent::new(options, parts, store, settled);
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let (mut jitter, mut hand_over_jitter) = (SystemJitter, SystemJitter);
    let (mut report_jitter, mut policy_jitter) = (SystemJitter, SystemJitter);
    tokio::select! {
        () = agent.run(&mut jitter) => {}
        () = hand_over.run(&mut hand_over_jitter) => {}
        () = boot_report.run(&mut report_jitter) => {}
        () = usb_policy.run(&mut policy_jitter) => {}
        () = hand_in_later.run() => {}
        () = keep_manager_informed(is_settled) => {}
        _ = terminate.recv() => tracing::info!("stopping"),
        _ = interrupt.recv() => tracing::info!("stopping"),
    }
    manager::stopping();
    tpm.close().await;
    Ok(())
}

/// Opens the folder for what waits for the log.
fn open_disk(path: PathBuf) -> OpenDisk {
    Box::new(move || Ok(Box::new(Folder::open(&path)?)))
}

/// Opens the store in a folder.
fn open_store(path: PathBuf) -> OpenStore {
    Box::new(move || Ok(Store::new(Box::new(Folder::open(&path)?), spki_of_key_file)))
}

/// Reads the public key out of a key file.
pub fn spki_of_key_file(pem: &str) -> Result<Vec<u8>, String> {
    KeyBlob::from_pem(pem).map_err(|error| error.to_string()).and_then(|blob| est::spki_of(&blob))
}

/// Tells the service manager when the state is known, and that the daemon is alive.
async fn keep_manager_informed(is_settled: oneshot::Receiver<()>) {
    let settled = async {
        if is_settled.await.is_ok() {
            manager::ready();
        }
    };
    tokio::join!(settled, manager::keep_alive());
}
