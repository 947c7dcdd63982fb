//! Registry, certificate authority and device API: `holdfast-cloud`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use holdfast_cloud::cli::{Arguments, run};

#[tokio::main]
async fn main() -> ExitCode {
    run(Arguments::parse()).await
}
