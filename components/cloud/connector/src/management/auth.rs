//! Who calls: the API key, and whether its role is enough.

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use holdfast_audit_log::{Actor, Text};
use http::request::Parts;
use http::{StatusCode, header};

use crate::access::{ApiKey, PresentedKey, Role};
use crate::app::App;
use crate::audit::{Act, Operation};
use crate::reply::{ErrorReply, RequestId, request_id};

/// A caller whose key was checked.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key's name.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
}

impl Caller {
    /// The caller in audit records.
    pub fn actor(&self) -> Actor {
        Actor::api_key(Text::lossy(&self.name))
    }
}

/// What a route asks of its callers.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) app: App,
    pub(super) role: Role,
    pub(super) act: Option<Act>,
}

/// Lets a request through that bears a key of sufficient role.
pub(super) async fn guard(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Result<Response, ErrorReply> {
    let id = request_id(request.extensions());
    let key = authenticate(&guard.app, request.headers(), &id).await?;
    let caller = Caller { name: key.name, role: key.role };
    if caller.role < guard.role {
        let detail = format!(
            "the API key \"{}\" has the role {}, this needs {}",
            caller.name, caller.role, guard.role
        );
        if let Some(act) = guard.act {
            let target = request.uri().path();
            let operation = Operation::new(guard.app.now(), caller.actor(), act, target);
            guard
                .app
                .store
                .record_audit(operation.denied(&detail))
                .await
                .map_err(|e| ErrorReply::of_store(&e, &id))?;
        }
        return Err(ErrorReply::new(StatusCode::FORBIDDEN, "role-missing", detail, &id));
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

async fn authenticate(
    app: &App,
    headers: &http::HeaderMap,
    id: &RequestId,
) -> Result<ApiKey, ErrorReply> {
    let refused = |detail: &str| {
        ErrorReply::new(StatusCode::UNAUTHORIZED, "api-key-needed", detail.to_owned(), id)
    };
    let value = headers
        .get(header::AUTHORIZATION)
        .ok_or_else(|| refused("send the header Authorization: Bearer <API key>"))?;
    let presented: PresentedKey = value
        .to_str()
        .ok()
        .and_then(|text| text.strip_prefix("Bearer "))
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| refused("the Authorization header is not Bearer <API key>"))?;
    let known = app
        .store
        .api_key(presented.id().to_owned())
        .await
        .map_err(|e| ErrorReply::of_store(&e, id))?;
    known.filter(|key| presented.opens(key)).ok_or_else(|| {
        tracing::warn!(request_id = id.0, key = presented.id(), "unknown or revoked API key");
        refused("this API key is unknown or revoked")
    })
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ErrorReply;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ErrorReply> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            let id = request_id(&parts.extensions);
            ErrorReply::internal(&"a route that needs a caller has no guard", &id)
        })
    }
}
