//! The site configuration: verified, measured, handed on.
//!
//! It lies on the EFI system partition, where anybody with the disk can write. What is measured is
//! what was read, once; what others use is the verified copy in `/run`.

use std::{fs, io, path::Path, process::ExitCode};

use holdfast_attestation::{
    hash::sha256,
    pcr::{SITE_PCR, site_measurement},
};
use holdfast_site::{MAX_LENGTH, Site};
use holdfast_tpm::Tpm;

use crate::{
    boot_disk::BootDisk,
    console::milestone,
    disk_file_system::{Access, Detached},
    files::{self, Readers, read_text},
    places::Places,
};

const KEY: &str = "usr/lib/holdfast/keys/site.pub";
const ACCEPTED: &str = "run/holdfast/site/site.toml";
const REFUSED: &str = "run/holdfast/site/error";
const TEXT: &str = "holdfast/site.toml";
const SIGNATURE: &str = "holdfast/site.toml.sig";
/// What may lie beside the site configuration, and where the enroller finds it.
const COMPANIONS: [Companion; 2] = [
    Companion {
        from: "holdfast/site.transfer",
        to: "run/holdfast/site/site.transfer",
        limit: MAX_LENGTH as u64,
        readers: Readers::Everybody,
    },
    Companion {
        from: "holdfast/pairing-code",
        to: "run/holdfast/site/pairing-code",
        limit: 256,
        readers: Readers::Root,
    },
];
/// Measured in place of a site configuration, so that no quote looks as if there was a valid one.
const NO_SITE: &[u8] = b"holdfast: no valid site";

/// A file of the boot partition that is handed on as it is: the enroller judges it.
struct Companion {
    from: &'static str,
    to: &'static str,
    /// Bytes.
    limit: u64,
    readers: Readers,
}

/// The files as they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Files {
    text: Vec<u8>,
    signature: Vec<u8>,
}

/// A site configuration that may be used once it is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verified {
    text: Vec<u8>,
    tenant: String,
}

/// The verb. A site configuration that is refused is not a failed boot: the device then says that
/// it waits for one.
pub fn run(places: &Places) -> ExitCode {
    let folder = open_folder(places);
    let read = folder.as_ref().map_err(Clone::clone).and_then(read);
    let key = read_text(&places.at(KEY)).map_err(|error| error.to_string());
    let verified = key.and_then(|key| verify(read?, &key));
    let accepted = measure(places, &verified).and(verified);
    let done = match &accepted {
        Ok(site) => {
            milestone(format_args!("site accepted tenant={}", site.tenant));
            hand_on(places, (ACCEPTED, &site.text), REFUSED)
        }
        Err(why) => {
            let why = why.lines().collect::<Vec<_>>().join("; ");
            milestone(format_args!("site refused: {why}"));
            hand_on(places, (REFUSED, format!("{why}\n").as_bytes()), ACCEPTED)
        }
    };
    let companions = hand_on_companions(places, folder.ok().filter(|_| accepted.is_ok()).as_ref());
    match done.and(companions) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            milestone(format_args!("site refused: {why}"));
            ExitCode::FAILURE
        }
    }
}

fn open_folder(places: &Places) -> Result<Detached, String> {
    match &places.esp {
        Some(folder) => Detached::from_folder(folder)
            .map_err(|error| format!("cannot read {}: {error}", folder.display())),
        None => boot_partition(places),
    }
}

fn read(folder: &Detached) -> Result<Files, String> {
    Ok(Files { text: file(folder, TEXT)?, signature: file(folder, SIGNATURE)? })
}

/// Hands on what lies beside an accepted site configuration; what does not, is not handed on.
fn hand_on_companions(places: &Places, folder: Option<&Detached>) -> Result<(), String> {
    for Companion { from, to, limit, readers } in COMPANIONS {
        let found = match folder.map(|folder| folder.read(from, limit)) {
            Some(Ok(found)) => found,
            Some(Err(error)) => {
                milestone(format_args!("/{from} on the EFI system partition not used: {error}"));
                None
            }
            None => None,
        };
        let path = places.at(to);
        match found {
            Some(content) => {
                files::publish_for(&path, &content, readers).map_err(|error| error.to_string())?;
            }
            None => remove(&path).map_err(|error| format!("cannot remove /{to}: {error}"))?,
        }
    }
    Ok(())
}

