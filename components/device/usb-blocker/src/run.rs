//! The daemon: the thread that keeps the ports, bus, log, service manager.

use std::sync::Arc;
use std::time::Duration;

use holdfast_audit_log::frame::Class;
use holdfast_daemon::config::{self, ConfigError};
use holdfast_daemon::manager;
use holdfast_ipc::audit1::AuditServiceSink;
use holdfast_ipc::usb::{UsbEvents, serve};
use holdfast_ipc::{AuditSink, Bus, BusError, Guard, JournalSink, RoleGroups};
use tokio::signal::unix::{SignalKind, signal};

use crate::blocker::Blocker;
use crate::clock::Clock;
use crate::config::Config;
use crate::confine::{ConfineError, confine};
use crate::options::Options;
use crate::records::Records;
use crate::service::Service;
use crate::sysfs::SysfsTree;
use crate::uevent::UeventSocket;
use crate::worker::Worker;

/// The daemon's name in audit records.
const DAEMON: &str = "usb";
/// A thread that was not seen for so long hangs: the service manager is not told otherwise.
const LONGEST_SILENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether the thread has ended.
const LOOK: Duration = Duration::from_secs(1);

/// The daemon cannot run, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file of the image or the unit.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The kernel's sandbox.
    #[error(transparent)]
    Confine(#[from] ConfineError),
    /// The kernel's events.
    #[error("cannot listen to the kernel's uevents: {0}")]
    Uevents(std::io::Error),
    /// The operating system.
    #[error("cannot start the thread that keeps the ports: {0}")]
    Thread(std::io::Error),
    /// The thread cannot go on.
    #[error("the thread that keeps the ports ended: {0}")]
    Ended(String),
    /// The message bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The daemon's name.
    #[error("cannot set up audit records: {0}")]
    Audit(#[from] holdfast_audit_log::Error),
    /// The operating system.
    #[error("cannot catch signals: {0}")]
    Signals(std::io::Error),
}

/// Runs until told to stop.
pub async fn run(options: Options) -> Result<(), RunError> {
    confine(&options.image.sysfs, &[&options.state, &options.runtime])?;
    let settings = config::parse(&options.image.config, Config::parse)?;
    let groups = config::parse(&options.groups, |text| Ok(RoleGroups::from_group_file(text)))?;
    let log = Arc::new(AuditServiceSink::new(Class::Usb, JournalSink::at(&options.journal)));
    let sink: Arc<dyn AuditSink> = Arc::clone(&log) as _;
    let guard = Guard::new(DAEMON, groups, Arc::clone(&sink))?;
    let (records, delivery) = Records::new(DAEMON)?;
    let (events, stream) = UsbEvents::new();

    // The ports first: the bus may be slow to come.
    let uevents = UeventSocket::open().map_err(RunError::Uevents)?;
    let sysfs = SysfsTree::at(&options.image.sysfs);
    let blocker = Blocker::new(sysfs, &settings, options.files());
    let clock = Clock::new(&options.image.sysfs);
    let (worker, thread) =
        Worker::start(blocker, uevents, clock, records, events).map_err(RunError::Thread)?;

    let bus = Bus::new(options.bus.clone());
    let connection = bus.connect().await?;
    log.connect(connection.clone());
    let service = Arc::new(Service::new(worker.clone(), connection.clone()));
    serve(&connection, service, guard, stream).await.map_err(|error| bus.failed(error))?;
    manager::ready();

    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let ended = async {
        while !thread.is_finished() {
            tokio::time::sleep(LOOK).await;
        }
    };
    let result = tokio::select! {
        () = delivery.run(sink) => Ok(()),
        () = reload(&worker) => Ok(()),
        () = keep_manager_informed(&worker) => Ok(()),
        () = ended => Err(()),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    tracing::info!("stopping");
    manager::stopping();
    result.map_err(|()| {
        let why = thread.join().map_or_else(|_| "it panicked".to_owned(), |e| e.to_string());
        RunError::Ended(why)
    })
}

/// Reads the files anew on SIGHUP. Never returns.
async fn reload(worker: &Worker<SysfsTree>) {
    match signal(SignalKind::hangup()) {
        Ok(mut hangup) => {
            while hangup.recv().await.is_some() {
                if let Err(error) = worker.look_at_all().await {
                    tracing::warn!("{error}");
                }
            }
        }
        Err(error) => tracing::warn!("cannot catch SIGHUP: {error}"),
    }
    std::future::pending::<()>().await;
}

/// Tells the service manager that the daemon is alive, as long as its thread is. Never returns.
async fn keep_manager_informed(worker: &Worker<SysfsTree>) {
    let Some(heartbeat) = manager::heartbeat() else { return std::future::pending().await };
    let mut interval = tokio::time::interval(heartbeat);
    loop {
        interval.tick().await;
        if worker.silence() < LONGEST_SILENCE {
            manager::alive();
        }
    }
}
