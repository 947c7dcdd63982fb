//! What it costs the server to take audit records: unpacking, judging, a durable segment per upload,
//! the index, and the receipt. TLS and HTTP are not in it; `identity` measures those.
//!
//! `cargo bench --locked --profile cloud -p holdfast-cloud --bench ingest [-- --output FILE]`
#![allow(clippy::unwrap_used, clippy::expect_used)] // a bench that cannot be set up says so

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_attestation::edge_id::EdgeId;
use holdfast_audit_log::checkpoint::{AuditKey, KeyId};
use holdfast_audit_log::frame::{Class, Kind, Timestamp};
use holdfast_audit_log::kernel::sample;
use holdfast_audit_log::{Action, Actor, Appender, AuditRecord, Entry, Source, Text};
use holdfast_cloud::ca::{Authority, Passphrases};
use holdfast_cloud::device_audit::{
    DeviceAudit, Ingested, LogId, LogState, NewLog, Past, Point, Position, Subject, Upload,
    Verdict, judge,
};
use holdfast_cloud::registry::{Approval, Binding, Digest, NewDevice, NewEvent, Severity};
use holdfast_cloud::store::{AuditEntry, SqliteStore, Store};
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::EncodePublicKey as _;
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

/// Frames of an upload before they are packed, bytes.
const UPLOAD: usize = 2 << 20;
const UPLOADS: usize = 60;
/// Records between two checkpoints.
const SIGNED_EVERY: u64 = 1000;

struct Log {
    id: LogId,
    key_spki: Vec<u8>,
    key: SigningKey,
    appender: Appender,
}

/// An upload before it is packed.
struct Frames {
    first: u64,
    records: u64,
    bytes: Vec<u8>,
}

impl Log {
    fn new() -> Self {
        let id: LogId = hex::encode(Uuid::new_v4().into_bytes()).parse().unwrap();
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let key_spki = key.verifying_key().to_public_key_der().unwrap().into_vec();
        Self { appender: Appender::new(id.origin()), id, key_spki, key }
    }

    fn append(&mut self, class: Class, kind: Kind, payload: &[u8], out: &mut Vec<u8>) {
        let nanoseconds = self.appender.size() * 1_000_000;
        let time = Timestamp {
            realtime_ns: 1_800_000_000_000_000_000 + nanoseconds,
            boottime_ns: nanoseconds,
            is_synchronised: true,
        };
        self.appender.append(Entry { class, kind, time, payload }, out).unwrap();
    }

    fn upload(&mut self, make: fn(u64) -> (Class, Kind, Vec<u8>)) -> Frames {
        let (first, mut bytes) = (self.appender.size(), Vec::new());
        while bytes.len() < UPLOAD {
            let number = self.appender.size();
            if number.is_multiple_of(SIGNED_EVERY) {
                let checkpoint = self.appender.checkpoint(None);
                let signature: Signature =
                    self.key.sign_prehash(&checkpoint.signing_digest()).unwrap();
                let der = signature.to_der().as_bytes().to_vec();
                let note = checkpoint.signed(KeyId::of_spki(&self.key_spki), der).to_string();
                self.append(Class::Log, Kind::Checkpoint, note.as_bytes(), &mut bytes);
            } else {
                let (class, kind, payload) = make(number);
                self.append(class, kind, &payload, &mut bytes);
            }
        }
        Frames { first, records: self.appender.size() - first, bytes }
    }
}

/// A program that a user started, as the kernel tells it.
fn execution(number: u64) -> (Class, Kind, Vec<u8>) {
    let serial = u32::try_from(number).unwrap();
    (Class::Execution, Kind::KernelEvent, sample::kept_execution(serial))
}

/// A call of a daemon.
fn operation(number: u64) -> (Class, Kind, Vec<u8>) {
    let record = AuditRecord::new(
        OffsetDateTime::UNIX_EPOCH,
        Source::device("enroller").unwrap(),
        Actor::user(0).with_login_uid(1000),
        Action::new("identity.sign").unwrap(),
        Text::lossy(&format!("tls {number}")),
    );
    (Class::Operation, Kind::Operation, record.to_json().unwrap().into_bytes())
}

/// Nothing of these logs is looked up: each upload begins where the one before ended.
struct NoPast;

impl Past for NoPast {
    type Error = String;
    fn at(&mut self, size: u64) -> Result<Point, String> {
        Err(format!("record {size} was looked up"))
    }
}

/// Processor time of all threads (proc(5): utime and stime, in hundredths of a second).
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

async fn device(store: &Arc<dyn Store>) -> Uuid {
    let at = OffsetDateTime::UNIX_EPOCH;
    let id = Uuid::new_v4();
    let new = NewDevice {
        id,
        tenant: "demo".parse().unwrap(),
        edge_id: EdgeId::parse(&id.to_string()).unwrap(),
        binding: Binding::EkSha256,
        ek_sha256: Some(Digest(holdfast_attestation::hash::sha256(&[id.as_bytes()]))),
        secret: None,
        not_after: None,
        approval: Approval::Auto,
        quote_mode: None,
        group: None,
        note: None,
        at,
        by: "bench".into(),
    };
    store.register(new, audit()).await.unwrap();
    id
}

