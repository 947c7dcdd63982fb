//! `export`: records as the text that ausearch and aureport read.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use holdfast_audit_log::export::{Exporter, Tally};

use crate::cli::ExportArguments;
use crate::failure::{Code, Failure};
use crate::log::Log;
use crate::verify;

/// Bytes that are gathered before they are written.
const BATCH: usize = 64 * 1024;

/// Verifies a log and writes it.
pub fn run(arguments: &ExportArguments, json: bool) -> Result<Code, Failure> {
    let log = Log::open(&arguments.log)?;
    let report = log.verify(|_, _| Ok(()))?.report;
    let mut told = io::stderr().lock();
    verify::findings(&mut told, &report.findings)?;
    if !report.is_good() && !arguments.even_if_tampered {
        writeln!(
            told,
            "holdfast-logverify: nothing is exported of a log that was tampered with\n  With \
             --even-if-tampered, what can be read is."
        )?;
        return Ok(Code::Tampered);
    }
    let exporter = Exporter::new(arguments.selection.selection(), arguments.node.clone());
    let tally = match &arguments.output {
        None => write(&log, exporter, io::stdout().lock(), Failure::Output)?,
        Some(path) => {
            let failed = |source| Failure::Write { path: path.clone(), source };
            let file = File::create(path).map_err(failed)?;
            write(&log, exporter, BufWriter::new(file), failed)?
        }
    };
    tell(&mut told, tally, json)?;
    Ok(Code::of(report.is_good()))
}

fn write(
    log: &Log,
    mut exporter: Exporter,
    mut out: impl Write,
    failed: impl Fn(io::Error) -> Failure,
) -> Result<Tally, Failure> {
    let mut text = Vec::new();
    log.records(|decoded, _| {
        exporter.record(&decoded.frame, &mut text);
        if text.len() >= BATCH {
            out.write_all(&text).map_err(&failed)?;
            text.clear();
        }
        Ok(())
    })?;
    out.write_all(&text).and_then(|()| out.flush()).map_err(failed)?;
    Ok(exporter.tally())
}

fn tell(out: &mut impl Write, tally: Tally, json: bool) -> Result<(), Failure> {
    if json {
        serde_json::to_writer(&mut *out, &tally).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    let Tally { records, lines, replaced, cut, unreadable } = tally;
    writeln!(out, "{records} records in {lines} lines")?;
    for (number, what) in [
        (replaced, "lines have ? in place of control characters"),
        (cut, "lines are cut to what ausearch reads"),
        (unreadable, "records have a payload that cannot be read and is given in hexadecimal"),
    ] {
        if number > 0 {
            writeln!(out, "{number} {what}; `show --json` has all of it")?;
        }
    }
    Ok(())
}