/// The EFI system partition of the boot disk.
fn boot_partition(places: &Places) -> Result<Detached, String> {
    let esp = BootDisk::find(places).and_then(|disk| disk.esp());
    let device = esp.map_err(|error| error.to_string())?;
    Detached::open(&device, "vfat", Access::Read)
        .map_err(|error| format!("cannot mount {}: {error}", device.display()))
}

fn file(folder: &Detached, name: &str) -> Result<Vec<u8>, String> {
    match folder.read(name, MAX_LENGTH as u64) {
        Ok(Some(content)) => Ok(content),
        Ok(None) => Err(format!(
            "/{name} is not on the EFI system partition; put site.toml and site.toml.sig there \
             (holdfast-cloud site new)"
        )),
        Err(error) => Err(format!("/{name} on the EFI system partition: {error}")),
    }
}

fn verify(files: Files, key: &str) -> Result<Verified, String> {
    let site = Site::verify_and_parse(&files.text, &files.signature, key)
        .map_err(|error| error.to_string())?;
    Ok(Verified { tenant: site.tenant.to_string(), text: files.text })
}

/// Extends the site PCR once per boot. That it is no longer zero says that it was extended: unlike
/// a file it cannot be wrong about that.
fn measure(places: &Places, site: &Result<Verified, String>) -> Result<(), String> {
    let digest = measurement(site);
    let tpm = Tpm::open(&places.tpm).map_err(|error| error.to_string())?;
    let read = || {
        let values = tpm.pcr_read(&[SITE_PCR]).map_err(|error| error.to_string())?;
        values.first().map(|value| value.digest).ok_or_else(|| "PCR 14 was not read".to_owned())
    };
    if read()? == [0; 32] {
        tpm.pcr_extend(SITE_PCR, &digest).map_err(|error| error.to_string())?;
    }
    if read()? == sha256(&[&[0; 32], &digest]) {
        Ok(())
    } else {
        Err(format!(
            "PCR {SITE_PCR} already holds another measurement; restart the device to use a changed \
             site configuration"
        ))
    }
}

fn measurement(site: &Result<Verified, String>) -> [u8; 32] {
    match site {
        Ok(site) => site_measurement(&site.text),
        Err(_) => sha256(&[NO_SITE]),
    }
}

