//! The daemon: bus, keeper, reader, uploader, service manager.

use std::sync::Arc;
use std::time::Duration;

use holdfast_audit_log::Recovered;
use holdfast_audit_log::kernel::{Assembler, Limits as AssemblerLimits};
use holdfast_daemon::config::{self, ConfigError};
use holdfast_daemon::manager;
use holdfast_ipc::audit1::{AuditSources, serve};
use holdfast_ipc::{Bus, BusError, Guard, RoleGroups};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};

use crate::boot_facts::{self, Places};
use crate::config::Config;
use crate::engine::Engine;
use crate::keeper::{Keeper, KeeperError, LogEngine, Parts, Request};
use crate::kernel::{self, KernelError, KernelReader};
use crate::new_log;
use crate::now::now;
use crate::options::Options;
use crate::service::{OwnSink, Service};
use crate::signer;
use crate::spool::{Folder, Spool, SpoolError};
use crate::start::BootMarker;
use crate::upload::key::{self, BusKey};
use crate::upload::{UploadStatus, Uploader};

/// The daemon's name in audit records.
const DAEMON: &str = "audit";
/// A keeper that was not seen for so long hangs: the service manager is not told otherwise.
const LONGEST_SILENCE_NS: u64 = 40_000_000_000;
/// Longest wait for the last write.
const LAST_WRITE: Duration = Duration::from_secs(30);
/// The kernel's id of this boot, and its release.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const KERNEL: &str = "/proc/sys/kernel/osrelease";

/// The daemon cannot run, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file of the image or the unit.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log's folder.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A name for a log.
    #[error("cannot name a log: {0}")]
    Name(std::io::Error),
    /// What booted cannot be told apart from other boots.
    #[error("cannot read the id of this boot: {0}")]
    BootId(std::io::Error),
    /// The kernel's events.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The message bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The daemon's name.
    #[error("cannot set up audit records: {0}")]
    Audit(holdfast_audit_log::Error),
    /// The operating system.
    #[error("cannot catch signals: {0}")]
    Signals(std::io::Error),
    /// The operating system.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// The log cannot be written any more.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
}

impl RunError {
    /// Whether the device must not go on.
    pub fn must_halt(&self) -> bool {
        matches!(self, Self::Keeper(KeeperError::Full))
    }
}

