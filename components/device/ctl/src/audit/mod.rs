//! `holdfast audit`: the device's own log.

mod export;
mod pages;
mod status;
mod tail;
mod verify;

use std::path::PathBuf;

use clap::Subcommand;

use crate::{Code, Failure, bus};

/// What to do with the log.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Says how long the log is, how far the cloud has it, and what was lost.
    Status,
    /// Prints the last records, one line each; with --json an object each.
    Tail {
        /// How many.
        #[arg(short = 'n', long, default_value_t = 20)]
        lines: u64,
        /// Stays and prints records as they come.
        #[arg(short, long)]
        follow: bool,
    },
    /// Writes what is on the device as the text that ausearch and aureport read, for instance with
    /// `holdfast audit export | ausearch -i -k hf-exec`.
    Export {
        /// From this record on.
        #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
        since: u64,
        /// Writes the segments themselves into this new folder, for holdfast-logverify.
        #[arg(long, value_name = "FOLDER")]
        segments: Option<PathBuf>,
    },
    /// Verifies what is on the device: chain, tree and signed checkpoints. Exit code 1: something
    /// was changed, and the record's number is named. An attacker who rules the device rules this
    /// command too: what counts is the cloud's copy.
    Verify,
}

/// Runs one of them.
pub(crate) async fn run(verb: Verb, json: bool) -> Result<Code, Failure> {
    let bus = bus::connect().await?;
    match verb {
        Verb::Status => status::show(&bus, json).await,
        Verb::Tail { lines, follow } => tail::run(&bus, lines, follow, json).await,
        Verb::Export { since, segments: None } => export::text(&bus, since, json).await,
        Verb::Export { since, segments: Some(folder) } => {
            export::segments(&bus, since, &folder, json).await
        }
        Verb::Verify => verify::run(&bus, json).await,
    }
}
