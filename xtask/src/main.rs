//! The project's own commands.

mod bench;
mod binaries;
mod demo;
mod device;
mod doctor;
mod host;
mod image;
mod keys;
mod paths;
mod process;
mod python;
mod signals;
mod stamp;
mod test;
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
    /// Do everything: build, boot a device, and watch it prove itself to a connector
    Demo(demo::Options),
    /// Check everything: code, dependencies, unit tests, images, booted devices
    Test(test::Options),
    /// Make, boot and mistreat devices of your own
    #[command(subcommand)]
    Device(device::Verb),
    /// Measure what the documentation claims
    #[command(subcommand)]
    Bench(bench::Area),
    /// Build the golden image
    Image {
        /// Profiles to build
        #[arg(long = "profile", default_value = "release")]
        profiles: Vec<String>,
    },
    /// Say what the host lacks and how to get it
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let paths = Paths::new();
    let result = match Arguments::parse().verb {
        Verb::Image { profiles } => host::provide(&paths)
            .and_then(|()| {
                image::build(&paths, &profiles.iter().map(String::as_str).collect::<Vec<_>>())
            })
            .map(drop),
        Verb::Bench(area) => bench::run(&paths, &area),
        Verb::Demo(options) => demo::run(&paths, &options),
        Verb::Test(options) => test::run(&paths, &options),
        Verb::Device(verb) => device::run(&paths, verb),
        Verb::Doctor { json } => doctor::run(&paths, json),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The test runner's summary is the last word.
        Err(error) if error.is::<test::TestsFailed>() => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