/// Runs until told to stop.
pub async fn run(options: Options) -> Result<(), RunError> {
    let config = config::parse(&options.config, Config::parse)?;
    let sources = config::parse(&options.sources, |text| {
        AuditSources::parse(text).map_err(|error| error.to_string())
    })?;
    let groups = config::parse(&options.groups, |text| Ok(RoleGroups::from_group_file(text)))?;
    let rules =
        if options.without_kernel { None } else { Some(kernel::read_rules(&options.rules)?) };
    let places = Places {
        report: options.boot_report.clone(),
        binding: options.boot_binding.clone(),
        boot_id: BOOT_ID.into(),
        kernel: KERNEL.into(),
    };
    let boot_id = boot_facts::boot_id(&places).map_err(RunError::BootId)?;

    // The log first: whatever is reported from now on has a place to go.
    let (to_sign, checkpoints) = mpsc::channel(1);
    let (engine, marker) = open_log(&options, &config, &boot_id)?;
    let kernel_lost = marker.kernel_lost();
    let parts = Parts { engine, when_full: config.when_full, marker, to_sign };
    let (keeper, mut keeper_ended) = Keeper::start(parts).map_err(RunError::Thread)?;
    let inbox = Arc::clone(keeper.inbox());
    let mut reader = None;
    if let Some(rules) = &rules {
        let (done, running) = kernel::start(rules, Arc::clone(&inbox))?;
        tracing::info!(rules = done.rules, were_closed = done.was_closed, "kernel audit");
        for line in done.absent {
            tracing::warn!("{}: line {line} watches what is not there", options.rules.display());
        }
        reader = Some(running);
    }

    let bus = Bus::new(options.bus.clone());
    let connection = bus.connect().await?;
    let upload_now = Arc::<Notify>::default();
    let (tell_key, key) = watch::channel(None);
    let (report, upload) = watch::channel(UploadStatus::default());
    let service = Service {
        spool: options.spool.clone(),
        keeper: keeper.clone(),
        upload_now: Arc::clone(&upload_now),
        upload,
        key,
    };
    let guard = Guard::new(DAEMON, groups, Arc::new(OwnSink(keeper.clone())));
    let guard = guard.map_err(RunError::Audit)?;
    serve(&connection, service, guard, sources).await.map_err(|error| bus.failed(error))?;
    manager::ready();

    let (device_key, signatures) = BusKey::new();
    start_upload(Uploader {
        spool: options.spool.clone(),
        keeper: keeper.clone(),
        bus: connection.clone(),
        key: device_key,
        delay: config.upload_delay(),
        now: upload_now,
        status: report,
    })
    .map_err(RunError::Thread)?;

    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let result = tokio::select! {
        ended = &mut keeper_ended => {
            let why = ended.ok().and_then(Result::err).unwrap_or(KeeperError::Ended);
            return Err(why.into());
        }
        error = failed(&mut reader) => Err(RunError::Kernel(error)),
        () = record_boot(&places, &keeper) => Ok(()),
        () = signer::run(connection.clone(), Arc::clone(&inbox), checkpoints, tell_key) => Ok(()),
        () = key::serve(signatures, connection.clone()) => Ok(()),
        () = kernel_losses(rules.is_some(), &keeper, kernel_lost) => Ok(()),
        () = keep_manager_informed(&keeper) => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    tracing::info!("stopping");
    manager::stopping();
    if let Some(reader) = reader.filter(|_| result.is_ok()) {
        reader.stop().await;
    }
    // The keeper's own end is what is waited for.
    let _ = inbox.ask(Request::Stop);
    if let Ok(Ok(ended)) = tokio::time::timeout(LAST_WRITE, keeper_ended).await {
        ended?;
    }
    result
}

/// Opens the log, and goes on where an earlier run in this boot stopped.
fn open_log(
    options: &Options,
    config: &Config,
    boot_id: &str,
) -> Result<(LogEngine, BootMarker), RunError> {
    let folder = Folder::new(&options.spool);
    let fresh = new_log::origin().map_err(RunError::Name)?;
    let (spool, opened) = Spool::open(folder, config.limits(), || fresh)?;
    if let Some(recovered) = &opened.recovered {
        let Recovered { bytes, fault } = recovered;
        tracing::warn!("{bytes} bytes at the end of the log were cut off: {fault}");
    }
    tracing::info!(log = %spool.log().origin(), records = spool.durable_size(), "audit log");
    let path = options.runtime.join("boot.json");
    let marker = BootMarker::open(&path, boot_id, &options.spool, &spool);
    let assembler = Assembler::new(AssemblerLimits::default());
    let assembler = match marker.serial() {
        Some(serial) => assembler.after(serial),
        None => assembler,
    };
    let mut engine = Engine::new(spool, assembler, opened.recovered.as_ref(), now());
    if marker.is_bound() {
        engine.is_bound();
    }
    Ok((engine, marker))
}

/// The upload has a thread and a runtime of its own: TLS waits for the TPM's signature, which comes
/// over the bus.
fn start_upload(uploader: Uploader) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("upload".to_owned())
        .spawn(move || runtime.block_on(uploader.run()))
        .map(drop)
}

async fn failed(reader: &mut Option<KernelReader>) -> KernelError {
    match reader {
        Some(reader) => reader.failed().await,
        None => std::future::pending().await,
    }
}

/// Records the start of the device, once its facts are there. Never returns.
async fn record_boot(places: &Places, keeper: &Keeper) {
    let (boot, binding) = boot_facts::wait(places).await;
    // A keeper that has ended is told by itself.
    let _ = keeper.inbox().ask(Request::Boot(boot, binding));
    std::future::pending::<()>().await;
}

async fn kernel_losses(is_read: bool, keeper: &Keeper, known: u32) {
    if is_read {
        kernel::watch_losses(Arc::clone(keeper.inbox()), known).await;
    }
    std::future::pending::<()>().await;
}

/// Tells the service manager that the daemon is alive, as long as its keeper is. Never returns.
async fn keep_manager_informed(keeper: &Keeper) {
    let Some(heartbeat) = manager::heartbeat() else { return std::future::pending().await };
    let mut interval = tokio::time::interval(heartbeat);
    loop {
        interval.tick().await;
        if keeper.silent_ns() < LONGEST_SILENCE_NS {
            manager::alive();
        }
    }
}
