//! Keeper of the USB ports.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use holdfast_daemon::log;
use holdfast_usb::options::{Command, Options};
use holdfast_usb::{lockdown, run};

fn main() -> ExitCode {
    let options = Options::parse();
    log::start("holdfast_usb");
    let result = match options.command {
        Some(Command::Lockdown) => {
            lockdown::run(&options.image, &options.runtime).map_err(|e| e.to_string())
        }
        None => daemon(options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// One thread for the bus: the ports have their own.
fn daemon(options: Options) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
    runtime.block_on(run::run(options)).map_err(|error| error.to_string())
}
