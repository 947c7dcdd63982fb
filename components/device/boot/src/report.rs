//! What booted: release, kernel, firmware, boot loader, TPM. Recorded once per boot, and put where
//! the enroller takes it from to tell the cloud.
//!
//! It is what the device says; what it can prove is in the quote.

use std::{fs, process::ExitCode, time::Duration};

use holdfast_tpm::Tpm;
use serde::Serialize;

use crate::{
    audit, binding,
    boot_counting::strings,
    console::{milestone, note},
    files::{self, read_text},
    places::Places,
    release::Release,
};

const REPORT: &str = "run/holdfast/boot/report.json";
const BOOT_ID: &str = "proc/sys/kernel/random/boot_id";
const KERNEL: &str = "proc/sys/kernel/osrelease";
const DMI: &str = "sys/class/dmi/id";
const BOOT_LOADER: &str =
    "sys/firmware/efi/efivars/LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// The longest text of a field. Firmware is not trusted to keep it short.
const LONGEST: usize = 128;

/// One text of the report: printable ASCII, as the connector takes it.
type Field = String;

/// The report, as the connector takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Report {
    /// The kernel's random id of this boot, 32 hexadecimal digits.
    boot_id: String,
    release: Field,
    kernel: Field,
    #[serde(skip_serializing_if = "Firmware::is_empty")]
    firmware: Firmware,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_loader: Option<Field>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tpm: Option<TpmFacts>,
}

