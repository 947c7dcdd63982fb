//! `GET /crl/ID.crl`: the revocation list of a CA, DER (RFC 5280, section 5).

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header;
use time::{Duration, OffsetDateTime};
use tokio::sync::Mutex;

use super::{CACHE_CONTROL, Public};
use crate::app::App;
use crate::ca::{Authority, CaError, CaId, Crl, RevokedCertificate};
use crate::reply::{self, ErrorReply, RequestId};
use crate::store::StoreError;

/// Life of a list.
const LIFE: Duration = Duration::hours(24);
/// Age at which a list is signed anew though it names the same certificates.
const RENEWED_AFTER: Duration = Duration::hours(12);
/// How often it is looked whether a list still says what the registry says. Not at each request:
/// strangers must not be able to keep the store busy.
const CHECKED_EVERY: Duration = Duration::minutes(1);

/// The last list of each issuing CA.
#[derive(Default)]
pub(super) struct CrlCache(Mutex<HashMap<CaId, List>>);

struct List {
    der: Bytes,
    revoked: Vec<RevokedCertificate>,
    signed_at: OffsetDateTime,
    checked_at: OffsetDateTime,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
enum CrlError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error("the list could not be signed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

pub(super) async fn show(
    State(public): State<Public>,
    id: RequestId,
    Path(file): Path<String>,
) -> Result<Response, ErrorReply> {
    let wanted: Option<CaId> = file.strip_suffix(".crl").and_then(|name| name.parse().ok());
    let Some(ca) = wanted else { return Err(reply::not_found(id).await) };
    let found = public.crls.list(&public.app, &ca).await;
    let Some(der) = found.map_err(|e| ErrorReply::internal(&e, &id))? else {
        return Err(reply::not_found(id).await);
    };
    let headers =
        [(header::CONTENT_TYPE, "application/pkix-crl"), (header::CACHE_CONTROL, CACHE_CONTROL)];
    Ok((headers, der).into_response())
}

impl CrlCache {
    /// The list of a CA; none of one that is not in force.
    async fn list(&self, app: &App, ca: &CaId) -> Result<Option<Bytes>, CrlError> {
        let authority = app.authority();
        let root = authority.roster().roots().find(|root| root.certificate.id() == ca);
        if let Some(root) = root {
            return Ok(root.crl.as_ref().map(|crl| Bytes::from(crl.der.clone())));
        }
        if !authority.issuing_cas().any(|issuing| issuing.id() == ca) {
            return Ok(None);
        }
        let now = app.now();
        let mut lists = self.0.lock().await;
        if let Some(list) = lists.get(ca).filter(|list| list.was_checked(now)) {
            return Ok(Some(list.der.clone()));
        }
        let revoked = app.store.revoked(ca.clone(), now).await?;
        if let Some(list) = lists.get_mut(ca).filter(|list| list.still_says(&revoked, now)) {
            list.checked_at = now;
            return Ok(Some(list.der.clone()));
        }
        let number = app.store.next_crl_number(ca.clone()).await?;
        let list = sign(authority, ca.clone(), number, revoked, now).await?;
        let der = list.der.clone();
        lists.insert(ca.clone(), list);
        Ok(Some(der))
    }
}

impl List {
    fn was_checked(&self, now: OffsetDateTime) -> bool {
        (now - self.checked_at).abs() < CHECKED_EVERY
    }

    fn still_says(&self, revoked: &[RevokedCertificate], now: OffsetDateTime) -> bool {
        (now - self.signed_at).abs() < RENEWED_AFTER && self.revoked == revoked
    }
}

/// Off the threads that serve connections: a list of a large fleet has a megabyte.
async fn sign(
    authority: Arc<Authority>,
    ca: CaId,
    number: u64,
    revoked: Vec<RevokedCertificate>,
    now: OffsetDateTime,
) -> Result<List, CrlError> {
    let work = move || {
        let list = Crl { number, this_update: now, next_update: now + LIFE, revoked: &revoked };
        let der = authority.sign_crl(&ca, &list)?;
        Ok(List { der: Bytes::from(der), revoked, signed_at: now, checked_at: now })
    };
    tokio::task::spawn_blocking(work).await?
}
