//! Which device is at the other end, and whether it may be there.

use std::sync::Arc;

use axum::extract::{Extension, FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use holdfast_attestation::refusal::Reason;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use uuid::Uuid;

use crate::app::App;
use crate::ca::Serial;
use crate::registry::{CertificateRecord, Device, NewEvent, NotInForce, Severity, in_force};
use crate::reply::{ErrorReply, RequestId, request_id};
use crate::tls::{Connection, Rate, TokenBuckets};

/// A device that calls often while it is shut out leaves this many events.
const REFUSAL_EVENTS: Rate = Rate { burst: 5, per_minute: 1 };

/// The device of this connection, as the registry knows it at this request.
#[derive(Clone, Debug)]
pub struct DeviceSession {
    /// The device.
    pub device: Device,
    /// The certificate that it showed.
    pub certificate: CertificateRecord,
}

/// State of the check.
pub(super) struct Gate {
    app: App,
    events: TokenBuckets<Uuid>,
}

impl Gate {
    pub(super) fn new(app: App) -> Self {
        Self { app, events: TokenBuckets::new(REFUSAL_EVENTS, 65_536) }
    }
}

pub(super) async fn authenticate(
    State(gate): State<Arc<Gate>>,
    Extension(connection): Extension<Arc<Connection>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request_id(request.extensions());
    match gate.session(&connection, &id).await {
        Ok(session) => {
            request.extensions_mut().insert(session);
            next.run(request).await
        }
        Err(reply) => {
            let mut response = reply.into_response();
            // The connection is worth nothing any more; a resumed device makes a new one.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            response
        }
    }
}

impl Gate {
    async fn session(
        &self,
        connection: &Connection,
        id: &RequestId,
    ) -> Result<DeviceSession, ErrorReply> {
        let shown = connection.certificate.as_ref();
        let serial = shown.and_then(|der| Serial::of_certificate(der)).ok_or_else(|| {
            ErrorReply::internal(&"a connection of the device listener has no certificate", id)
        })?;
        let found = self
            .app
            .store
            .session(serial.clone())
            .await
            .map_err(|e| ErrorReply::of_store(&e, id))?;
        let Some((certificate, device)) = found else {
            tracing::warn!(request_id = id.0, %serial, peer = %connection.peer,
                "a certificate of this authority is not in the store");
            let detail = "this certificate is not known here".to_owned();
            return Err(refusal(Reason::CertificateUnknown.code(), detail, id));
        };
        match in_force(&device, &certificate, self.app.now()) {
            Ok(()) => Ok(DeviceSession { device, certificate }),
            Err(NotInForce { code, detail }) => {
                self.record(connection, &device, code, &detail, id).await;
                Err(refusal(code, detail, id))
            }
        }
    }

    async fn record(
        &self,
        connection: &Connection,
        device: &Device,
        code: &str,
        detail: &str,
        id: &RequestId,
    ) {
        let now = self.app.now();
        if self.events.take(device.id, now).is_err() {
            return;
        }
        let event = NewEvent {
            at: now,
            severity: Severity::Warning,
            kind: "connection-refused".to_owned(),
            code: Some(code.to_owned()),
            tenant: Some(device.tenant.clone()),
            device_id: Some(device.id),
            edge_id: Some(device.edge_id.clone()),
            ek_sha256: device.ek_sha256,
            source: Some(connection.peer.ip().to_string()),
            request_id: Some(id.0.clone()),
            detail: detail.to_owned(),
        };
        if let Err(error) = self.app.store.record_event(event, None).await {
            tracing::error!(request_id = id.0, %error, "an event could not be recorded");
        }
    }
}

fn refusal(code: &str, detail: String, id: &RequestId) -> ErrorReply {
    ErrorReply::new(StatusCode::FORBIDDEN, code, detail, id)
}

impl<S: Send + Sync> FromRequestParts<S> for DeviceSession {
    type Rejection = ErrorReply;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ErrorReply> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            let id = request_id(&parts.extensions);
            ErrorReply::internal(&"a route of the device API has no gate", &id)
        })
    }
}
