//! Where the device reads its own name.

use std::io;
use std::path::{Path, PathBuf};

use holdfast_attestation::edge_id::{EdgeId, EdgeIdError};
use holdfast_attestation::machine_id::{MachineId, MachineIdError};
use holdfast_site::EdgeIdSource;

/// Name of the credential that carries the SMBIOS serial number, which only root may read.
const SERIAL_CREDENTIAL: &str = "dmi-serial";

/// The places where names are found.
#[derive(Debug, Clone)]
pub struct Places {
    /// systemd's folder of credentials, if the unit has any.
    pub credentials: Option<PathBuf>,
    /// The sysfs mount point.
    pub sysfs: PathBuf,
}

/// No usable Edge ID.
#[derive(Debug, thiserror::Error)]
pub enum EdgeIdUnusable {
    /// The place it should be in cannot be read.
    #[error("cannot read the Edge ID from {place}: {source}; {next}")]
    Unreadable {
        /// File or credential.
        place: String,
        /// What the system said.
        source: io::Error,
        /// What to do.
        next: &'static str,
    },
    /// What is there is not a name.
    #[error("{place}: {source}")]
    Invalid {
        /// File or credential.
        place: String,
        /// What is wrong with it.
        source: EdgeIdError,
    },
}

/// No id that tells this machine from others.
#[derive(Debug, thiserror::Error)]
pub enum MachineUnusable {
    /// It cannot be read.
    #[error("cannot read the machine id from {place}: {source}")]
    Unreadable {
        /// The file.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// It names no machine.
    #[error("{place}: {source}")]
    Invalid {
        /// The file.
        place: String,
        /// What is wrong with it.
        source: MachineIdError,
    },
}

/// Reads the Edge ID from the source that the site configuration names.
pub fn read(source: &EdgeIdSource, places: &Places) -> Result<EdgeId, EdgeIdUnusable> {
    match source {
        EdgeIdSource::Fixed(edge_id) => Ok(edge_id.clone()),
        EdgeIdSource::DmiSerial => {
            let next = "give the unit LoadCredential=dmi-serial:/sys/class/dmi/id/product_serial, \
                        or choose another edge_id source in site.toml";
            let Some(folder) = &places.credentials else {
                return Err(EdgeIdUnusable::Unreadable {
                    place: format!("credential {SERIAL_CREDENTIAL}"),
                    source: io::ErrorKind::NotFound.into(),
                    next,
                });
            };
            from_file(&folder.join(SERIAL_CREDENTIAL), next)
        }
        EdgeIdSource::Mac(interface) => from_file(
            &places.sysfs.join("class/net").join(interface).join("address"),
            "check the interface's name in site.toml and that its driver is in the image",
        ),
        EdgeIdSource::DeviceTree => from_file(
            &places.sysfs.join("firmware/devicetree/base/serial-number"),
            "this board's firmware passes no serial number; choose another edge_id source",
        ),
    }
}

/// Refuses a machine whose system UUID others have too: to them it would be the same machine.
pub fn check_machine(path: &Path) -> Result<(), MachineUnusable> {
    let place = || path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|source| MachineUnusable::Unreadable { place: place(), source })?;
    match text.parse::<MachineId>() {
        Ok(_) => Ok(()),
        Err(source) => Err(MachineUnusable::Invalid { place: place(), source }),
    }
}

fn from_file(path: &Path, next: &'static str) -> Result<EdgeId, EdgeIdUnusable> {
    let place = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| EdgeIdUnusable::Unreadable {
        place: place.clone(),
        source,
        next,
    })?;
    EdgeId::parse(&text).map_err(|source| EdgeIdUnusable::Invalid { place, source })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_machine_id_that_others_have_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("machine-id");
        assert!(check_machine(&path).unwrap_err().to_string().contains("machine-id"));
        for (text, part) in [
            ("7d1c9a3f52b84c0e9a60b1f3d2e4c586\n", None),
            ("03000200040005000006000700080009\n", Some("placeholder")),
            ("uninitialized\n", Some("hexadecimal")),
        ] {
            fs::write(&path, text).unwrap();
            let error = check_machine(&path).err().map(|error| error.to_string());
            match (&error, part) {
                (None, None) => {}
                (Some(error), Some(part)) if error.contains(part) => {}
                _ => panic!("{text}: {error:?}"),
            }
        }
    }

    #[test]
    fn every_source_is_read_and_normalised() {
        let root = tempfile::tempdir().unwrap();
        let sysfs = root.path().join("sys");
        let credentials = root.path().join("credentials");
        for (path, content) in [
            (credentials.join("dmi-serial"), "sn-0042\n"),
            (sysfs.join("class/net/eth0/address"), "52:54:00:ab:cd:ef\n"),
            (sysfs.join("firmware/devicetree/base/serial-number"), "10000000e5a1b2c3\0"),
            (sysfs.join("class/net/eth1/address"), "00:00:00:00:00:00\n"),
        ] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let places = Places { credentials: Some(credentials), sysfs };
        let table = [
            ("dmi-serial", Ok("SN-0042")),
            ("mac:eth0", Ok("52:54:00:AB:CD:EF")),
            ("device-tree", Ok("10000000E5A1B2C3")),
            ("fixed:kiosk-7", Ok("KIOSK-7")),
            ("mac:eth1", Err("placeholder")),
            ("mac:eth9", Err("class/net/eth9/address")),
        ];
        for (source, expected) in table {
            let found = read(&source.parse().unwrap(), &places);
            match expected {
                Ok(name) => assert_eq!(found.unwrap().as_str(), name, "{source}"),
                Err(part) => {
                    let error = found.unwrap_err().to_string();
                    assert!(error.contains(part), "{source}: {error}");
                }
            }
        }
        let without = Places { credentials: None, sysfs: root.path().into() };
        let error = read(&EdgeIdSource::DmiSerial, &without).unwrap_err().to_string();
        assert!(error.contains("LoadCredential="), "{error}");
    }
}