/// SMBIOS type 0.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
struct Firmware {
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor: Option<Field>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Field>,
    #[serde(skip_serializing_if = "Option::is_none")]
    date: Option<Field>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct TpmFacts {
    manufacturer: Field,
    vendor: Field,
    firmware: Field,
}

/// The verb.
pub fn run(places: &Places) -> ExitCode {
    match report(places) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            milestone(format_args!("boot not reported: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn report(places: &Places) -> Result<(), String> {
    let path = places.at(REPORT);
    if path.exists() {
        note("this boot is reported already");
        return Ok(());
    }
    let report = Report::collect(places)?;
    // A boot whose log cannot be tied to the TPM is still reported.
    if let Err(why) = binding::publish(places) {
        milestone(format_args!("the audit log is not tied to this boot: {why}"));
    }
    let json = serde_json::to_vec(&report).map_err(|error| error.to_string())?;
    // Recorded first: a report that others saw must not lack its record.
    let record = audit::record(audit::BOOT, &report.in_words(), &[&json])?;
    audit::to_journal(places, &record, Duration::from_secs(5))?;
    files::publish(&path, &json).map_err(|error| error.to_string())
}

impl Report {
    fn collect(places: &Places) -> Result<Self, String> {
        let needed = |path: &str| -> Result<String, String> {
            read_text(&places.at(path))
                .map(|text| text.trim().to_owned())
                .map_err(|error| error.to_string())
        };
        let release = Release::parse(&needed(Release::PATH)?)
            .map_err(|error| format!("/{}: {error}", Release::PATH))?;
        let smbios = |name: &str| optional(&needed(&format!("{DMI}/{name}")).ok()?);
        let boot_loader = fs::read(places.at(BOOT_LOADER)).ok();
        Ok(Self {
            boot_id: needed(BOOT_ID)?.replace('-', ""),
            release: clean(&release.version),
            kernel: clean(&needed(KERNEL)?),
            firmware: Firmware {
                vendor: smbios("bios_vendor"),
                version: smbios("bios_version"),
                date: smbios("bios_date"),
            },
            boot_loader: boot_loader.and_then(|raw| optional(strings(&raw).first()?)),
            tpm: tpm(places),
        })
    }

    /// For a record: what one wants to find by its text.
    fn in_words(&self) -> String {
        let mut parts =
            vec![format!("release {}", self.release), format!("kernel {}", self.kernel)];
        let firmware = [&self.firmware.vendor, &self.firmware.version, &self.firmware.date];
        let firmware: Vec<&str> = firmware.into_iter().flatten().map(String::as_str).collect();
        if !firmware.is_empty() {
            parts.push(format!("firmware {}", firmware.join(" ")));
        }
        if let Some(loader) = &self.boot_loader {
            parts.push(format!("boot loader {loader}"));
        }
        if let Some(tpm) = &self.tpm {
            parts.push(format!("TPM {} {} {}", tpm.manufacturer, tpm.vendor, tpm.firmware));
        }
        parts.join(", ")
    }
}

impl Firmware {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Without a TPM a device does not come this far; one that is busy must not hide the rest.
fn tpm(places: &Places) -> Option<TpmFacts> {
    match Tpm::open(&places.tpm).and_then(|tpm| tpm.properties()) {
        Ok(found) => Some(TpmFacts {
            manufacturer: clean(&found.manufacturer),
            vendor: clean(&found.vendor),
            firmware: clean(&found.firmware),
        }),
        Err(error) => {
            note(format_args!("the TPM's make is not known: {error}"));
            None
        }
    }
}

fn optional(text: &str) -> Option<Field> {
    let text = text.trim();
    (!text.is_empty()).then(|| clean(text))
}

/// What fits into a field; what does not print is shown as a question mark.
fn clean(text: &str) -> Field {
    let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().take(LONGEST).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use holdfast_tpm::swtpm::Swtpm;
    use tempfile::TempDir;

    use super::*;
    use crate::boot_counting::testing::variable;

    const ID: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";

    struct Bench {
        root: TempDir,
        swtpm: Swtpm,
        journal: UnixDatagram,
    }

    impl Bench {
        fn new(files: &[(&str, &[u8])]) -> Self {
            let root = tempfile::tempdir().unwrap();
            for (path, content) in files {
                let path = root.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            let socket = root.path().join("run/systemd/journal/socket");
            fs::create_dir_all(socket.parent().unwrap()).unwrap();
            let journal = UnixDatagram::bind(socket).unwrap();
            journal.set_nonblocking(true).unwrap();
            Self { root, swtpm: Swtpm::blank().unwrap(), journal }
        }

        fn run(&self) -> ExitCode {
            let places = Places::from_options(&[
                format!("--root={}", self.root.path().display()),
                format!("--tpm={}", self.swtpm.tcti()),
            ]);
            run(&places.unwrap())
        }

        fn recorded(&self) -> Option<String> {
            let mut entry = vec![0; 16384];
            let length = self.journal.recv(&mut entry).ok()?;
            Some(String::from_utf8(entry[..length].to_vec()).unwrap())
        }

        fn report(&self) -> Option<serde_json::Value> {
            let json = fs::read(self.root.path().join(REPORT)).ok()?;
            Some(serde_json::from_slice(&json).unwrap())
        }
    }

    const RELEASE: &[u8] = b"version = \"0.1.0\"\nsecurity_version = 0\n";

    #[test]
    fn a_boot_is_recorded_once_with_its_versions() {
        let loader = variable(&["systemd-boot 257.9-1"]);
        let bench = Bench::new(&[
            (Release::PATH, RELEASE),
            (BOOT_ID, format!("{ID}\n").as_bytes()),
            (KERNEL, b"6.12.57+deb13-amd64\n"),
            ("sys/class/dmi/id/bios_vendor", b"EDK II\n"),
            ("sys/class/dmi/id/bios_version", b"2025.02\n"),
            ("sys/class/dmi/id/bios_date", b" \n"),
            (BOOT_LOADER, &loader),
        ]);
        assert_eq!(bench.run(), ExitCode::SUCCESS);
        let report = bench.report().unwrap();
        assert_eq!(report["boot_id"], ID.replace('-', ""));
        assert_eq!(report["release"], "0.1.0");
        assert_eq!(
            report["firmware"],
            serde_json::json!({"vendor": "EDK II", "version": "2025.02"})
        );
        assert_eq!(report["boot_loader"], "systemd-boot 257.9-1");
        assert_eq!(report["tpm"]["manufacturer"], "IBM");
        let record = bench.recorded().unwrap();
        for part in ["boot.start", "release 0.1.0, kernel 6.12.57", "EDK II 2025.02,", "TPM IBM SW"]
        {
            assert!(record.contains(part), "{part}: {record}");
        }
        assert_eq!(bench.run(), ExitCode::SUCCESS);
        assert_eq!(bench.recorded(), None, "twice");
    }

    #[test]
    fn what_firmware_does_not_tell_is_left_out_and_what_it_overdoes_is_cut() {
        let long = "x".repeat(1000);
        let bench = Bench::new(&[
            (Release::PATH, RELEASE),
            (BOOT_ID, ID.as_bytes()),
            (KERNEL, b"6.12"),
            ("sys/class/dmi/id/bios_version", format!("\x1b[2Jé{long}\n").as_bytes()),
        ]);
        assert_eq!(bench.run(), ExitCode::SUCCESS);
        let report = bench.report().unwrap();
        assert_eq!(report.get("boot_loader"), None);
        let version = report["firmware"]["version"].as_str().unwrap();
        assert!(version.len() == LONGEST && version.starts_with("?[2J?xx"), "{version}");
    }

    #[test]
    fn without_its_facts_or_its_record_nothing_is_reported() {
        for missing in [Release::PATH, BOOT_ID, KERNEL] {
            let files: [(&str, &[u8]); 3] =
                [(Release::PATH, RELEASE), (BOOT_ID, ID.as_bytes()), (KERNEL, b"6.12")];
            let files: Vec<_> = files.into_iter().filter(|(path, _)| *path != missing).collect();
            let bench = Bench::new(&files);
            assert_eq!(bench.run(), ExitCode::FAILURE, "{missing}");
            assert_eq!((bench.report(), bench.recorded()), (None, None), "{missing}");
        }
    }
}
