//! `holdfast-logverify`: verifies an audit log, shows and exports its records, makes and checks
//! proofs.
#![forbid(unsafe_code)]

mod cli;
mod export;
mod failure;
mod files;
mod log;
mod proof;
mod receipt;
mod show;
mod verify;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use failure::{Code, Failure};

fn main() -> ExitCode {
    let Cli { json, command } = Cli::parse();
    let done = match &command {
        Command::Verify(log) => verify::run(log, json),
        Command::Show(show) => show::run(show, json),
        Command::Export(export) => export::run(export, json),
        Command::Inclusion(inclusion) => proof::inclusion(inclusion),
        Command::Consistency(consistency) => proof::consistency(consistency),
        Command::Check(check) => proof::check(check, json),
    };
    match done {
        Ok(code) => code.into(),
        // Whoever read it has seen enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Code::Unreadable.into()
        }
        Err(failure) => {
            // Nobody is left to tell if standard error is closed.
            let _ = writeln!(io::stderr(), "holdfast-logverify: {failure}");
            Code::Unreadable.into()
        }
    }
}
