//! `/api/v1/device/audit/logs/…`: the caller's audit logs. It registers one with proof that its TPM
//! holds the log's key, hands over records in order, and gets signed receipts of what is stored.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Extension, FromRequestParts, Path, Request};
use axum::routing::{get, put};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use holdfast_attestation::evidence::CertifyStatement;
use holdfast_attestation::tpm::Public;
use holdfast_attestation::verify::{AuditKeyRefusal, check_audit_key};
use holdfast_audit_log::{Actor, Text};
use http::request::Parts;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{AUDIT_LOG, AUDIT_RECORDS, DeviceSession};
use crate::app::App;
use crate::audit::{Act, Operation};
use crate::ca::CaError;
use crate::device_audit::{
    Ingested, LogId, LogState, NewLog, Position, PreviousLog, Refusal, Upload,
};
use crate::registry::{Device, NewEvent, Severity};
use crate::reply::{Body, ErrorReply, RequestId, body_bytes, expect_media_type};
use crate::tls::{Rate, TokenBuckets};

const FRAMES: &str = "application/vnd.holdfast.audit-frames";
/// Longest upload as it is sent, bytes.
const UPLOAD_LIMIT: usize = 1 << 20;
const REGISTRATION_LIMIT: usize = 16 * 1024;
/// A device asks at its start and after a refusal.
const ASKING: Rate = Rate { burst: 30, per_minute: 10 };
/// A spool that is full is handed over at once; afterwards there is little to send, often.
const UPLOADS: Rate = Rate { burst: 300, per_minute: 300 };
/// A device that sends the same fault again and again leaves this many events.
const FAULT_EVENTS: Rate = Rate { burst: 5, per_minute: 1 };

pub(super) struct Limits {
    asking: TokenBuckets<Uuid>,
    uploads: TokenBuckets<Uuid>,
    events: TokenBuckets<Uuid>,
}

pub(super) fn router() -> Router<App> {
    let buckets = |rate| TokenBuckets::new(rate, 65_536);
    let limits = Arc::new(Limits {
        asking: buckets(ASKING),
        uploads: buckets(UPLOADS),
        events: buckets(FAULT_EVENTS),
    });
    let log = put(register).layer(DefaultBodyLimit::max(REGISTRATION_LIMIT)).merge(get(show));
    let records = put(upload).layer(DefaultBodyLimit::max(UPLOAD_LIMIT));
    Router::new().route(AUDIT_LOG, log).route(AUDIT_RECORDS, records).layer(Extension(limits))
}

/// What every handler knows.
pub(super) struct Call {
    app: App,
    id: RequestId,
    device: Device,
    limits: Arc<Limits>,
}

impl FromRequestParts<App> for Call {
    type Rejection = ErrorReply;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ErrorReply> {
        let id = crate::reply::request_id(&parts.extensions);
        let DeviceSession { device, .. } = DeviceSession::from_request_parts(parts, app).await?;
        let limits = parts.extensions.get::<Arc<Limits>>().cloned();
        let limits =
            limits.ok_or_else(|| ErrorReply::internal(&"the audit routes have no limits", &id))?;
        Ok(Self { app: app.clone(), id, device, limits })
    }
}

impl Call {
    fn take(&self, buckets: &TokenBuckets<Uuid>) -> Result<(), ErrorReply> {
        buckets.take(self.device.id, self.app.now()).map_err(|too_many| {
            let detail = "too many requests about audit logs".to_owned();
            self.refuse(StatusCode::TOO_MANY_REQUESTS, "rate-limited", detail)
                .retry_after(too_many.retry_after)
        })
    }

    fn refuse(&self, status: StatusCode, code: &str, detail: String) -> ErrorReply {
        ErrorReply::new(status, code, detail, &self.id)
    }

    fn internal(&self, cause: &dyn std::fmt::Display) -> ErrorReply {
        ErrorReply::internal(cause, &self.id)
    }

    fn log_id(&self, text: &str) -> Result<LogId, ErrorReply> {
        text.parse().map_err(|e| ErrorReply::malformed(format!("{e}"), &self.id))
    }

