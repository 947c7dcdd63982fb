//! The device itself: TPM, boot disk, and the volume as far as it is open.

use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf};

use holdfast_attestation::pcr::{COMMAND_LINE_PCR, PcrValue, SECURE_BOOT_PCR};
use holdfast_disk::types;
use holdfast_tpm::{BootPolicy, Tpm, TpmError};

use super::{
    World, create,
    decide::{BootSignature, Marker as MarkerState, Observation, Step, Volume},
    ext4, luks, mapping,
    mapping::Mapping,
    marker::{self, Marker},
    seal,
};
use crate::{
    boot_disk::{BootDisk, BootDiskError},
    console::note,
    disk_file_system::Detached,
    files::read_text,
    nv,
    places::Places,
    refusal::{Reason, Refusal},
    release::Release,
};

/// A floor that every release reaches; committed updates raise it.
const FIRST_FLOOR: u64 = 0;
const PCR_KEY: &str = "usr/lib/holdfast/keys/pcr.pub";
const BOOT_KEY: &str = "run/systemd/tpm2-pcr-public-key.pem";
const BOOT_SIGNATURES: &str = "run/systemd/tpm2-pcr-signature.json";

/// The device that this program runs on.
pub struct Device<'a> {
    places: &'a Places,
    tpm: Tpm,
    disk: BootDisk,
    security_version: u64,
    command_line_pcr: [u8; 32],
    boot: Result<BootPolicy, String>,
    made_now: bool,
    tried: Tried,
}

/// What came of the volume in this run.
enum Tried {
    Nothing,
    Failed(Volume),
    Open { mapping: Mapping, files: Detached, marker: MarkerState },
}

impl<'a> Device<'a> {
    /// Looks at everything that does not change in this run.
    pub fn open(places: &'a Places) -> Result<Self, Refusal> {
        let release = read_text(&places.at(Release::PATH))
            .map_err(|error| error.to_string())
            .and_then(|text| Release::parse(&text))
            .map_err(Refusal::because(Reason::ReleaseUnreadable))?;
        note(format_args!(
            "release {} with security version {}",
            release.version, release.security_version
        ));
        let tpm = Tpm::open(&places.tpm).map_err(tpm_refusal)?;
        let command_line = tpm.pcr_read(&[COMMAND_LINE_PCR]).map_err(tpm_refusal)?;
        let command_line_pcr = command_line
            .first()
            .map(|value| value.digest)
            .ok_or_else(|| Refusal::new(Reason::TpmUnusable, "PCR 12 was not read"))?;
        let disk = BootDisk::find(places).map_err(disk_refusal)?;
        note(format_args!("boot disk {}", disk.device().display()));
        mapping::close(places).map_err(Refusal::because(Reason::VarDoesNotOpen))?;
        Ok(Self {
            places,
            tpm,
            disk,
            security_version: release.security_version,
            command_line_pcr,
            boot: boot_policy(places)?,
            made_now: false,
            tried: Tried::Nothing,
        })
    }

    /// Shows the volume at `/var`.
    pub fn attach(&mut self) -> Result<(), Refusal> {
        let not_open = || Refusal::new(Reason::NoProgress, "the state volume is not open");
        let Tried::Open { files, .. } = std::mem::replace(&mut self.tried, Tried::Nothing) else {
            return Err(not_open());
        };
        let place = self.places.at("var");
        if is_mount_point(self.places)? {
            return Err(Refusal::new(
                Reason::VarOccupied,
                "something else is mounted at /var already; a release mounts nothing there, so \
                 look for a unit or generator that does (findmnt /var)",
            ));
        }
        files.attach(&place).map_err(|error| {
            Refusal::new(Reason::VarDamaged, format!("mount at {}: {error}", place.display()))
        })
    }

    /// Whether the volume is sealed to this boot's key and registers and to nothing weaker: PCR 7 as
    /// it is, PCR 11 as the image's key signs it, PCR 12 without additions.
    pub fn check_seal(&self) -> Result<(), String> {
        let partition = self.partition().map_err(|refusal| refusal.detail)?;
        let partition = partition.ok_or("there is no state volume")?;
        let policies = luks::Header::read(&partition)?.sealing_policies()?;
        let policy = self.policy().map_err(|refusal| refusal.detail)?;
        let mut values =
            self.tpm.pcr_read(&[SECURE_BOOT_PCR]).map_err(|error| error.to_string())?;
        values.push(PcrValue { index: COMMAND_LINE_PCR, digest: [0; 32] });
        seal::judge(&policies, &policy.sealing_policy(&values))
    }

    /// Closes what was opened.
    pub fn close(&mut self) {
        self.tried = Tried::Nothing;
        if let Err(error) = mapping::close(self.places) {
            note(format_args!("the state volume was not closed: {error}"));
        }
    }

    fn partition(&self) -> Result<Option<PathBuf>, Refusal> {
        let partitions = self.disk.partitions(types::VAR).map_err(disk_refusal)?;
        match partitions.as_slice() {
            [one] => self.disk.partition_device(one.number).map(Some).map_err(disk_refusal),
            _ => Ok(None),
        }
    }

