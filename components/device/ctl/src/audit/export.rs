//! `holdfast audit export`.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use holdfast_audit_log::export::{Exporter, Selection};
use serde::Serialize;
use zbus::Connection;

use super::pages::Pages;
use crate::{Code, Failure, cli};

/// The log as the text of ausearch on standard output; what was written on standard error.
pub(super) async fn text(bus: &Connection, since: u64, json: bool) -> Result<Code, Failure> {
    let selection = Selection { sequences: since..=u64::MAX, ..Selection::default() };
    let mut exporter = Exporter::new(selection, None);
    let mut pages = Pages::since(bus, since).await?;
    let mut is_whole = true;
    loop {
        let segments = pages.next().await?;
        if segments.is_empty() {
            break;
        }
        for segment in segments {
            let mut text = Vec::new();
            is_whole &= segment.each(|decoded, _| {
                exporter.record(&decoded.frame, &mut text);
                Ok(())
            })?;
            let mut out = std::io::stdout().lock();
            out.write_all(&text).and_then(|()| out.flush()).map_err(|error| {
                Failure::new(Code::Failed, format!("standard output cannot be written: {error}"))
            })?;
        }
    }
    let tally = exporter.tally();
    if json {
        let text = serde_json::to_string(&tally).unwrap_or_default();
        let _ = writeln!(std::io::stderr(), "{text}");
    }
    Ok(if is_whole { Code::Ok } else { Code::Failed })
}

#[derive(Serialize)]
struct Written {
    folder: String,
    segments: usize,
    bytes: u64,
}

/// The segments, into a folder that is not there yet.
pub(super) async fn segments(
    bus: &Connection,
    since: u64,
    folder: &Path,
    json: bool,
) -> Result<Code, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Code::Failed, format!("{} cannot be written: {error}", folder.display()))
            .advise("Name a folder that is not there yet, where you may write.")
    };
    std::fs::DirBuilder::new().mode(0o700).create(folder).map_err(failed)?;
    let mut pages = Pages::since(bus, since).await?;
    let mut written = Written { folder: folder.display().to_string(), segments: 0, bytes: 0 };
    loop {
        let segments = pages.next().await?;
        if segments.is_empty() {
            break;
        }
        for segment in segments {
            let mut options = std::fs::OpenOptions::new();
            let file = options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = file.open(folder.join(segment.name())).map_err(failed)?;
            file.write_all(&segment.bytes).map_err(failed)?;
            written.segments += 1;
            written.bytes += segment.bytes.len() as u64;
        }
    }
    if json {
        cli::print_json(&written)?;
    } else {
        let Written { folder, segments, bytes } = written;
        cli::print(&format!(
            "{segments} segments, {bytes} bytes, in {folder}\n\
             verify them with: holdfast-logverify verify {folder}"
        ))?;
    }
    Ok(Code::Ok)
}
