//! A device's audit log, and how it is handed over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_attestation::evidence::CertifyStatement;
use holdfast_audit_log::checkpoint::{BootBinding, Checkpoint, KeyId, TpmClock};
use holdfast_audit_log::frame::{Class, Kind, Timestamp};
use holdfast_audit_log::{Action, Actor, Appender, AuditRecord, Entry, Origin, Source, Text};
use http::Method;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::EncodePublicKey as _;
use serde_json::{Value, json};

use super::http::{Answer, Connection};
use super::software::SoftwareTpm;

pub const FRAMES: &str = "application/vnd.holdfast.audit-frames";

/// A log that is being written.
#[derive(Clone)]
pub struct Log {
    pub id: String,
    pub appender: Appender,
    key: SigningKey,
    /// One per record.
    pub frames: Vec<Vec<u8>>,
}

pub fn start(number: u32) -> BootBinding {
    let clock = TpmClock { clock_ms: 1, reset_count: number, restart_count: 0, is_safe: true };
    BootBinding { clock, nv_counter: number.into() }
}

impl Log {
    pub fn new(tpm: &SoftwareTpm) -> Self {
        Self::with_id(tpm, &hex::encode(uuid::Uuid::new_v4().into_bytes()))
    }

    pub fn with_id(tpm: &SoftwareTpm, id: &str) -> Self {
        let origin = Origin::new(format!("holdfast/audit/{id}")).unwrap();
        let appender = Appender::new(origin);
        Self { id: id.to_owned(), appender, key: tpm.audit_key.clone(), frames: Vec::new() }
    }

    pub fn origin(&self) -> &str {
        self.appender.origin().as_str()
    }

    pub fn append(&mut self, class: Class, kind: Kind, payload: &[u8]) {
        let time = Timestamp {
            realtime_ns: 1_800_000_000_000_000_000 + self.appender.size() * 1_000_000_000,
            boottime_ns: self.appender.size(),
            is_synchronised: true,
        };
        let mut frame = Vec::new();
        self.appender.append(Entry { class, kind, time, payload }, &mut frame).unwrap();
        self.frames.push(frame);
    }

    /// An operation by a user.
    pub fn operation(&mut self, login_uid: u32, action: &str, target: &str) {
        let record = AuditRecord::new(
            time::OffsetDateTime::UNIX_EPOCH,
            Source::device("enroller").unwrap(),
            Actor::user(0).with_login_uid(login_uid),
            Action::new(action).unwrap(),
            Text::lossy(target),
        );
        self.append(Class::Operation, Kind::Operation, record.to_json().unwrap().as_bytes());
    }

    pub fn operations(&mut self, count: usize) {
        for number in 0..count {
            self.operation(1000, "identity.sign", &format!("number {number}"));
        }
    }

    pub fn boot(&mut self, number: u32) {
        let boot = json!({ "boot_id": number.to_string(), "release": "0.1.0", "kernel": "6.12",
            "firmware": "EDK II" });
        self.append(Class::System, Kind::Boot, boot.to_string().as_bytes());
        self.checkpoint(Some(start(number)));
    }

    pub fn checkpoint(&mut self, boot: Option<BootBinding>) {
        let checkpoint = self.appender.checkpoint(boot);
        self.sign(checkpoint);
    }

    /// Signs anything and keeps it in the log.
    pub fn sign(&mut self, checkpoint: Checkpoint) {
        let signature: Signature = self.key.sign_prehash(&checkpoint.signing_digest()).unwrap();
        let spki = self.key.verifying_key().to_public_key_der().unwrap();
        let key = KeyId::of_spki(spki.as_bytes());
        let note = checkpoint.signed(key, signature.to_der().as_bytes().to_vec()).to_string();
        self.append(Class::Log, Kind::Checkpoint, note.as_bytes());
    }

    pub fn bytes(&self, range: std::ops::Range<usize>) -> Vec<u8> {
        self.frames[range].concat()
    }

    pub fn path(&self) -> String {
        format!("/api/v1/device/audit/logs/{}", self.id)
    }

    pub async fn register(&self, connection: &mut Connection, tpm: &SoftwareTpm) -> Answer {
        let body = registration(&tpm.certify_audit_key(self.origin()), &Value::Null);
        self.register_with(connection, &body).await
    }

    pub async fn register_with(&self, connection: &mut Connection, body: &Value) -> Answer {
        connection.send(Method::PUT, &self.path(), body.to_string()).await.unwrap()
    }

    /// Hands over records of this range.
    pub async fn put(&self, connection: &mut Connection, range: std::ops::Range<usize>) -> Answer {
        self.put_bytes(connection, range.start, self.bytes(range)).await
    }

    pub async fn put_bytes(
        &self,
        connection: &mut Connection,
        first: usize,
        bytes: Vec<u8>,
    ) -> Answer {
        self.try_put(connection, first, &[], bytes).await.unwrap()
    }

    pub async fn try_put(
        &self,
        connection: &mut Connection,
        first: usize,
        headers: &[(&str, &str)],
        bytes: Vec<u8>,
    ) -> hyper::Result<Answer> {
        let path = format!("{}/records/{first}", self.path());
        let mut all = vec![("content-type", FRAMES)];
        all.extend(headers);
        connection.send_with(Method::PUT, &path, &all, bytes).await
    }
}

/// The body of a registration.
pub fn registration(statement: &CertifyStatement, previous: &Value) -> Value {
    json!({
        "public": STANDARD.encode(&statement.public),
        "attest": STANDARD.encode(&statement.attest),
        "signature": STANDARD.encode(&statement.signature),
        "previous": previous,
    })
}
