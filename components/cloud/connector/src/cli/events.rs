//! `holdfast-cloud events` and `holdfast-cloud audit`

use std::fmt::Write as _;

use holdfast_attestation::edge_id::EdgeId;

use super::arguments::{Audit, Connection, DeviceName, Events};
use super::output::{Output, moment, table};
use super::{Exit, device};
use crate::management::types::{DeviceDetail, Items};
use crate::registry::{Event, Severity};
use crate::store::StoredAuditRecord;

pub(super) async fn run_events(
    wanted: Events,
    connection: &Connection,
    output: &Output,
) -> Result<(), Exit> {
    let mut query = format!("?limit={}", wanted.limit);
    if let Some(device) = &wanted.device {
        let edge_id = EdgeId::parse(device).map_err(|e| Exit::Usage(format!("--device: {e}")))?;
        let _ = write!(query, "&edge_id={edge_id}");
    }
    if let Some(request) = &wanted.request {
        if !request.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Exit::Usage("--request: a request id is hexadecimal".to_owned()));
        }
        let _ = write!(query, "&request_id={request}");
    }
    if let Some(severity) = wanted.severity {
        let _ = write!(query, "&severity={}", Severity::from(severity).as_str());
    }
    let events: Items<Event> = connection.client()?.get(&format!("/api/v1/events{query}")).await?;
    output.result(&events, |events| overview(&events.items))
}

/// A table, oldest last.
pub(super) fn overview(events: &[Event]) -> String {
    let rows: Vec<_> = events
        .iter()
        .map(|Event { event, .. }| {
            [
                moment(event.at),
                event.severity.as_str().to_owned(),
                event.edge_id.clone().unwrap_or_default(),
                event.code.clone().unwrap_or_else(|| event.kind.clone()),
                event.request_id.clone().unwrap_or_default(),
                event.detail.clone(),
            ]
        })
        .collect();
    table(["TIME", "SEVERITY", "EDGE ID", "WHAT", "REQUEST", "DETAIL"], &rows)
}

pub(super) async fn run_audit(
    wanted: Audit,
    connection: &Connection,
    output: &Output,
) -> Result<(), Exit> {
    let client = connection.client()?;
    let mut query = format!("?limit={}", wanted.limit);
    if let Some(name) = wanted.device {
        let path = device::path(&DeviceName { name, tenant: None }, "")?;
        let found: DeviceDetail = client.get(&path).await?;
        let _ = write!(query, "&device_id={}", found.device.id);
    }
    let records: Items<StoredAuditRecord> = client.get(&format!("/api/v1/audit{query}")).await?;
    output.result(&records, |records| {
        let rows: Vec<_> = records
            .items
            .iter()
            .map(|stored| {
                let record = &stored.record;
                let actor = record.actor();
                let who = actor.name.as_ref().map_or_else(
                    || actor.uid.map_or_else(|| "system".to_owned(), |uid| format!("uid {uid}")),
                    |name| name.as_str().to_owned(),
                );
                [
                    moment(record.time()),
                    who,
                    record.action().to_string(),
                    record.target().to_owned(),
                    record.reason().unwrap_or("done").to_owned(),
                ]
            })
            .collect();
        table(["TIME", "WHO", "ACTION", "TARGET", "OUTCOME"], &rows)
    })
}
