//! `POST /api/v1/device/token`: a token for a third party, bound to the certificate of this
//! connection.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::routing::post;
use axum::{Json, Router};
use holdfast_audit_log::{Actor, Text};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{DeviceSession, TOKEN};
use crate::app::App;
use crate::audit::{Act, Operation};
use crate::registry::Device;
use crate::reply::{Body, ErrorReply, RequestId};
use crate::tls::{Connection, Rate, TokenBuckets};
use crate::tokens::{Audience, AudienceRecord, Claims, Scope, Shown};

/// A token lives for a quarter of an hour and serves many calls; each is a record in the audit.
const RATE: Rate = Rate { burst: 60, per_minute: 30 };

/// What the device asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    audience: Audience,
    /// Space-separated; each must be allowed for the audience.
    #[serde(default)]
    scope: Option<String>,
}

/// The answer.
#[derive(Serialize)]
struct TokenAnswer {
    token: String,
    /// Seconds since 1970.
    expires: i64,
}

type Limits = Arc<TokenBuckets<Uuid>>;

pub(super) fn router() -> Router<App> {
    let limits: Limits = Arc::new(TokenBuckets::new(RATE, 65_536));
    Router::new().route(TOKEN, post(issue)).layer(Extension(limits))
}

async fn issue(
    State(app): State<App>,
    id: RequestId,
    Extension(limits): Extension<Limits>,
    Extension(connection): Extension<Arc<Connection>>,
    session: DeviceSession,
    Body(wanted): Body<TokenRequest>,
) -> Result<Json<TokenAnswer>, ErrorReply> {
    let now = app.now();
    let DeviceSession { device, certificate } = session;
    limits.take(device.id, now).map_err(|too_many| {
        let detail = "too many tokens; use one for as long as it is good".to_owned();
        ErrorReply::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", detail, &id)
            .retry_after(too_many.retry_after)
    })?;
    let certificate_der = connection.certificate.as_ref().ok_or_else(|| {
        ErrorReply::internal(&"a connection of the device listener has no certificate", &id)
    })?;
    let asked = wanted.scope.as_deref().unwrap_or_default();
    let operation = |jti: &[u8]| {
        let actor = Actor::device(Text::lossy(&device.id.to_string()));
        Operation::new(now, actor, Act::IssueToken, wanted.audience.as_str())
            .with_device(device.id, &device.tenant)
            .with_arguments(&[wanted.audience.as_str().as_bytes(), asked.as_bytes(), jti])
    };
    let scopes = match admit(&app, &device, &wanted, &id).await? {
        Ok(scopes) => scopes,
        Err((code, detail)) => {
            let denied = app.store.record_audit(operation(&[]).denied(&detail)).await;
            denied.map_err(|e| ErrorReply::of_store(&e, &id))?;
            return Err(ErrorReply::new(StatusCode::FORBIDDEN, code, detail, &id));
        }
    };
    let shown = Shown { certificate_der, not_after: certificate.not_after };
    let claims = Claims::new(&device, shown, wanted.audience.clone(), &scopes, now);
    let token = app.token_keys.sign(&claims).map_err(|e| ErrorReply::internal(&e, &id))?;
    // The token leaves only when its record is stored.
    let recorded = app.store.record_audit(operation(claims.jti.as_bytes()).done()).await;
    recorded.map_err(|e| ErrorReply::of_store(&e, &id))?;
    Ok(Json(TokenAnswer { token, expires: claims.exp }))
}

type Decision = Result<Vec<Scope>, (&'static str, String)>;

async fn admit(
    app: &App,
    device: &Device,
    wanted: &TokenRequest,
    id: &RequestId,
) -> Result<Decision, ErrorReply> {
    let found = app.store.audience(device.tenant.clone(), wanted.audience.clone()).await;
    let found = found.map_err(|e| ErrorReply::of_store(&e, id))?;
    Ok(decide(found.as_ref(), wanted))
}

fn decide(found: Option<&AudienceRecord>, wanted: &TokenRequest) -> Decision {
    let Some(record) = found else {
        let detail = format!(
            "tokens for \"{}\" are not allowed; an administrator allows them with: \
             holdfast-cloud token audience add {}",
            wanted.audience, wanted.audience
        );
        return Err(("audience-not-allowed", detail));
    };
    match &wanted.scope {
        Some(scope) => record.admit(scope).map_err(|detail| ("scope-not-allowed", detail)),
        None => Ok(Vec::new()),
    }
}