    fn unknown(&self, log: &LogId) -> ErrorReply {
        let detail = format!("this device has no log {log}; register it first");
        self.refuse(StatusCode::NOT_FOUND, "audit-log-unknown", detail)
    }

    fn operation(&self, act: Act, log: &LogId) -> Operation {
        let actor = Actor::device(Text::lossy(&self.device.id.to_string()));
        Operation::new(self.app.now(), actor, act, &self.device.edge_id)
            .with_device(self.device.id, &self.device.tenant)
            .with_arguments(&[log.as_str().as_bytes()])
    }

    fn event(&self, severity: Severity, kind: &str, detail: String) -> NewEvent {
        let device = &self.device;
        NewEvent {
            at: self.app.now(),
            severity,
            kind: kind.to_owned(),
            code: None,
            tenant: Some(device.tenant.clone()),
            device_id: Some(device.id),
            edge_id: Some(device.edge_id.clone()),
            ek_sha256: device.ek_sha256,
            source: None,
            request_id: Some(self.id.0.clone()),
            detail,
        }
    }

    /// Records a fault of an upload that leaves the log as it is.
    async fn note(&self, event: NewEvent) -> Result<(), ErrorReply> {
        if self.limits.events.take(self.device.id, self.app.now()).is_ok() {
            let recorded = self.app.store.record_event(event, None).await;
            recorded.map_err(|e| ErrorReply::of_store(&e, &self.id))?;
        }
        Ok(())
    }

    fn answer(&self, log: LogId, position: &Position) -> Result<Json<LogAnswer>, ErrorReply> {
        let receipt = receipt(&self.app, &log, self.device.id, position);
        Ok(Json(LogAnswer {
            log,
            size: position.size(),
            head: position.head.to_string(),
            root: position.frontier.root().to_string(),
            receipt: receipt.map_err(|e| self.internal(&e))?,
        }))
    }
}

/// What the server signs of a log at this position.
pub(crate) fn receipt(
    app: &App,
    log: &LogId,
    device_id: Uuid,
    position: &Position,
) -> Result<String, CaError> {
    let now = app.now();
    app.authority().sign_receipt(&position.receipt(log, device_id, now), now)
}

/// What the server has of a log.
#[derive(Serialize)]
struct LogAnswer {
    log: LogId,
    size: u64,
    head: String,
    root: String,
    /// JWS in compact serialization.
    receipt: String,
}

async fn show(call: Call, Path(log): Path<String>) -> Result<Json<LogAnswer>, ErrorReply> {
    call.take(&call.limits.asking)?;
    let log = call.log_id(&log)?;
    let found = call.app.store.audit_log(log.clone()).await;
    let found = found.map_err(|e| ErrorReply::of_store(&e, &call.id))?;
    let found = found.filter(|found| found.device_id == call.device.id);
    let found = found.ok_or_else(|| call.unknown(&log))?;
    call.answer(log, &found.position)
}

/// The proof of a log's key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    public: String,
    attest: String,
    signature: String,
    #[serde(default)]
    previous: Option<PreviousLog>,
}

