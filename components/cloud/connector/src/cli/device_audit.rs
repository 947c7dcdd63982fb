//! `holdfast-cloud device-audit …`

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::arguments::{Connection, DeviceAudit, DeviceAuditExport, DeviceAuditSearch, DeviceName};
use super::output::{Output, moment, optional_moment, table};
use super::{Client, Exit, device};
use crate::device_audit::{Cursor, FoundRecord, LogId, SearchPage};
use crate::files;
use crate::management::types::{AuditLogStatus, DeviceDetail, Items};

pub(super) async fn run(
    command: DeviceAudit,
    connection: &Connection,
    output: &Output,
) -> Result<(), Exit> {
    let client = connection.client()?;
    match command {
        DeviceAudit::Search(wanted) => {
            let found = search(&client, wanted).await?;
            for file in &found.damaged {
                output.note(&format!("not searched, since it is not what was stored: {file}"));
            }
            output.result(&found, |found| overview(&found.items))
        }
        DeviceAudit::Status(name) => {
            let logs = logs(&client, &name).await?;
            output.result(&logs, |logs| status(&logs.items))
        }
        DeviceAudit::Export(wanted) => {
            let exported = export(&client, wanted).await?;
            output.result(&exported, |exported| {
                format!(
                    "log {} written to {}: {} records\nkey.pem signs its checkpoints, segments has \
                     its records, receipt.jws says what the server has",
                    exported.log,
                    exported.folder.display(),
                    exported.size
                )
            })
        }
    }
}

async fn search(client: &Client, wanted: DeviceAuditSearch) -> Result<SearchPage, Exit> {
    let mut query = String::new();
    // Writing to a String cannot fail.
    if let Some(name) = wanted.device {
        let path = device::path(&DeviceName { name, tenant: wanted.tenant }, "")?;
        let found: DeviceDetail = client.get(&path).await?;
        let _ = write!(query, "&device_id={}", found.device.id);
    }
    if let Some(user) = wanted.user {
        let _ = write!(query, "&user={user}");
    }
    let texts = [("class", wanted.class), ("kind", wanted.kind), ("action", wanted.action)];
    for (name, text) in texts {
        let Some(text) = text else { continue };
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) {
            return Err(Exit::Usage(format!("--{name}: letters, digits, dots and hyphens only")));
        }
        let _ = write!(query, "&{name}={text}");
    }
    for (name, at) in [("from", wanted.from), ("to", wanted.to)] {
        let Some(at) = at else { continue };
        let at = at.to_offset(time::UtcOffset::UTC).format(&Rfc3339);
        let _ = write!(query, "&{name}={}", at.map_err(|e| Exit::Usage(e.to_string()))?);
    }
    let mut all = SearchPage::default();
    let mut cursor: Option<Cursor> = None;
    loop {
        let left = usize::try_from(wanted.limit).unwrap_or(usize::MAX) - all.items.len();
        let from = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let path = format!("/api/v1/device-audit?limit={}{query}{from}", left.min(1000));
        let page: SearchPage = client.get(&path).await?;
        all.items.extend(page.items);
        all.damaged.extend(page.damaged);
        all.next = page.next;
        cursor = page.next;
        if cursor.is_none() || all.items.len() >= usize::try_from(wanted.limit).unwrap_or(0) {
            return Ok(all);
        }
    }
}

fn overview(records: &[FoundRecord]) -> String {
    let rows: Vec<_> = records
        .iter()
        .map(|record| {
            let users = match &record.users {
                None => "?".to_owned(),
                Some(users) => {
                    let users: Vec<String> = users.iter().map(u32::to_string).collect();
                    users.join("/")
                }
            };
            let clock = if record.synchronised { "" } else { "?" };
            [
                format!("{}{clock}", moment(record.time)),
                record.device_id.to_string()[..8].to_owned(),
                record.sequence.to_string(),
                record.class.clone(),
                users,
                record.action.clone(),
                record.summary.clone(),
            ]
        })
        .collect();
    table(["TIME", "DEVICE", "RECORD", "CLASS", "USER", "ACTION", "WHAT"], &rows)
}

async fn logs(client: &Client, name: &DeviceName) -> Result<Items<AuditLogStatus>, Exit> {
    Ok(client.get(&device::path(name, "/audit-logs")?).await?)
}

fn status(logs: &[AuditLogStatus]) -> String {
    let rows: Vec<_> = logs
        .iter()
        .map(|log| {
            [
                log.log.to_string(),
                log.state.as_str().to_owned(),
                log.size.to_string(),
                log.signed_size.map_or_else(|| "-".to_owned(), |size| size.to_string()),
                log.boot.map_or_else(|| "-".to_owned(), |boot| boot.reset_count.to_string()),
                optional_moment(log.uploaded_at),
                log.head[..16].to_owned(),
            ]
        })
        .collect();
    table(["LOG", "STATE", "RECORDS", "SIGNED", "START", "LAST UPLOAD", "HEAD"], &rows)
}

/// What was written where.
#[derive(Serialize)]
struct Exported {
    log: LogId,
    folder: PathBuf,
    size: u64,
    #[serde(with = "time::serde::rfc3339::option")]
    uploaded_at: Option<OffsetDateTime>,
}

async fn export(client: &Client, wanted: DeviceAuditExport) -> Result<Exported, Exit> {
    let DeviceAuditExport { device: name, log, out } = wanted;
    if out.exists() {
        return Err(Exit::Failed(format!("{} exists; it is not written over", out.display())));
    }
    let known = logs(client, &name).await?.items;
    let found = known.into_iter().find(|known| log.as_ref().is_none_or(|log| known.log == *log));
    let found = found.ok_or_else(|| Exit::Failed("the device has no such audit log".to_owned()))?;
    files::create_private_folder(&out).map_err(|e| Exit::Failed(e.to_string()))?;
    let path = device::path(&name, &format!("/audit-logs/{}/export", found.log))?;
    let archive = out.join("export.tar");
    let failed = |e: std::io::Error| Exit::Failed(format!("{}: {e}", out.display()));
    let mut file = BufWriter::new(File::create(&archive).map_err(failed)?);
    client.download(&path, |piece| file.write_all(piece)).await?;
    file.into_inner().map_err(|e| failed(e.into_error()))?.sync_all().map_err(failed)?;
    unpack(&archive, &out).map_err(failed)?;
    Ok(Exported { log: found.log, folder: out, size: found.size, uploaded_at: found.uploaded_at })
}

fn unpack(archive: &Path, folder: &Path) -> std::io::Result<()> {
    let mut tar = tar::Archive::new(File::open(archive)?);
    tar.set_preserve_mtime(false);
    tar.unpack(folder)?;
    std::fs::remove_file(archive)
}
