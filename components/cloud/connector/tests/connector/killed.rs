//! kill -9 of the server, the real program, at each of its own disk operations. The system's state
//! of a file outlives the process, so that what counts is before which write, sync or rename it
//! ends: strace ends it there. Afterwards it is started again and the device repeats what had no
//! answer. Always in the end: one identity, one certificate in use, nothing left over.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use holdfast_attestation::nonce::NonceResponse;
use holdfast_cloud::cli::Client;
use holdfast_cloud::data::{DataFolder, Endpoints};
use http::{Method, StatusCode};
use rustls::version::TLS13;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::support::audit_log::Log;
use crate::support::device::{Device, ENROL, NONCE, RENEW, Tpm as _, certificates};
use crate::support::http::{Connection, Dial};
use crate::support::process::{Process, serve, serve_arguments, until_it_serves};
use crate::support::software::SoftwareTpm;
use crate::support::{PCR11, release, site_toml};

type Chain = Vec<CertificateDer<'static>>;

/// What the thread that owns the database does to the disk, by name, and as system calls.
const EFFECTS: [(&str, &str); 2] =
    [("write into the log", "pwrite64"), ("sync of the log", "fsync,fdatasync")];
/// What a start does to the data folder besides.
const FIRST_EFFECTS: [(&str, &str); 2] =
    [("sync", "fsync,fdatasync"), ("rename", "rename,renameat,renameat2")];
/// Records that an upload has.
const UPLOADED: usize = 3;
const SELF: &str = "/api/v1/device/self";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Enrolment,
    Renewal,
    Activation,
    /// The first records of an audit log.
    Upload,
}

/// Whose system calls count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Threads {
    /// That of the one that owns the database.
    Writer,
    /// Those of each one for itself.
    Each,
}

/// Kills when the `nth` of these system calls is about to be done.
fn kill_at(calls: &str, nth: usize) -> Command {
    let mut strace = Command::new("strace");
    strace
        .args(["-o", "/dev/null", "-e", &format!("trace={calls}")])
        .args(["-e", &format!("inject={calls}:signal=SIGKILL:when={nth}")]);
    strace
}

/// The killer of one thread; gone with the value.
struct Killer(Child);