/// Why a log is not registered.
type Denied = (StatusCode, &'static str, String);

async fn register(
    call: Call,
    Path(log): Path<String>,
    Body(wanted): Body<Registration>,
) -> Result<Json<LogAnswer>, ErrorReply> {
    call.take(&call.limits.asking)?;
    let id = call.log_id(&log)?;
    let failed = |e| ErrorReply::of_store(&e, &call.id);
    let operation = call.operation(Act::RegisterAuditLog, &id);
    let known = call.app.store.audit_log(id.clone()).await.map_err(failed)?;
    let ak = call.app.store.attestation_key(call.device.id).await.map_err(failed)?;
    let judged = decode(&wanted).and_then(|statement| match &known {
        Some(known) if known.device_id != call.device.id => {
            let detail = format!("log {id} is of another device; make a new one");
            Err((StatusCode::CONFLICT, "audit-log-taken", detail))
        }
        Some(known) => same_key(&statement, &known.key_spki),
        None => proven_key(&statement, ak.as_deref(), &id, wanted.previous.as_ref()),
    });
    let key_spki = match judged {
        Ok(key_spki) => key_spki,
        Err((status, code, detail)) => {
            call.app.store.record_audit(operation.failed(&detail)).await.map_err(failed)?;
            return Err(call.refuse(status, code, detail));
        }
    };
    if let Some(known) = known {
        return call.answer(id, &known.position);
    }
    let new = NewLog {
        id: id.clone(),
        device_id: call.device.id,
        key_spki,
        previous: wanted.previous,
        at: call.app.now(),
    };
    let replaced = call.event(Severity::Alert, "audit-log-replaced", String::new());
    let registered = call.app.store.register_audit_log(new, replaced, operation.done()).await;
    call.app.outcome(&operation, registered, &call.id).await?;
    let position = Position::start(&id.origin());
    call.answer(id, &position)
}

fn decode(wanted: &Registration) -> Result<CertifyStatement, Denied> {
    let bytes = |part: &str, text: &str| {
        BASE64_STANDARD.decode(text).map_err(|e| invalid(format!("{part}: {e}")))
    };
    Ok(CertifyStatement {
        public: bytes("public", &wanted.public)?,
        attest: bytes("attest", &wanted.attest)?,
        signature: bytes("signature", &wanted.signature)?,
    })
}

fn invalid(detail: String) -> Denied {
    (StatusCode::BAD_REQUEST, "audit-evidence-invalid", detail)
}

/// A log that is registered keeps its key; the statement was judged when it was.
fn same_key(statement: &CertifyStatement, key_spki: &[u8]) -> Result<Vec<u8>, Denied> {
    let key = Public::parse(&statement.public).map_err(|e| invalid(format!("public: {e}")))?;
    let spki = key.to_spki_der().map_err(|e| invalid(format!("public: {e}")))?;
    if spki == key_spki {
        return Ok(spki);
    }
    let detail = "the log is registered with another key; make a new log".to_owned();
    Err((StatusCode::CONFLICT, "audit-key-changed", detail))
}

fn proven_key(
    statement: &CertifyStatement,
    ak: Option<&[u8]>,
    log: &LogId,
    previous: Option<&PreviousLog>,
) -> Result<Vec<u8>, Denied> {
    if previous.is_some_and(|previous| previous.log == *log) {
        let detail = "a log cannot follow itself".to_owned();
        return Err((StatusCode::UNPROCESSABLE_ENTITY, "audit-previous-invalid", detail));
    }
    let ak = ak.and_then(|ak| Public::parse(ak).ok()).ok_or_else(|| {
        let detail = "this device enrolled without a TPM: nothing can certify the key".to_owned();
        (StatusCode::UNPROCESSABLE_ENTITY, "audit-ak-unknown", detail)
    })?;
    check_audit_key(statement, &ak, log.origin().as_str()).map_err(|refusal| {
        let code = match refusal {
            AuditKeyRefusal::Unreadable { .. } => return invalid(refusal.to_string()),
            AuditKeyRefusal::NotCertify => "audit-attest-type",
            AuditKeyRefusal::OtherKey => "audit-key-name",
            AuditKeyRefusal::OtherLog => "audit-qualifying-data",
            AuditKeyRefusal::Signature(_) => "audit-evidence-signature",
            AuditKeyRefusal::Attributes(_) => "audit-key-attributes",
            AuditKeyRefusal::Kind => "audit-key-type",
        };
        (StatusCode::UNPROCESSABLE_ENTITY, code, refusal.to_string())
    })
}

async fn upload(
    call: Call,
    Path((log, first)): Path<(String, String)>,
    request: Request,
) -> Result<Json<LogAnswer>, ErrorReply> {
    call.take(&call.limits.uploads)?;
    let log = call.log_id(&log)?;
    let first = first.parse().ok().filter(|number: &u64| number.to_string() == first);
    let first = first.ok_or_else(|| {
        let detail = "the last part of the path is no sequence number".to_owned();
        ErrorReply::malformed(detail, &call.id)
    })?;
    expect_media_type(request.headers(), FRAMES, &call.id)?;
    let is_packed = match request.headers().get(header::CONTENT_ENCODING) {
        None => false,
        Some(value) if value.as_bytes() == b"zstd" => true,
        Some(_) => {
            let detail = "the body may be packed with zstd and nothing else".to_owned();
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(call.refuse(status, "unsupported-content-encoding", detail));
        }
    };
    let body = body_bytes(request, &call.app)
        .await
        .map_err(|reply| if reply.is("too-large") { call.too_large() } else { reply })?;
    let upload = Upload { first, body, is_packed };
    let App { store, device_audit, .. } = &call.app;
    let ingested =
        device_audit.ingest(store, call.device.id, log.clone(), upload, call.app.now()).await;
    match ingested.map_err(|e| call.internal(&e))? {
        Ingested::Stored(position) => call.answer(log, &position),
        Ingested::Unknown => Err(call.unknown(&log)),
        Ingested::TooLarge => Err(call.too_large()),
        Ingested::NotPacked(why) => {
            let detail = format!("the body is not packed with zstd: {why}");
            Err(call.refuse(StatusCode::BAD_REQUEST, "audit-encoding-invalid", detail))
        }
        Ingested::Refused(refusal, position) => {
            Err(call.refused(&log, &refusal, &position).await?)
        }
    }
}

impl Call {
    fn too_large(&self) -> ErrorReply {
        let detail = format!(
            "an upload has at most {UPLOAD_LIMIT} bytes as it is sent, and four times as many \
             unpacked"
        );
        self.refuse(StatusCode::PAYLOAD_TOO_LARGE, "audit-too-large", detail)
    }

    /// What a refusal leads to besides the answer.
    async fn refused(
        &self,
        log: &LogId,
        refusal: &Refusal,
        position: &Position,
    ) -> Result<ErrorReply, ErrorReply> {
        let detail = format!("log {log}: {refusal}");
        let stored = |reply: ErrorReply| {
            let head = position.head.to_string();
            reply.with_facts([("size", json!(position.size())), ("head", json!(head))])
        };
        let conflict = |code| stored(self.refuse(StatusCode::CONFLICT, code, detail.clone()));
        Ok(match refusal {
            Refusal::Gap { .. } => {
                self.note(self.event(Severity::Warning, "audit-gap", detail.clone())).await?;
                conflict("audit-gap")
            }
            Refusal::Fork { .. } => {
                self.fork(log, "audit-fork", &detail).await?;
                conflict("audit-fork")
            }
            Refusal::RolledBack { .. } => {
                self.fork(log, "audit-rolled-back", &detail).await?;
                conflict("audit-fork")
            }
            Refusal::ReadOnly(LogState::Forked) => conflict("audit-fork"),
            Refusal::ReadOnly(_) => conflict("audit-log-closed"),
            Refusal::Frame(bad) => self
                .refuse(StatusCode::BAD_REQUEST, "audit-frame-invalid", detail)
                .with_facts([("offset", json!(bad.offset)), ("sequence", json!(bad.sequence))]),
            Refusal::Checkpoint { sequence, .. } => {
                let code = "audit-checkpoint-invalid";
                self.note(self.event(Severity::Alert, code, detail.clone())).await?;
                self.refuse(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
                    .with_facts([("sequence", json!(sequence))])
            }
        })
    }

    async fn fork(&self, log: &LogId, kind: &str, detail: &str) -> Result<(), ErrorReply> {
        let event = self.event(Severity::Alert, kind, detail.to_owned());
        let audit = self.operation(Act::ForkAuditLog, log).failed(detail);
        let forked = self.app.store.fork_audit_log(log.clone(), event, audit).await;
        forked.map_err(|e| ErrorReply::of_store(&e, &self.id))
    }
}
