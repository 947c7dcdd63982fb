//! Keeper of the device's audit log.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use holdfast_audit::options::{Command, Options};
use holdfast_audit::run::{self, RunError};
use holdfast_audit::{kernel, rules};
use holdfast_daemon::log;

/// The policy says that the device must not go on: the unit turns this into a power-off.
const HALT: u8 = 77;

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(Command::Lint { file }) = &options.command {
        return lint(file);
    }
    log::start("holdfast_audit");
    // One thread for the bus: the log has its own, and so has the upload.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run::run(options)),
        Err(error) => Err(RunError::Thread(error)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            if error.must_halt() { ExitCode::from(HALT) } else { ExitCode::FAILURE }
        }
    }
}

fn lint(file: &std::path::Path) -> ExitCode {
    let parsed = match kernel::read_rules(file) {
        Ok(parsed) => parsed,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let estimate = rules::estimate(&parsed);
    for (line, rate) in &estimate.rules {
        println!("line {line:4}  {rate:10.1} events/s");
    }
    println!("together   {:10.1} events/s on a busy device", estimate.total);
    match estimate.verdict {
        rules::Verdict::Good => ExitCode::SUCCESS,
        rules::Verdict::TooMany { line } => {
            eprintln!(
                "{}: the log would drown; the rule of line {line} costs most: narrow it by auid, \
                 exe, path or key field",
                file.display()
            );
            ExitCode::FAILURE
        }
    }
}
