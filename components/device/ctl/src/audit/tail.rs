//! `holdfast audit tail`.

use std::time::Duration;

use holdfast_audit_log::segment::SegmentReader;
use holdfast_audit_log::show::{Record, line};
use holdfast_ipc::audit1::Audit1Proxy;
use zbus::Connection;

use super::pages::Pages;
use crate::{Code, Failure, cli};

/// How often new records are looked for.
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn run(
    bus: &Connection,
    lines: u64,
    follow: bool,
    json: bool,
) -> Result<Code, Failure> {
    // The log's end; what it was before the call to this very command.
    let (_, end) = Audit1Proxy::new(bus).await?.export(u64::MAX).await?;
    let mut next = end.saturating_sub(lines);
    let mut pages = Pages::since(bus, next).await?;
    loop {
        let segments = pages.next().await?;
        let is_end = segments.is_empty();
        for segment in segments {
            let Ok((_, records)) = SegmentReader::new(&segment.bytes) else { continue };
            for (decoded, hash) in records.flatten() {
                let sequence = decoded.frame.sequence;
                // Each look is a record itself, which would be a reason for the next line.
                let is_own = is_look(decoded.frame.payload) && sequence >= end;
                if sequence >= next && !is_own {
                    if json {
                        cli::print_json(&Record::of(&decoded, hash))?;
                    } else {
                        cli::print(&line(&decoded.frame))?;
                    }
                }
                next = next.max(sequence + 1);
            }
        }
        if is_end || (!follow && next >= end) {
            if !follow {
                return Ok(Code::Ok);
            }
            tokio::time::sleep(LOOK).await;
        }
        if follow {
            pages = Pages::since(bus, next).await?;
        }
    }
}

/// Whether a record is of an export, as this command makes them.
fn is_look(payload: &[u8]) -> bool {
    let text = str::from_utf8(payload).ok();
    let record = text.and_then(|text| holdfast_audit_log::AuditRecord::from_json(text).ok());
    record.is_some_and(|record| record.action().as_str() == "audit.export")
}