    fn policy(&self) -> Result<&BootPolicy, Refusal> {
        self.boot.as_ref().map_err(|why| Refusal::new(Reason::BootNotSigned, why))
    }

    fn hmac(&self, message: &[u8]) -> Result<[u8; 32], Refusal> {
        self.tpm.boot_bound_hmac(self.policy()?, message).map_err(tpm_refusal)
    }

    fn create(&mut self, former: create::Former) -> Result<(), Refusal> {
        // A boot that is not signed would make a volume that it cannot open.
        self.hmac(b"holdfast-boot-signed")?;
        self.close();
        create::create(self.places, &self.disk.device(), former)
            .map_err(Refusal::because(Reason::VarNotCreated))?;
        self.made_now = true;
        Ok(())
    }

    fn try_volume(&self) -> Result<Tried, Refusal> {
        let Some(partition) = self.partition()? else { return Ok(Tried::Nothing) };
        let mapping = match mapping::open(self.places, &partition) {
            Ok(mapping) => mapping,
            Err(why) => return Ok(Tried::Failed(Volume::DoesNotOpen(why))),
        };
        note(format_args!("opened LUKS volume {}", mapping.luks_uuid));
        let files = match ext4::open(&mapping.device) {
            Ok(files) => files,
            Err(why) => return Ok(Tried::Failed(Volume::Unmountable(why))),
        };
        let marker = self.check_marker(&mapping, &files)?;
        Ok(Tried::Open { mapping, files, marker })
    }

    /// A recovery that was interrupted leaves two markers: that of the seal before, and that of the
    /// one after. Each proves the same.
    fn check_marker(&self, mapping: &Mapping, files: &Detached) -> Result<MarkerState, Refusal> {
        let first = self.check_one(marker::NAME, mapping, files)?;
        if first == MarkerState::Valid {
            return Ok(first);
        }
        match self.check_one(marker::NEXT, mapping, files)? {
            MarkerState::Valid => Ok(MarkerState::Valid),
            _ => Ok(first),
        }
    }

    fn check_one(
        &self,
        name: &str,
        mapping: &Mapping,
        files: &Detached,
    ) -> Result<MarkerState, Refusal> {
        let bytes = match files.read(name, marker::LIMIT) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(MarkerState::Missing),
            Err(error) => return Ok(MarkerState::Invalid(format!("{name}: {error}"))),
        };
        let marker = match Marker::parse(&bytes) {
            Ok(marker) => marker,
            Err(why) => return Ok(MarkerState::Invalid(why)),
        };
        let hmac = self.hmac(&marker::message(&mapping.luks_uuid, &marker.random))?;
        Ok(match marker.check(&mapping.luks_uuid, &hmac) {
            Ok(()) => MarkerState::Valid,
            Err(why) => MarkerState::Invalid(why),
        })
    }

    fn write_marker(&mut self) -> Result<(), Refusal> {
        let Tried::Open { mapping, files, .. } = &self.tried else { return Ok(()) };
        let text = new_marker(&self.tpm, self.policy()?, &mapping.luks_uuid)?.to_toml();
        files.write(marker::NAME, text.as_bytes()).map_err(|error| {
            Refusal::new(Reason::VarNotCreated, format!("write {}: {error}", marker::NAME))
        })?;
        let seen = self.check_marker(mapping, files)?;
        if let Tried::Open { marker, .. } = &mut self.tried {
            *marker = seen;
        }
        Ok(())
    }
}

/// A marker for a volume that is this device's own.
pub fn new_marker(tpm: &Tpm, policy: &BootPolicy, luks_uuid: &str) -> Result<Marker, Refusal> {
    let random: [u8; 32] = tpm.random(32).map_err(tpm_refusal)?.try_into().map_err(|_| {
        Refusal::new(Reason::TpmUnusable, "the TPM gave other than 32 random bytes")
    })?;
    let message = marker::message(luks_uuid, &random);
    let hmac = tpm.boot_bound_hmac(policy, &message).map_err(tpm_refusal)?;
    Ok(Marker { luks_uuid: luks_uuid.to_owned(), random, hmac })
}

impl World for Device<'_> {
    fn observe(&mut self) -> Result<Observation, Refusal> {
        let partitions = self.disk.partitions(types::VAR).map_err(disk_refusal)?.len();
        let volume = match &self.tried {
            Tried::Failed(volume) => volume.clone(),
            Tried::Open { marker, .. } => Volume::Open(marker.clone()),
            Tried::Nothing => match self.partition()? {
                Some(device) => luks::inspect(&device).map_err(|error| {
                    let text = format!("cannot read {}: {error}", device.display());
                    Refusal::new(Reason::BootDiskUnusable, text)
                })?,
                None => Volume::Bare,
            },
        };
        Ok(Observation {
            security_version: self.security_version,
            floor: nv::floor(&self.tpm).map_err(tpm_refusal)?,
            provisioned: nv::is_provisioned(&self.tpm).map_err(tpm_refusal)?,
            command_line_pcr: self.command_line_pcr,
            signature: match &self.boot {
                Ok(_) => BootSignature::Ours,
                Err(why) => BootSignature::NotOurs(why.clone()),
            },
            partitions,
            volume,
            made_now: self.made_now,
        })
    }

    fn perform(&mut self, step: Step) -> Result<(), Refusal> {
        match step {
            Step::Create => self.create(create::Former::None),
            Step::Recreate => self.create(create::Former::Delete),
            Step::Forget => nv::forget(&self.tpm).map_err(tpm_refusal),
            Step::Open => {
                self.tried = self.try_volume()?;
                Ok(())
            }
            Step::WriteMarker => self.write_marker(),
            Step::WriteFloor => nv::write_floor(&self.tpm, FIRST_FLOOR).map_err(tpm_refusal),
            Step::Provision => nv::provision(&self.tpm).map_err(tpm_refusal),
        }
    }
}

