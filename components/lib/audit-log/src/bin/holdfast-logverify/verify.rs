//! `verify`: what is wrong with a log.

use std::io::{self, Write};

use holdfast_audit_log::show::quoted;
use holdfast_audit_log::verify::{Ending, Finding, Report};
use serde::Serialize;

use crate::cli::LogArguments;
use crate::failure::{Code, Failure};
use crate::log::Log;

#[derive(Serialize)]
struct Outcome<'a> {
    is_good: bool,
    files: usize,
    #[serde(flatten)]
    report: &'a Report,
    notes: Vec<String>,
}

/// Verifies a log and says what came of it.
pub fn run(arguments: &LogArguments, json: bool) -> Result<Code, Failure> {
    let log = Log::open(arguments)?;
    let report = log.verify(|_, _| Ok(()))?.report;
    let mut out = io::stdout().lock();
    if json {
        let outcome = Outcome {
            is_good: report.is_good(),
            files: log.count(),
            report: &report,
            notes: log.notes(&report),
        };
        serde_json::to_writer_pretty(&mut out, &outcome).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        text(&mut out, &log, &report)?;
    }
    Ok(Code::of(report.is_good()))
}

fn text(out: &mut impl Write, log: &Log, report: &Report) -> io::Result<()> {
    let Report { origin, first, records, size, head, root, checkpoints, signed_size, .. } = report;
    let files = log.count();
    if let Some(origin) = origin {
        writeln!(out, "log      {origin}")?;
    }
    match size.checked_sub(1) {
        Some(last) if *records > 0 => {
            writeln!(out, "records  {records}: {first} to {last}, in {}", count(files, "file"))?;
        }
        _ => writeln!(out, "records  none, in {}", count(files, "file"))?,
    }
    if let Some(signed) = signed_size {
        let key = log.key_id().map_or("of an unknown key".to_owned(), |id| format!("of key {id}"));
        writeln!(out, "signed   the first {signed}, by {} {key}", states(*checkpoints))?;
    }
    for (name, hash) in [("head", head), ("root", root)] {
        if let Some(hash) = hash {
            writeln!(out, "{name}     {hash}")?;
        }
    }
    if let Ending::Torn { place, offset, bytes, detail } = &report.ending {
        writeln!(
            out,
            "end      {bytes} bytes of a record that a power cut interrupted, in {} at byte \
             {offset}: {detail}",
            quoted(place)
        )?;
    }
    for note in log.notes(report) {
        writeln!(out, "note     {}", quoted(&note))?;
    }
    findings(out, &report.findings)?;
    if report.is_good() {
        writeln!(out, "good")
    } else {
        writeln!(out, "tampered with: {}", count(report.findings.len(), "finding"))
    }
}

/// Each finding on a line of its own.
pub fn findings(out: &mut impl Write, findings: &[Finding]) -> io::Result<()> {
    findings
        .iter()
        .try_for_each(|finding| writeln!(out, "WRONG    {}", quoted(&finding.to_string())))
}

fn states(number: u64) -> String {
    if number == 1 { "1 checkpoint".to_owned() } else { format!("{number} checkpoints") }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
