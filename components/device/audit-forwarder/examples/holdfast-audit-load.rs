//! What `cargo xtask bench audit` lets a device do: programs that start, calls that the kernel
//! reports, records that somebody waits for, and a spool that is full. Each prints a line of JSON;
//! what was done is counted here, and never by who reads it.

use std::error::Error;
use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use holdfast_audit::spool::{Folder, Limits, Refused, Spool};
use holdfast_audit_log::frame::{Class, Kind, Timestamp};
use holdfast_audit_log::kernel::sample;
use holdfast_audit_log::{Entry, Origin};
use holdfast_ipc::audit1::Audit1Proxy;
use serde_json::{Value, json};

/// Beyond the end of every log: asking for it gives nothing, and is recorded.
const MARK: u64 = 1 << 62;
/// Calls between two looks at the clock.
const STRIDE: u64 = 64;

#[derive(Parser)]
enum Load {
    /// Start programs, one after the other
    Execute {
        /// How many
        count: u64,
        /// Their only argument, by which they are found in logs
        mark: String,
    },
    /// Change the mode of a file, as often as it goes
    Calls {
        /// For so long
        seconds: u64,
        /// The file; it is made
        file: PathBuf,
    },
    /// Make records that are durable when the call returns, and write and sync 4 KiB in turn
    Wait {
        /// How many of each
        count: u64,
        /// Where to write, on the log's disk
        folder: PathBuf,
    },
    /// Fill a spool that nobody has open
    Fill {
        /// Its folder
        folder: PathBuf,
    },
}

fn main() -> Result<(), Box<dyn Error>> {
    let done = match Load::parse() {
        Load::Execute { count, mark } => execute(count, &mark)?,
        Load::Calls { seconds, file } => calls(Duration::from_secs(seconds), &file)?,
        Load::Wait { count, folder } => wait(count, &folder)?,
        Load::Fill { folder } => fill(&folder)?,
    };
    println!("{done}");
    Ok(())
}

fn execute(count: u64, mark: &str) -> Result<Value, Box<dyn Error>> {
    let begun = Instant::now();
    for _ in 0..count {
        let status = Command::new("/usr/bin/true").arg(mark).stdin(Stdio::null()).status()?;
        if !status.success() {
            return Err(format!("/usr/bin/true: {status}").into());
        }
    }
    Ok(json!({ "done": count, "seconds": begun.elapsed().as_secs_f64() }))
}

fn calls(time: Duration, file: &Path) -> Result<Value, Box<dyn Error>> {
    File::create(file)?;
    let (begun, mut done) = (Instant::now(), 0);
    while begun.elapsed() < time {
        for _ in 0..STRIDE {
            fs::set_permissions(file, Permissions::from_mode(0o600))?;
        }
        done += STRIDE;
    }
    let seconds = begun.elapsed().as_secs_f64();
    fs::remove_file(file)?;
    Ok(json!({ "done": done, "seconds": seconds }))
}

fn wait(count: u64, folder: &Path) -> Result<Value, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let path = folder.join("bare");
    let mut file = File::create(&path)?;
    let (mut records, mut bare) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        let bus = zbus::Connection::system().await?;
        let audit = Audit1Proxy::new(&bus).await?;
        for number in 0..count {
            let begun = Instant::now();
            audit.export(MARK + number).await?;
            records.push(begun.elapsed());
            let begun = Instant::now();
            file.write_all(&[0x5a; 4096])?;
            file.sync_data()?;
            bare.push(begun.elapsed());
        }
        Ok::<_, Box<dyn Error>>(())
    })?;
    fs::remove_file(&path)?;
    Ok(json!({ "records": quantiles(records), "bare": quantiles(bare) }))
}

/// Median and 99th percentile, microseconds.
fn quantiles(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).map(Duration::as_micros);
    json!({ "p50_us": at(50), "p99_us": at(99) })
}

fn fill(folder: &Path) -> Result<Value, Box<dyn Error>> {
    let unknown = || Origin::new("holdfast/audit/00000000000000000000000000000000").ok();
    let origin = unknown().ok_or("no name for a log")?;
    let (mut spool, _) = Spool::open(Folder::new(folder), Limits::default(), || origin)?;
    let mut serial = 0;
    for class in [Class::Execution, Class::Authentication] {
        loop {
            serial += 1;
            let payload = sample::kept_execution(serial);
            let (kind, time) = (Kind::KernelEvent, Timestamp::default());
            let entry = Entry { class, kind, time, payload: &payload };
            match spool.append(entry) {
                Ok(_) if spool.pending_len() >= 256 * 1024 => spool.commit()?,
                Ok(_) => {}
                Err(Refused::Full { .. }) => break,
                Err(other) => return Err(other.into()),
            }
        }
    }
    spool.commit()?;
    Ok(json!({ "records": spool.durable_size(), "bytes": spool.used() }))
}