fn is_mount_point(places: &Places) -> Result<bool, Refusal> {
    let device = |path: &str| {
        let path = places.at(path);
        fs::metadata(&path).map(|metadata| metadata.dev()).map_err(|error| {
            Refusal::new(Reason::VarOccupied, format!("{}: {error}", path.display()))
        })
    };
    Ok(device("")? != device("var")?)
}

/// The policy of the image's PCR key, if the boot brought signatures of that key. The inner error
/// says why it did not.
pub fn boot_policy(places: &Places) -> Result<Result<BootPolicy, String>, Refusal> {
    let own_key =
        read_text(&places.at(PCR_KEY)).map_err(Refusal::because(Reason::ReleaseUnreadable))?;
    Ok(signed_policy(places, &own_key))
}

fn signed_policy(places: &Places, own_key: &str) -> Result<BootPolicy, String> {
    let read = |path: &str| {
        read_text(&places.at(path)).map_err(|error| {
            format!("{error}; the system must be booted as a signed UKI with PCR signatures")
        })
    };
    let (signatures, key) = (read(BOOT_SIGNATURES)?, read(BOOT_KEY)?);
    let load = |key: &str| BootPolicy::load(&signatures, key).map_err(|error| error.to_string());
    let (ours, booted) = (load(own_key)?, load(&key)?);
    if ours.key_fingerprint() == booted.key_fingerprint() {
        Ok(ours)
    } else {
        Err(format!(
            "the UKI was signed with PCR key {}, this image names {}; install UKI and image of one \
             release",
            hex::encode(booted.key_fingerprint()),
            hex::encode(ours.key_fingerprint())
        ))
    }
}

fn tpm_refusal(error: TpmError) -> Refusal {
    let reason = match error {
        TpmError::BootNotSigned { .. } => Reason::BootNotSigned,
        _ => Reason::TpmUnusable,
    };
    Refusal::new(reason, error)
}

fn disk_refusal(error: BootDiskError) -> Refusal {
    Refusal::new(Reason::BootDiskUnusable, error)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use tempfile::TempDir;

    use super::*;

    const SIGNATURES: &str = r#"{"sha256":[]}"#;

    fn places(root: &TempDir) -> Places {
        Places::from_options(&[format!("--root={}", root.path().display())]).unwrap()
    }

    fn put(root: &TempDir, path: &str, content: &str) {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn new_key() -> String {
        let made = Command::new("sh")
            .args(["-c", "openssl genrsa 2048 2>/dev/null | openssl rsa -pubout 2>/dev/null"])
            .output()
            .unwrap();
        String::from_utf8(made.stdout).unwrap()
    }

    #[test]
    fn a_mount_point_is_told_from_a_folder() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(is_mount_point(&places(&root)).unwrap_err().reason, Reason::VarOccupied);
        fs::create_dir(root.path().join("var")).unwrap();
        assert!(!is_mount_point(&places(&root)).unwrap());
        fs::remove_dir(root.path().join("var")).unwrap();
        std::os::unix::fs::symlink("/proc", root.path().join("var")).unwrap();
        assert!(is_mount_point(&places(&root)).unwrap());
    }

    #[test]
    fn the_boot_must_be_signed_with_the_images_key() {
        let root = tempfile::tempdir().unwrap();
        let places = places(&root);
        assert_eq!(boot_policy(&places).unwrap_err().reason, Reason::ReleaseUnreadable);
        let (own, other) = (new_key(), new_key());
        put(&root, PCR_KEY, &own);
        let error = |part: &str| {
            let why = boot_policy(&places).unwrap().unwrap_err();
            assert!(why.contains(part), "{part}: {why}");
        };
        error("tpm2-pcr-signature.json");
        put(&root, BOOT_SIGNATURES, SIGNATURES);
        error("tpm2-pcr-public-key.pem");
        put(&root, BOOT_KEY, &other);
        error("this image names");
        put(&root, BOOT_KEY, "no key");
        error("PCR public key");
        put(&root, BOOT_KEY, &own.replace('\n', "\r\n"));
        assert!(boot_policy(&places).unwrap().is_ok());
        put(&root, BOOT_SIGNATURES, "{");
        error("PCR signature file");
    }
}
