//! First-boot enroller and keeper of the device's identity.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use holdfast_daemon::log;
use holdfast_enroll::options::Options;
use holdfast_enroll::run;

fn main() -> ExitCode {
    let options = Options::parse();
    log::start("holdfast_enroll");
    // One thread: the daemon waits nearly all the time, and its memory counts.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run::run(options)).map_err(|error| error.to_string()),
        Err(error) => Err(format!("cannot start the runtime: {error}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
