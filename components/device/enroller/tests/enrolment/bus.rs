//! A message bus of the test's own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use holdfast_ipc::identity::Identity1Proxy;
use zbus::connection::Builder;
use zbus::proxy::CacheProperties;

const POLICY: &str = "<policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>\
    <allow send_destination=\"*\"/><allow receive_sender=\"*\"/></policy>";

/// Ends with the value.
pub struct PrivateBus {
    daemon: Child,
    pub address: String,
    _folder: tempfile::TempDir,
}

impl PrivateBus {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("bus.conf");
        let listen = folder.path().join("bus");
        let text = format!(
            "<busconfig><listen>unix:path={}</listen><auth>EXTERNAL</auth>{POLICY}</busconfig>",
            listen.display()
        );
        fs::write(&config, text).unwrap();
        let mut daemon = Command::new("dbus-daemon")
            .args(["--nofork", "--nopidfile", "--nosyslog", "--print-address=1"])
            .arg(format!("--config-file={}", config.display()))
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon is needed: install the package dbus-daemon");
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(!address.is_empty(), "dbus-daemon did not start");
        Self { daemon, address: address.trim().to_owned(), _folder: folder }
    }

    pub async fn identity(&self) -> Identity1Proxy<'static> {
        let connection = Builder::address(self.address.as_str()).build().await.unwrap();
        Identity1Proxy::builder(&connection)
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .unwrap()
    }
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
