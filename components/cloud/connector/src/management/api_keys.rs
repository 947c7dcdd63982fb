//! API keys.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;

use super::Caller;
use super::types::{ApiKeySummary, CreateApiKey, Items, NewApiKey};
use crate::access::{ApiKey, PresentedKey};
use crate::app::App;
use crate::audit::{Act, Operation};
use crate::reply::{Body, ErrorReply, RequestId};

const NAME_LIMIT: usize = 64;

impl From<ApiKey> for ApiKeySummary {
    fn from(key: ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            role: key.role,
            created_at: key.created_at,
            created_by: key.created_by,
            revoked_at: key.revoked_at,
        }
    }
}

pub(super) async fn list(
    State(app): State<App>,
    id: RequestId,
) -> Result<Json<Items<ApiKeySummary>>, ErrorReply> {
    let keys = app.store.api_keys().await.map_err(|e| ErrorReply::of_store(&e, &id))?;
    Ok(Json(Items { items: keys.into_iter().map(ApiKeySummary::from).collect() }))
}

pub(super) async fn create(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    Body(wanted): Body<CreateApiKey>,
) -> Result<(StatusCode, Json<NewApiKey>), ErrorReply> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
    if wanted.name.is_empty()
        || wanted.name.len() > NAME_LIMIT
        || !wanted.name.chars().all(is_plain)
    {
        let detail = format!("name: expected 1 to {NAME_LIMIT} characters of A-Z a-z 0-9 . _ - @");
        return Err(ErrorReply::malformed(detail, &id));
    }
    let presented = PresentedKey::random().map_err(|e| ErrorReply::internal(&e, &id))?;
    let now = app.now();
    let key = ApiKey {
        id: presented.id().to_owned(),
        name: wanted.name,
        role: wanted.role,
        secret_sha256: presented.secret_sha256(),
        created_at: now,
        created_by: caller.name.clone(),
        revoked_at: None,
    };
    let operation = Operation::new(now, caller.actor(), Act::CreateApiKey, &key.name)
        .with_arguments(&[key.name.as_bytes(), key.role.as_str().as_bytes()]);
    let added = app.store.add_api_key(key.clone(), operation.done()).await;
    app.outcome(&operation, added, &id).await?;
    let answer = NewApiKey { summary: key.into(), key: presented.reveal().to_string() };
    Ok((StatusCode::CREATED, Json(answer)))
}

pub(super) async fn revoke(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    Path(key): Path<String>,
) -> Result<Json<ApiKeySummary>, ErrorReply> {
    let now = app.now();
    let operation = Operation::new(now, caller.actor(), Act::RevokeApiKey, &key);
    let revoked = app.store.revoke_api_key(key, now, operation.done()).await;
    Ok(Json(app.outcome(&operation, revoked, &id).await?.into()))
}
