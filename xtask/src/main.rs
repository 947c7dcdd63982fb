//! The project's own commands.

mod binaries;
mod host;
mod image;
mod keys;
mod paths;
mod process;
mod stamp;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use paths::Paths;

/// Holdfast's own commands: everything from the host's packages to a booted device.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the golden image
    Image {
        /// Profiles to build
        #[arg(long = "profile", default_value = "release")]
        profiles: Vec<String>,
    },
    /// Say what the host lacks and how to get it
    Doctor,
}

fn main() -> ExitCode {
    let paths = Paths::new();
    let result = match Arguments::parse().verb {
        Verb::Image { profiles } => host::provide(&paths)
            .and_then(|()| {
                image::build(&paths, &profiles.iter().map(String::as_str).collect::<Vec<_>>())
            })
            .map(drop),
        Verb::Doctor => Ok(()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
