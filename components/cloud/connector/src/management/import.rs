//! A table of devices, registered all or none.

mod table;

use axum::Json;
use axum::extract::{Request, State};
use serde::Deserialize;

use super::Caller;
use super::devices::{Registration, only_tenant};
use super::types::{ImportedDevices, ImportedSecret};
use crate::app::App;
use crate::audit::{Act, Operation};
use crate::registry::Tenant;
use crate::reply::{ErrorReply, Parameters, RequestId, body_bytes, expect_media_type};
use http::StatusCode;

/// Some 200,000 lines with everything in them.
pub(super) const BODY_LIMIT: usize = 32 << 20;
/// Lines that an answer names; whoever mends these finds the others.
const TOLD: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImportParameters {
    tenant: Option<Tenant>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn import(
    State(app): State<App>,
    id: RequestId,
    caller: Caller,
    Parameters(wanted): Parameters<ImportParameters>,
    request: Request,
) -> Result<Json<ImportedDevices>, ErrorReply> {
    expect_media_type(request.headers(), "text/csv", &id)?;
    let body = body_bytes(request, &()).await?;
    let malformed = |faults: Vec<String>| {
        let more = faults.len().saturating_sub(TOLD);
        let mut told = faults;
        told.truncate(TOLD);
        if more > 0 {
            told.push(format!("and {more} more; nothing was registered"));
        }
        let detail = told.join("\n");
        ErrorReply::new(StatusCode::BAD_REQUEST, "malformed-import", detail, &id)
    };
    let rows = table::parse(&body).map_err(&malformed)?;
    let default = match wanted.tenant {
        Some(tenant) => Some(tenant),
        None if rows.iter().all(|row| row.wanted.tenant.is_some()) => None,
        None => Some(only_tenant(&app, &id).await?),
    };

    let now = app.now();
    let (mut devices, mut secrets, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    let count = rows.len();
    for table::Row { line, wanted } in rows {
        let Some(tenant) = wanted.tenant.clone().or_else(|| default.clone()) else { continue };
        match Registration::new(wanted, tenant, now, &caller.name) {
            Ok(Registration { device, pairing_code, enrolment_secret }) => {
                if let Some(not_after) = device.not_after
                    && device.secret.is_some()
                {
                    let edge_id = device.edge_id.as_str().to_owned();
                    secrets.push(ImportedSecret {
                        edge_id,
                        pairing_code,
                        enrolment_secret,
                        not_after,
                    });
                }
                devices.push((line, device));
            }
            Err(fault) => faults.push(format!("line {line}: {fault}")),
        }
    }
    if !faults.is_empty() {
        return Err(malformed(faults));
    }
    let dry_run = wanted.dry_run;
    let mut operation =
        Operation::new(now, caller.actor(), Act::Import, &format!("{count} devices"))
            .with_arguments(&[&body]);
    if let Some(tenant) = &default {
        operation = operation.with_tenant(tenant);
    }
    let audit = (!dry_run).then(|| operation.done());
    let imported = app.store.import(devices, audit).await;
    if dry_run {
        imported.map_err(|e| ErrorReply::of_store(&e, &id))?;
        secrets.clear();
    } else {
        app.outcome(&operation, imported, &id).await?;
    }
    Ok(Json(ImportedDevices { registered: count, dry_run, secrets }))
}