impl Killer {
    fn of(target: &[&str], calls: &str, nth: usize) -> Self {
        let mut strace = kill_at(calls, nth);
        let mut child = strace.args(target).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let killer = Self(child);
        let mut said = Vec::new();
        while let Some(Ok(line)) = lines.next() {
            if line.contains("attached") {
                return killer;
            }
            said.push(line);
        }
        panic!("strace does not attach (kernel.yama.ptrace_scope?): {said:?}");
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Bench {
    server: Process,
    data: PathBuf,
    site: String,
    devices: usize,
    _folder: tempfile::TempDir,
}

/// A device before a step.
struct Subject {
    device: Device<SoftwareTpm>,
    /// The certificate and key that it has; none before its first enrolment.
    identity: Option<(Chain, PrivateKeyDer<'static>)>,
    log: Log,
}

/// Why there is no answer.
type Lost = String;

impl Bench {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let server = serve(&data);
        let root = std::fs::read_to_string(data.join("ca/root.crt")).unwrap();
        let site = site_toml(&endpoints(&data), &root);
        let bench = Self { server, data, site, devices: 0, _folder: folder };
        bench.post("/api/v1/sites", &json!({ "document": bench.site })).await;
        bench.post("/api/v1/releases", &release(PCR11)).await;
        bench
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        admin(&self.data).post(path, body).await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        admin(&self.data).get(path).await.unwrap()
    }

    /// The thread that owns the database, by its number.
    fn writer(&self) -> String {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.server.0.id())).unwrap();
        let mut tasks = tasks.map(|task| task.unwrap().path());
        let is_writer = |task: &PathBuf| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "store-writer\n")
        };
        tasks.find(is_writer).unwrap().file_name().unwrap().to_str().unwrap().to_owned()
    }

    fn is_alive(&mut self) -> bool {
        self.server.0.try_wait().unwrap().is_none()
    }

    async fn prepare(&mut self, step: Step) -> Subject {
        self.devices += 1;
        let edge_id = format!("SN-{:04}", self.devices);
        let device = Device::new(&edge_id, SoftwareTpm::new(&self.site));
        let body = json!({ "edge_id": edge_id, "ek_sha256": device.tpm.ek_sha256() });
        self.post("/api/v1/devices", &body).await;
        let mut log = Log::new(&device.tpm);
        log.boot(1);
        log.operations(3);
        let mut subject = Subject { device, identity: None, log };
        if step != Step::Enrolment {
            self.repeat(Step::Enrolment, &mut subject).await;
        }
        if step == Step::Renewal {
            self.repeat(Step::Activation, &mut subject).await;
            subject.device.tpm.renew_device_key();
        }
        if step == Step::Upload {
            self.repeat(Step::Activation, &mut subject).await;
            let mut connection = self.connect(Step::Activation, &subject).await.unwrap();
            let answer = subject.log.register(&mut connection, &subject.device.tpm).await;
            assert_eq!(answer.status, StatusCode::OK);
        }
        subject
    }

    /// The step on a server that lives.
    async fn repeat(&self, step: Step, subject: &mut Subject) {
        let done = self.attempt(step, subject).await;
        done.unwrap_or_else(|lost| panic!("no answer to the {step:?}: {lost}"));
    }

    /// What a device does, and what it takes over when there is an answer.
    async fn attempt(&self, step: Step, subject: &mut Subject) -> Result<(), Lost> {
        if step == Step::Activation {
            let mut connection = self.connect(step, subject).await?;
            let answer = connection.get(SELF).await.map_err(|e| e.to_string())?;
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(answer.json()["state"], json!("active"));
            return Ok(());
        }
        if step == Step::Upload {
            let mut connection = self.connect(Step::Activation, subject).await?;
            let (log, bytes) = (&subject.log, subject.log.bytes(0..UPLOADED));
            let answer = log.try_put(&mut connection, 0, &[], bytes).await;
            let answer = answer.map_err(|e| e.to_string())?;
            assert_eq!(answer.status, StatusCode::OK);
            assert_eq!(answer.json()["size"], json!(UPLOADED));
            return Ok(());
        }
        let mut connection = self.connect(step, subject).await?;
        let device = &subject.device;
        let request = device.nonce_request();
        let nonce =
            connection.send(Method::POST, NONCE, request).await.map_err(|e| e.to_string())?;
        let challenge = NonceResponse::from_json(&nonce.body).unwrap();
        let body = device.answer(&challenge, &connection.exporter);
        let path = if step == Step::Renewal { RENEW } else { ENROL };
        let answer = connection.send(Method::POST, path, body).await.map_err(|e| e.to_string())?;
        assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
        subject.identity = Some((certificates(&answer.body), device.tpm.private_key()));
        Ok(())
    }

    async fn connect(&self, step: Step, subject: &Subject) -> Result<Connection, Lost> {
        let endpoints = endpoints(&self.data);
        let address = if step == Step::Activation { endpoints.device } else { endpoints.est };
        let root = std::fs::read(self.data.join("ca/root.crt")).unwrap();
        let root = CertificateDer::from_pem_slice(&root).unwrap();
        let mut dial = Dial { address, root, identity: None, version: &TLS13, source: None };
        if let Some((chain, key)) = &subject.identity {
            dial = dial.with_identity(chain.clone(), key.clone_key());
        }
        dial.connect().await.map_err(|e| e.to_string())
    }

    /// Kills at the `nth` of these calls during the step; says whether there are so many.
    async fn run(&mut self, step: Step, (threads, calls): (Threads, &str), nth: usize) -> bool {
        let shown = format!("{step:?}, before {nth} of {calls} of {threads:?}");
        let mut subject = self.prepare(step).await;
        let (writer, process) = (self.writer(), self.server.0.id().to_string());
        let target: &[&str] = match threads {
            Threads::Writer => &["-p", &writer],
            Threads::Each => &["-f", "-p", &process],
        };
        let killer = Killer::of(target, calls, nth);
        let is_lost = self.attempt(step, &mut subject).await.is_err();
        if is_lost {
            assert!(!self.server.0.wait().unwrap().success(), "{shown}");
            drop(killer);
            self.server = serve(&self.data);
            if step == Step::Upload {
                self.judge_files(&subject, &shown).await;
            }
            self.repeat(step, &mut subject).await;
        } else {
            drop(killer);
            assert!(self.is_alive(), "{shown}: killed after the answer");
        }
        if step == Step::Upload {
            self.judge_log(&subject, &shown).await;
        }
        self.judge(&mut subject, &shown).await;
        is_lost
    }

    fn files(&self, log: &Log) -> Vec<String> {
        let Ok(files) = std::fs::read_dir(self.data.join("audit").join(&log.id)) else {
            return Vec::new();
        };
        let mut names: Vec<_> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// After a start there is no file that the index does not know.
    async fn judge_files(&self, subject: &Subject, shown: &str) {
        let mut connection = self.connect(Step::Activation, subject).await.unwrap();
        let head = connection.get(&subject.log.path()).await.unwrap().json();
        let files: &[&str] = match head["size"].as_u64().unwrap() {
            0 => &[],
            _ => &["00000000000000000000.seg"],
        };
        assert_eq!(self.files(&subject.log), files, "{shown}");
    }

    /// The log is whole, and goes on.
    async fn judge_log(&self, subject: &Subject, shown: &str) {
        let mut connection = self.connect(Step::Activation, subject).await.unwrap();
        let all = subject.log.frames.len();
        let answer = subject.log.put(&mut connection, UPLOADED..all).await;
        assert_eq!(answer.status, StatusCode::OK, "{shown}");
        let expected = subject.log.appender.checkpoint(None);
        assert_eq!(answer.json()["root"], json!(expected.root.to_string()), "{shown}");
        let files = ["00000000000000000000.seg", "00000000000000000003.seg"];
        assert_eq!(self.files(&subject.log), files, "{shown}");
    }

    /// One identity that is in use, and of everything one record.
    async fn judge(&self, subject: &mut Subject, shown: &str) {
        self.repeat(Step::Activation, subject).await;
        let edge_id = subject.device.edge_id.as_str();
        let detail = self.get(&format!("/api/v1/devices/{edge_id}")).await;
        assert_eq!(detail["state"], json!("active"), "{shown}");
        let of_detail = |name: &str| detail[name].as_array().unwrap().clone();
        let all = of_detail("certificates");
        let in_use: Vec<&Value> = all
            .iter()
            .filter(|one| one["revoked_at"].is_null() && one["accepted_until"].is_null())
            .collect();
        assert_eq!(in_use.len(), 1, "{shown}: {all:?}");
        let mut connection = self.connect(Step::Activation, subject).await.ok().unwrap();
        let told = connection.get(SELF).await.unwrap().json();
        assert_eq!(told["certificate"]["serial"], in_use[0]["serial"], "{shown}");
        assert_eq!(of_detail("enrolments").len(), all.len(), "{shown}");

        let path = format!("/api/v1/audit?device_id={}&limit=1000", detail["id"].as_str().unwrap());
        let records = self.get(&path).await;
        let count = |actions: &[&str]| {
            let records = records["items"].as_array().unwrap().iter().map(|one| &one["record"]);
            records
                .filter(|record| record["outcome"] == json!("ok"))
                .filter(|record| actions.contains(&record["action"].as_str().unwrap()))
                .count()
        };
        assert_eq!(count(&["est.enrol", "est.renew"]), all.len(), "{shown}");
        assert_eq!(count(&["registry.activate"]), 1, "{shown}");
        assert_eq!(count(&["registry.register"]), 1, "{shown}");
    }

    /// The database as SQLite sees it, without our program.
    fn judge_database(mut self) {
        self.server.0.kill().unwrap();
        self.server.0.wait().unwrap();
        let database = rusqlite::Connection::open(self.data.join("holdfast.db")).unwrap();
        let one = |query: &str| -> String {
            database
                .query_row(query, [], |row| row.get::<_, rusqlite::types::Value>(0))
                .map_or_else(
                    |_| "nothing".to_owned(),
                    |value| match value {
                        rusqlite::types::Value::Text(text) => text,
                        rusqlite::types::Value::Integer(number) => number.to_string(),
                        other => format!("{other:?}"),
                    },
                )
        };
        assert_eq!(one("PRAGMA integrity_check"), "ok");
        assert_eq!(one("PRAGMA foreign_key_check"), "nothing");
        assert_eq!(one("SELECT count(*) FROM devices"), self.devices.to_string());
        let orphans = "SELECT count(*) FROM certificates
             WHERE serial NOT IN (SELECT certificate_serial FROM enrolments)";
        assert_eq!(one(orphans), "0");
    }
}

