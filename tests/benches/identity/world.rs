//! A connector as a process, with a site, a release and registered devices.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::{fs, thread};

use anyhow::{Context as _, Result};
use holdfast_attestation::edge_id::EdgeId;
use holdfast_attestation::hash::sha256;
use holdfast_attestation::pcr::{PhaseMeasurement, ReleaseMeasurement, expected_site_pcr};
use holdfast_tests::{Cloud, Ports};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tempfile::TempDir;

use crate::chip::Chip;

/// What a device's kernel is measured as.
pub const KERNEL: [u8; 32] = [0x11; 32];
/// Devices at one address: its rate limit has room for the enrolments of so many.
const DEVICES_PER_SOURCE: usize = 6;

/// A registered device in software.
pub struct Registered {
    pub edge_id: EdgeId,
    pub chip: Chip,
    pub source: Ipv4Addr,
}

pub struct World {
    pub cloud: Cloud,
    pub root: CertificateDer<'static>,
    pub site: PathBuf,
    folder: TempDir,
}

impl World {
    pub fn start(program: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let ports = Ports::any()?;
        let cloud = Cloud::start(program, &folder.path().join("cloud"), ports)?;
        let root = CertificateDer::from_pem_file(cloud.data().join("ca/root.crt"))?;
        let site = folder.path().join("site.toml");
        let world = Self { cloud, root, site, folder };
        world.make_site()?;
        world.publish_release()?;
        Ok(world)
    }

    fn make_site(&self) -> Result<()> {
        let key = self.path("site.key");
        let mut openssl = std::process::Command::new("openssl");
        openssl.args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        let made = openssl.arg("-out").arg(&key).output()?;
        anyhow::ensure!(made.status.success(), "openssl made no key");
        let url = |address: SocketAddr| format!("https://{address}");
        self.cloud.json(&[
            "site",
            "new",
            "--tenant",
            "demo",
            "--edge-id-source",
            "dmi-serial",
            "--enrol-url",
            &url(self.est()),
            "--device-url",
            &url(self.device()),
            "--key",
            &key.display().to_string(),
            "--out",
            &self.site.display().to_string(),
        ])?;
        Ok(())
    }

    fn publish_release(&self) -> Result<()> {
        let measurement = ReleaseMeasurement {
            format: ReleaseMeasurement::FORMAT,
            name: "holdfast".into(),
            version: "0.1.0".into(),
            profile: "release".into(),
            security_version: 1,
            pcr11: vec![PhaseMeasurement { phase: "enter-initrd".into(), sha256: kernel_pcr() }],
            uki_sha256: [1; 32],
            root_hash: [2; 32],
        };
        let path = self.path("release.json");
        fs::write(&path, serde_json::to_vec(&measurement)?)?;
        self.cloud.publish(&path)?;
        Ok(())
    }

    /// Makes devices and registers them. Most of the time goes into their RSA keys.
    pub fn register(&self, count: usize) -> Result<Vec<Registered>> {
        let site_pcr = expected_site_pcr(&fs::read(&self.site)?);
        let devices = Mutex::new(Vec::new());
        let next = Mutex::new(0..count);
        let make = || -> Result<()> {
            loop {
                let Some(index) = lock(&next).next() else { return Ok(()) };
                let edge_id: EdgeId = format!("BENCH-{index}").parse()?;
                let chip = Chip::new(kernel_pcr(), site_pcr)?;
                let host = u8::try_from(10 + index / DEVICES_PER_SOURCE)?;
                let source = Ipv4Addr::new(127, 0, 1, host);
                lock(&devices).push(Registered { edge_id, chip, source });
            }
        };
        thread::scope(|scope| {
            let workers = [scope.spawn(make), scope.spawn(make)];
            workers.into_iter().try_for_each(|worker| joined(worker.join()))
        })?;
        let devices = std::mem::take(&mut *lock(&devices));
        for device in &devices {
            self.cloud.register(device.edge_id.as_str(), &device.chip.ek_sha256()?)?;
        }
        Ok(devices)
    }

    pub fn est(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.cloud.ports().enrol).into()
    }

    pub fn device(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.cloud.ports().device).into()
    }

    /// A place for a file of the bench.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// PCR 11 of a device that booted the release.
pub fn kernel_pcr() -> [u8; 32] {
    sha256(&[&[0; 32], &KERNEL])
}

pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The result of a thread; its panic is an error like any other.
pub fn joined<T>(result: thread::Result<Result<T>>) -> Result<T> {
    result
        .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread of the bench panicked")))
        .context("in a thread of the bench")
}
