//! `holdfast`: speaks with the services of this device. Knows nothing but D-Bus.

use std::{io::Write, process::ExitCode};

use clap::Parser;
use holdfast_ctl::{Cli, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(code) => code.into(),
        Err(failure) => {
            // Nobody is left to tell if standard error is closed.
            let _ = writeln!(std::io::stderr(), "holdfast: {failure}");
            failure.code.into()
        }
    }
}
