//! What booted, as `holdfast-boot report` found out, and what ties this boot to the TPM.

use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_audit_log::checkpoint::BootBinding;
use holdfast_audit_log::{Boot, Text};
use serde::Deserialize;
use tokio::time::Instant;

/// How often the report is looked for.
const LOOK: Duration = Duration::from_millis(500);
/// After so long the start is recorded with what the kernel says alone.
const PATIENCE: Duration = Duration::from_secs(180);
/// Longest file that is read, bytes.
const LONGEST: usize = 16 * 1024;

/// Where the facts are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The report, JSON.
    pub report: PathBuf,
    /// The binding, JSON; there before the report, if at all.
    pub binding: PathBuf,
    /// The kernel's id of this boot.
    pub boot_id: PathBuf,
    /// The kernel's release.
    pub kernel: PathBuf,
}

#[derive(Deserialize)]
struct Report {
    boot_id: String,
    release: String,
    kernel: String,
    #[serde(default)]
    firmware: Firmware,
}

#[derive(Default, Deserialize)]
struct Firmware {
    vendor: Option<String>,
    version: Option<String>,
    date: Option<String>,
}

/// The kernel's id of this boot, 32 hexadecimal digits.
pub fn boot_id(places: &Places) -> std::io::Result<String> {
    Ok(std::fs::read_to_string(&places.boot_id)?.trim().replace('-', ""))
}

/// Waits for the report.
pub async fn wait(places: &Places) -> (Boot, Option<BootBinding>) {
    let start = Instant::now();
    loop {
        if let Some(found) = read(places) {
            return found;
        }
        if start.elapsed() >= PATIENCE {
            tracing::warn!("no report of this boot: its firmware is not recorded");
            return (from_kernel(places), read_binding(places));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn read(places: &Places) -> Option<(Boot, Option<BootBinding>)> {
    let report: Report = json(&places.report)?;
    let Firmware { vendor, version, date } = report.firmware;
    let firmware: Vec<String> = [vendor, version, date].into_iter().flatten().collect();
    let boot = Boot {
        boot_id: Text::lossy(&report.boot_id),
        release: Text::lossy(&report.release),
        kernel: Text::lossy(&report.kernel),
        firmware: Text::lossy(&firmware.join(" ")),
    };
    Some((boot, read_binding(places)))
}

fn read_binding(places: &Places) -> Option<BootBinding> {
    json(&places.binding)
}

fn from_kernel(places: &Places) -> Boot {
    let kernel = std::fs::read_to_string(&places.kernel).unwrap_or_default();
    Boot {
        boot_id: Text::lossy(&boot_id(places).unwrap_or_default()),
        release: Text::default(),
        kernel: Text::lossy(kernel.trim()),
        firmware: Text::default(),
    }
}

/// A file that another of our programs put there whole.
fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = std::fs::read(path).ok().filter(|bytes| bytes.len() <= LONGEST)?;
    match serde_json::from_slice(&bytes) {
        Ok(found) => Some(found),
        Err(error) => {
            tracing::warn!("{}: {error}", path.display());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(folder: &Path) -> Places {
        let at = |name: &str| folder.join(name);
        Places {
            report: at("report.json"),
            binding: at("binding.json"),
            boot_id: at("boot_id"),
            kernel: at("osrelease"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_that_comes_later_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        let waits = tokio::spawn({
            let places = places.clone();
            async move { wait(&places).await }
        });
        tokio::time::sleep(Duration::from_secs(60)).await;
        let clock = r#"{"clock_ms":5,"reset_count":1,"restart_count":0,"is_safe":true}"#;
        let binding = format!(r#"{{"clock":{clock},"nv_counter":7}}"#);
        std::fs::write(&places.binding, binding).unwrap();
        let report = r#"{"boot_id":"ab","release":"0.1.0","kernel":"6.12",
            "firmware":{"vendor":"EDK II","version":"2025.02"},"tpm":{"manufacturer":"IBM"}}"#;
        std::fs::write(&places.report, report).unwrap();
        let (boot, binding) = waits.await.unwrap();
        assert_eq!((boot.release.as_str(), boot.firmware.as_str()), ("0.1.0", "EDK II 2025.02"));
        assert_eq!(binding.unwrap().nv_counter, 7);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_report_the_kernel_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        std::fs::write(&places.boot_id, "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0\n").unwrap();
        std::fs::write(&places.kernel, "6.12\n").unwrap();
        std::fs::write(&places.report, "{").unwrap();
        let (boot, binding) = wait(&places).await;
        assert_eq!(boot.boot_id.as_str(), "0f1e2d3c4b5a69788796a5b4c3d2e1f0");
        assert_eq!((boot.kernel.as_str(), binding), ("6.12", None));
    }
}