fn audit() -> AuditEntry {
    let record = AuditRecord::new(
        OffsetDateTime::UNIX_EPOCH,
        Source::cloud(),
        Actor::system(),
        Action::new("registry.register").unwrap(),
        Text::lossy("bench"),
    );
    AuditEntry { record, tenant: None, device_id: None }
}

fn no_event() -> NewEvent {
    NewEvent {
        at: OffsetDateTime::UNIX_EPOCH,
        severity: Severity::Info,
        kind: "bench".into(),
        code: None,
        tenant: None,
        device_id: None,
        edge_id: None,
        ek_sha256: None,
        source: None,
        request_id: None,
        detail: String::new(),
    }
}

/// One thread, no disk: what is judged per second.
fn judged(log: &Log, uploads: &[Frames]) -> f64 {
    let key = AuditKey::from_spki_der(&log.key_spki).unwrap();
    let origin = log.id.origin();
    let mut position = Position::start(&origin);
    let begun = Instant::now();
    for Frames { first, bytes, .. } in uploads {
        let subject =
            Subject { origin: &origin, key: &key, state: LogState::Open, position: &position };
        let verdict = judge(&subject, *first, bytes, &mut NoPast).unwrap();
        let Verdict::Appends(appended) = verdict else { panic!("{verdict:?}") };
        position = appended.position;
    }
    per_second(uploads, begun.elapsed())
}

#[allow(clippy::cast_precision_loss)] // far below 2^52
fn per_second(uploads: &[Frames], time: Duration) -> f64 {
    uploads.iter().map(|upload| upload.records).sum::<u64>() as f64 / time.as_secs_f64()
}

async fn measure(make: fn(u64) -> (Class, Kind, Vec<u8>)) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let now = OffsetDateTime::now_utc();
    let passphrases = Passphrases::default();
    let (authority, _) =
        Authority::open_or_create(&folder.path().join("ca"), &passphrases, now).unwrap();
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.path().join("db")).unwrap());
    let audit_logs = DeviceAudit::open(&folder.path().join("audit"), &store, now).await.unwrap();
    let device_id = device(&store).await;
    let mut log = Log::new();
    let new = NewLog {
        id: log.id.clone(),
        device_id,
        key_spki: log.key_spki.clone(),
        previous: None,
        at: now,
    };
    store.register_audit_log(new, no_event(), audit()).await.unwrap();

    let uploads: Vec<Frames> = (0..UPLOADS).map(|_| log.upload(make)).collect();
    let judged = judged(&log, &uploads);
    let packed: Vec<Vec<u8>> =
        uploads.iter().map(|upload| zstd::encode_all(&upload.bytes[..], 3).unwrap()).collect();
    let packed_bytes: usize = packed.iter().map(Vec::len).sum();
    let (cpu, begun) = (processor_time(), Instant::now());
    for (Frames { first, .. }, body) in uploads.iter().zip(packed) {
        let upload = Upload { first: *first, body: body.into(), is_packed: true };
        let done = audit_logs.ingest(&store, device_id, log.id.clone(), upload, now).await.unwrap();
        let Ingested::Stored(position) = done else { panic!("{done:?}") };
        authority.sign_receipt(&position.receipt(&log.id, device_id, now), now).unwrap();
    }
    let (cpu, wall) = (processor_time().saturating_sub(cpu), begun.elapsed());
    let records: u64 = uploads.iter().map(|upload| upload.records).sum();
    let bytes: usize = uploads.iter().map(|upload| upload.bytes.len()).sum();
    json!({
        "records": records,
        "bytes_per_record": bytes as u64 / records,
        "packed_bytes_per_record": packed_bytes as u64 / records,
        "uploads": UPLOADS,
        "judged_per_second_of_one_thread": judged,
        "ingested_per_second_of_processor_time": per_second(&uploads, cpu),
        "ingested_per_second": per_second(&uploads, wall),
    })
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let output = match (arguments.next().as_deref(), arguments.next()) {
        (Some("--output"), Some(path)) => Some(PathBuf::from(path)),
        (None, _) => None,
        _ => panic!("usage: ingest [--output FILE]"),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let figures: BTreeMap<&str, Value> = runtime.block_on(async {
        BTreeMap::from([
            ("kernel-events", measure(execution).await),
            ("operations", measure(operation).await),
        ])
    });
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned();
    println!("| ingest, records/s | kernel events | operations | aim |\n|---|---:|---:|---:|");
    for (name, figure, aim) in [
        ("per core, all but TLS and HTTP", "ingested_per_second_of_processor_time", "100000"),
        ("judged, one thread, no disk", "judged_per_second_of_one_thread", ""),
        ("one log, uploads one after the other", "ingested_per_second", ""),
    ] {
        let of = |records| figures[records][figure].as_f64().unwrap_or_default();
        println!("| {name} | {:.0} | {:.0} | {aim} |", of("kernel-events"), of("operations"));
    }
    for (name, figure) in
        [("bytes per record", "bytes_per_record"), ("packed", "packed_bytes_per_record")]
    {
        let of = |records| &figures[records][figure];
        println!("| {name} | {} | {} | |", of("kernel-events"), of("operations"));
    }
    let raw = json!({ "command": "cargo bench --bench ingest", "load": load, "figures": figures });
    if let Some(path) = output {
        fs::write(&path, serde_json::to_vec_pretty(&raw).unwrap()).unwrap();
        println!("\nRaw figures: {}", path.display());
    }
}
