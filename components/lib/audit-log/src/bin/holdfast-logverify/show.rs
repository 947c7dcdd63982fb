//! `show`: records for people, and as JSON for programs.

use std::io::{self, Write as _};

use holdfast_audit_log::show::{Record, line};

use crate::cli::ShowArguments;
use crate::failure::{Code, Failure};
use crate::log::Log;
use crate::verify;

/// Verifies a log and shows its records.
pub fn run(arguments: &ShowArguments, json: bool) -> Result<Code, Failure> {
    let log = Log::open(&arguments.log)?;
    let selection = arguments.selection.selection();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let verified = log.verify(|decoded, hash| {
        if selection.includes(&decoded.frame) {
            if json {
                serde_json::to_writer(&mut out, &Record::of(decoded, hash))
                    .map_err(io::Error::from)?;
                writeln!(out)?;
            } else {
                writeln!(out, "{}", line(&decoded.frame))?;
            }
        }
        Ok(())
    })?;
    out.flush()?;
    let report = verified.report;
    let mut told = io::stderr().lock();
    verify::findings(&mut told, &report.findings)?;
    if !report.is_good() {
        writeln!(told, "holdfast-logverify: the log was tampered with; `verify` says more")?;
    }
    Ok(Code::of(report.is_good()))
}
