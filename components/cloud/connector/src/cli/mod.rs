//! The command line: `serve` runs the server, `site new` and `ca` work on its data folder, everything
//! else talks to the management API.

mod alert;
mod arguments;
mod ca;
mod client;
mod device;
mod device_audit;
mod ek_ca;
mod events;
mod exit;
mod group;
mod key;
mod output;
mod recovery;
mod release;
mod serve;
mod site;
mod token;
mod transfer;
mod usb;

use std::process::ExitCode;

pub use arguments::Arguments;
pub use client::{Client, ClientError};
pub use exit::Exit;

use arguments::Command;
use output::Output;

/// Runs a command and says how it went.
pub async fn run(arguments: Arguments) -> ExitCode {
    let Arguments { json, connection, command } = arguments;
    let output = Output::new(json);
    let result = match command {
        Command::Serve(serve) => serve::run(serve, &connection, json).await,
        Command::Ca(command) => ca::run(command, &connection, &output).await,
        Command::Site(command) => site::run(command, &connection, &output).await,
        Command::Release(command) => release::run(command, &connection, &output).await,
        Command::Device(command) => device::run(command, &connection, &output).await,
        Command::Group(command) => group::run(command, &connection, &output).await,
        Command::Recovery(command) => recovery::run(command, &connection, &output).await,
        Command::EkCa(command) => ek_ca::run(command, &connection, &output).await,
        Command::Alert(command) => alert::run(command, &connection, &output).await,
        Command::Events(wanted) => events::run_events(wanted, &connection, &output).await,
        Command::Audit(wanted) => events::run_audit(wanted, &connection, &output).await,
        Command::DeviceAudit(command) => {
            Box::pin(device_audit::run(command, &connection, &output)).await
        }
        Command::Usb(command) => usb::run(command, &connection, &output).await,
        Command::Token(command) => token::run(command, &connection, &output).await,
        Command::ApiKey(command) => key::run(command, &connection, &output).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            output.error(&exit);
            exit.code()
        }
    }
}