fn endpoints(data: &Path) -> Endpoints {
    DataFolder::at(data).read_endpoints().unwrap()
}

fn admin(data: &Path) -> Client {
    let url = format!("https://{}", endpoints(data).management);
    let root = std::fs::read(data.join("ca/root.crt")).unwrap();
    Client::new(&url, &root, &std::fs::read_to_string(data.join("admin.key")).unwrap()).unwrap()
}

async fn killed_at_each_effect(step: Step) {
    let mut bench = Bench::start().await;
    let of_writer = EFFECTS.map(|(name, calls)| (name, Threads::Writer, calls));
    let of_each = FIRST_EFFECTS.map(|(name, calls)| (name, Threads::Each, calls));
    // Only an upload does to the disk what is not the database's.
    let more = if step == Step::Upload { &of_each[..] } else { &[] };
    for (name, threads, calls) in of_writer.iter().chain(more) {
        let mut nth = 1;
        while bench.run(step, (*threads, calls), nth).await {
            nth += 1;
        }
        assert!(nth > 1, "the {step:?} did nothing that is a {name}");
    }
    bench.judge_database();
}

#[tokio::test(flavor = "multi_thread")]
async fn at_each_disk_operation_of_an_upload() {
    killed_at_each_effect(Step::Upload).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_each_disk_operation_of_an_enrolment() {
    killed_at_each_effect(Step::Enrolment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_each_disk_operation_of_a_renewal() {
    killed_at_each_effect(Step::Renewal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_each_disk_operation_of_an_activation() {
    killed_at_each_effect(Step::Activation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_each_sync_and_rename_of_the_first_start() {
    for (name, calls) in FIRST_EFFECTS {
        for nth in 1.. {
            let shown = format!("first start, before {name} {nth}");
            let folder = tempfile::tempdir().unwrap();
            let data = folder.path().join("data");
            let mut strace = kill_at(calls, nth);
            // The process is the server and strace its grandchild: it ends with the server.
            strace.args(["-D", "-f", "-qq", env!("CARGO_BIN_EXE_holdfast-cloud")]);
            strace.args(serve_arguments()).env("HOLDFAST_CLOUD_DATA", &data);
            if let Some(survivor) = until_it_serves(&mut strace) {
                drop(survivor);
                assert!(nth > 1, "{shown}");
                break;
            }
            let _server = serve(&data);
            let issued: Value = admin(&data).get("/api/v1/authority").await.unwrap();
            let root = std::fs::read_to_string(data.join("ca/root.crt")).unwrap();
            assert_eq!(issued["root"], json!(root), "{shown}");
            let left: Vec<_> = std::fs::read_dir(&data)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| {
                    path.extension().is_some_and(|ending| ending == "unfinished" || ending == "new")
                })
                .collect();
            assert!(left.is_empty(), "{shown}: {left:?}");
            let audit: Value = admin(&data).get("/api/v1/audit?limit=1000").await.unwrap();
            let root = issued["cas"][0]["sha256"].as_str().unwrap();
            let records = audit["items"].as_array().unwrap().iter().map(|one| &one["record"]);
            let mut made = records.filter(|one| one["action"] == json!("authority.create"));
            assert!(made.any(|one| one["target"] == json!(root)), "{shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_each_sync_and_rename_of_a_roll_over_of_the_issuing_ca() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    drop(serve(&data));
    for (name, calls) in FIRST_EFFECTS {
        for nth in 1.. {
            let shown = format!("roll-over, before {name} {nth}");
            let mut strace = kill_at(calls, nth);
            strace.args(["-f", "-qq", env!("CARGO_BIN_EXE_holdfast-cloud"), "ca", "roll-issuing"]);
            let is_done =
                strace.env("HOLDFAST_CLOUD_DATA", &data).output().unwrap().status.success();
            // It opens every key that the roster names, and signs with the one in force.
            let server = serve(&data);
            let authority: Value = admin(&data).get("/api/v1/authority").await.unwrap();
            let audit: Value = admin(&data).get("/api/v1/audit?limit=1000").await.unwrap();
            let issuing = std::fs::read_to_string(data.join("ca/issuing.crt")).unwrap();
            assert_eq!(authority["issuing"], json!(issuing), "{shown}");
            let cas = authority["cas"].as_array().unwrap().iter().skip(1);
            for ca in cas.filter(|ca| ca["superseded_at"].is_null()) {
                let records = audit["items"].as_array().unwrap().iter().map(|one| &one["record"]);
                let mut rolled =
                    records.filter(|one| one["action"] == json!("authority.roll-issuing"));
                let is_first = authority["cas"].as_array().unwrap().len() == 2;
                assert!(is_first || rolled.any(|one| one["target"] == ca["id"]), "{shown}");
            }
            drop(server);
            if is_done {
                assert!(nth > 1, "{shown}");
                break;
            }
        }
    }
}
