//! `holdfast audit verify`.

use holdfast_audit_log::checkpoint::AuditKey;
use holdfast_audit_log::show::quoted;
use holdfast_audit_log::verify::{Report, Verifier};
use zbus::Connection;

use super::pages::Pages;
use super::status;
use crate::text::field;
use crate::{Code, Failure, cli};

const LABEL: usize = 12;

pub(super) async fn run(bus: &Connection, json: bool) -> Result<Code, Failure> {
    let (status, _) = status::ask(bus).await?;
    let key = status.public_key.as_deref().map(AuditKey::from_pem).transpose();
    let key = key.map_err(|error| Failure::new(Code::Failed, format!("the log's key: {error}")))?;
    let mut verifier = match key {
        Some(key) => Verifier::new(key, None),
        None => Verifier::without_key(None),
    };
    let mut pages = Pages::since(bus, 0).await?;
    loop {
        let segments = pages.next().await?;
        if segments.is_empty() {
            break;
        }
        for segment in &segments {
            verifier.segment(&segment.name(), &segment.bytes);
        }
    }
    let report = verifier.finish(&[]).report;
    if json {
        cli::print_json(&report)?;
    } else {
        cli::print(&block(&report))?;
    }
    Ok(if report.is_good() { Code::Ok } else { Code::Failed })
}

fn block(report: &Report) -> String {
    let verdict = if report.is_good() { "nothing was changed" } else { "CHANGED" };
    let mut lines = vec![field("Verdict", LABEL, verdict)];
    if let Some(origin) = &report.origin {
        lines.push(field("Log", LABEL, origin.as_str()));
    }
    let records = format!("{}, from {} on", report.records, report.first);
    lines.push(field("Records", LABEL, &records));
    let signed = match (report.is_signature_verified, report.signed_size) {
        (false, _) => "not verified: the daemon has not asked for its key yet".to_owned(),
        (true, Some(size)) => format!("up to {size}, by {} checkpoints", report.checkpoints),
        (true, None) => "no checkpoint yet".to_owned(),
    };
    lines.push(field("Signed", LABEL, &signed));
    lines.extend(report.findings.iter().map(|f| field("WRONG", LABEL, &quoted(&f.to_string()))));
    lines.join("\n")
}