fn hand_on(places: &Places, new: (&str, &[u8]), former: &str) -> Result<(), String> {
    remove(&places.at(former)).map_err(|error| format!("cannot remove /{former}: {error}"))?;
    files::publish(&places.at(new.0), new.1).map_err(|error| error.to_string())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, path::PathBuf};

    use holdfast_attestation::pcr::expected_site_pcr;
    use holdfast_tpm::swtpm::Swtpm;
    use p256::{
        ecdsa::{DerSignature, SigningKey, signature::Signer},
        pkcs8::{EncodePublicKey, LineEnding},
    };
    use rand_core::OsRng;
    use tempfile::TempDir;

    use super::*;

    const VALID: &str = include_str!("../../../lib/site/tests/data/valid.toml");

    struct Bench {
        swtpm: Swtpm,
        root: TempDir,
        key: SigningKey,
    }

    impl Bench {
        fn new() -> Self {
            let key = SigningKey::random(&mut OsRng);
            let bench =
                Self { swtpm: Swtpm::blank().unwrap(), root: tempfile::tempdir().unwrap(), key };
            let pem = bench.key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
            bench.write(KEY, pem.as_bytes());
            bench
        }

        fn path(&self, path: &str) -> PathBuf {
            self.root.path().join(path)
        }

        fn write(&self, path: &str, content: &[u8]) {
            let path = self.path(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }

        fn put_site(&self, text: &str, signed: &str) {
            let signature: DerSignature = self.key.sign(signed.as_bytes());
            self.write("esp/holdfast/site.toml", text.as_bytes());
            self.write("esp/holdfast/site.toml.sig", signature.as_bytes());
        }

        fn run(&self) {
            fs::create_dir_all(self.path("esp")).unwrap();
            let places = Places::from_options(&[
                format!("--root={}", self.root.path().display()),
                format!("--esp={}", self.path("esp").display()),
                format!("--tpm={}", self.swtpm.tcti()),
            ])
            .unwrap();
            assert_eq!(run(&places), ExitCode::SUCCESS);
        }

        fn pcr(&self) -> [u8; 32] {
            self.swtpm.open().unwrap().pcr_read(&[SITE_PCR]).unwrap()[0].digest
        }

        fn accepted(&self) -> Option<String> {
            fs::read_to_string(self.path(ACCEPTED)).ok()
        }

        fn refused(&self) -> Option<String> {
            fs::read_to_string(self.path(REFUSED)).ok()
        }
    }

    fn no_site_pcr() -> [u8; 32] {
        sha256(&[&[0; 32], &sha256(&[NO_SITE])])
    }

    #[test]
    fn a_signed_site_is_measured_once_and_handed_on() {
        let bench = Bench::new();
        bench.put_site(VALID, VALID);
        for _ in 0..2 {
            bench.run();
            assert_eq!(bench.pcr(), expected_site_pcr(VALID.as_bytes()));
            assert_eq!((bench.accepted().as_deref(), bench.refused()), (Some(VALID), None));
        }
    }

    #[test]
    fn what_lies_beside_an_accepted_site_is_handed_on() {
        let bench = Bench::new();
        bench.put_site(VALID, VALID);
        bench.write("esp/holdfast/site.transfer", b"a transfer");
        bench.write("esp/holdfast/pairing-code", b"a code");
        bench.run();
        let handed_on = |name: &str| fs::read(bench.path("run/holdfast/site").join(name)).ok();
        assert_eq!(handed_on("site.transfer").as_deref(), Some(b"a transfer".as_slice()));
        assert_eq!(handed_on("pairing-code").as_deref(), Some(b"a code".as_slice()));
        let mode = |name| {
            let path = bench.path("run/holdfast/site").join(name);
            fs::metadata(path).unwrap().permissions().mode() & 0o077
        };
        assert_eq!((mode("pairing-code"), mode("site.transfer") & 0o044), (0, 0o044));

        // Too long, or beside a site that is not accepted.
        bench.write("esp/holdfast/pairing-code", &[b'x'; 257]);
        bench.run();
        assert_eq!(handed_on("pairing-code"), None);
        assert!(handed_on("site.transfer").is_some());
        bench.put_site(VALID, "other");
        bench.run();
        assert_eq!(handed_on("site.transfer"), None);
    }

    #[test]
    fn a_site_that_changes_while_the_device_runs_waits_for_a_restart() {
        let mut bench = Bench::new();
        bench.put_site(VALID, VALID);
        bench.run();
        let changed = format!("{VALID}\n# changed\n");
        bench.put_site(&changed, &changed);
        bench.run();
        assert_eq!(bench.pcr(), expected_site_pcr(VALID.as_bytes()));
        assert_eq!(bench.accepted(), None);
        assert!(bench.refused().unwrap().contains("restart the device"));
        bench.swtpm.power_cycle().unwrap();
        bench.run();
        assert_eq!(bench.pcr(), expected_site_pcr(changed.as_bytes()));
        assert_eq!((bench.accepted(), bench.refused()), (Some(changed), None));
    }

    #[test]
    fn what_is_missing_or_not_signed_is_refused_and_measured_as_no_site() {
        type Prepare = fn(&Bench);
        let table: [(Prepare, &str); 6] = [
            (|_| {}, "/holdfast/site.toml is not on the EFI system partition"),
            (|b| b.write("esp/holdfast/site.toml", VALID.as_bytes()), "site.toml.sig is not on"),
            (|b| b.put_site(VALID, "other"), "not a signature of site.toml"),
            (|b| b.put_site("format = 2", "format = 2"), "site.toml: line 1"),
            (|b| b.put_site(&"#".repeat(MAX_LENGTH + 1), ""), "more than 65536 bytes"),
            (
                |b| {
                    b.put_site(VALID, VALID);
                    b.write(KEY, b"no key");
                },
                "the key that verifies site.toml",
            ),
        ];
        for (prepare, part) in table {
            let bench = Bench::new();
            prepare(&bench);
            for _ in 0..2 {
                bench.run();
                let error = bench.refused().unwrap();
                assert!(error.contains(part), "{part}: {error}");
                assert_eq!((bench.pcr(), bench.accepted()), (no_site_pcr(), None));
            }
        }
    }

    #[test]
    fn without_a_tpm_no_site_is_handed_on() {
        let bench = Bench::new();
        bench.put_site(VALID, VALID);
        let places = Places::from_options(&[
            format!("--root={}", bench.root.path().display()),
            format!("--esp={}", bench.path("esp").display()),
            "--tpm=device:/nowhere".to_owned(),
        ])
        .unwrap();
        assert_eq!(run(&places), ExitCode::SUCCESS);
        assert!(bench.refused().unwrap().contains("/nowhere"));
        assert_eq!(bench.accepted(), None);
    }
}
