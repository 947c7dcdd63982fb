//! `holdfast-cloud serve`

use std::path::Path;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::Exit;
use super::arguments::{Connection, Serve};
use crate::ca::{Passphrase, Passphrases, ServerNames};
use crate::clock::SystemClock;
use crate::est::EnrolmentRates;
use crate::file_limit;
use crate::server::{Configuration, PublicListener, Server};

pub(super) async fn run(serve: Serve, connection: &Connection, json: bool) -> Result<(), Exit> {
    let data = connection.data.clone().ok_or_else(|| {
        Exit::Usage("say where the data lies: --data DIR, or HOLDFAST_CLOUD_DATA".into())
    })?;
    log(json);
    file_limit::raise();
    let names = ServerNames::new(serve.server_names.iter().map(String::as_str))
        .map_err(|e| Exit::Usage(format!("--server-name: {e}")))?;
    let configuration = Configuration {
        data,
        est: serve.est_listen,
        device: serve.device_listen,
        management: serve.management_listen,
        public: serve
            .public_listen
            .map(|address| PublicListener { address, url: serve.public_url }),
        names,
        passphrases: Passphrases {
            root: passphrase(serve.root_passphrase_file.as_deref())?,
            issuing: passphrase(serve.issuing_passphrase_file.as_deref())?,
        },
        rates: EnrolmentRates::default(),
    };
    let failed = |e: &dyn std::fmt::Display| Exit::Failed(e.to_string());
    // Before the start, so that an early signal is not lost.
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| failed(&e))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| failed(&e))?;
    let server =
        Server::start(configuration, Arc::new(SystemClock)).await.map_err(|e| failed(&e))?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    server.stop().await;
    Ok(())
}

pub(super) fn passphrase(path: Option<&Path>) -> Result<Option<Passphrase>, Exit> {
    path.map(Passphrase::read).transpose().map_err(|e| Exit::Failed(e.to_string()))
}

/// To standard error; `RUST_LOG` changes the level.
fn log(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber in one process (tests) leaves the first in place.
    let _ = if json { builder.json().try_init() } else { builder.with_ansi(false).try_init() };
}
