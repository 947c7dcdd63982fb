//! Command line and the facts about the image.

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use holdfast_daemon::config::{self, ConfigError};
use holdfast_tpm::SignatureMode;
use serde::Deserialize;

/// Holds the device's identity: enrols it, keeps it, and lets other services use it.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Options {
    /// Folder of the identity's durable state.
    #[arg(long, default_value = "/var/lib/holdfast/enroller")]
    pub state: PathBuf,
    /// The verified site configuration.
    #[arg(long, default_value = "/run/holdfast/site/site.toml")]
    pub site: PathBuf,
    /// The wrapped recovery keys of the state volume, to be handed over to the connector.
    #[arg(long, default_value = "/run/holdfast/recovery/keys.json")]
    pub recovery_keys: PathBuf,
    /// What booted, to be told to the connector.
    #[arg(long, default_value = "/run/holdfast/boot/report.json")]
    pub boot_report: PathBuf,
    /// Facts about the image.
    #[arg(long, default_value = "/usr/lib/holdfast/release.toml")]
    pub release: PathBuf,
    /// Who may use the keys.
    #[arg(long, default_value = holdfast_ipc::IdentityPolicy::PATH)]
    pub policy: PathBuf,
    /// The TPM, as a TCTI string of tpm2-tss.
    #[arg(long, default_value = "device:/dev/tpmrm0")]
    pub tcti: String,
    /// Address of the message bus; the system bus if absent.
    #[arg(long)]
    pub bus: Option<String>,
    /// Group database with the roles.
    #[arg(long, default_value = "/etc/group")]
    pub groups: PathBuf,
    /// Where audit records go.
    #[arg(long, value_enum, default_value = "log")]
    pub audit: AuditPlace,
    /// The journal's socket; it gets the audit records too.
    #[arg(long, default_value = "/run/systemd/journal/socket")]
    pub journal: PathBuf,
    /// PCR signatures of the running system, in systemd's format.
    #[arg(long, default_value = "/run/systemd/tpm2-pcr-signature.json")]
    pub pcr_signature: PathBuf,
    /// The key that made them.
    #[arg(long, default_value = "/run/systemd/tpm2-pcr-public-key.pem")]
    pub pcr_public_key: PathBuf,
    /// Mount point of sysfs.
    #[arg(long, default_value = "/sys")]
    pub sysfs: PathBuf,
    /// The id of the machine, made of the firmware's system UUID.
    #[arg(long, default_value = "/etc/machine-id")]
    pub machine_id: PathBuf,
    /// Folder of the service's credentials.
    #[arg(long, env = "CREDENTIALS_DIRECTORY")]
    pub credentials: Option<PathBuf>,
    /// Who pads RSA-PSS signatures of new device keys; `auto` tests the TPM.
    #[arg(long, value_enum, default_value = "auto")]
    pub signature_mode: SignatureModeChoice,
}

/// Where audit records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuditPlace {
    /// Into the device's log, `org.holdfast.Audit1`: a call whose record is not durable there is
    /// refused.
    Log,
    /// Into the journal alone, on systems without that log.
    Journal,
}

/// Who pads RSA-PSS signatures of new device keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SignatureModeChoice {
    /// The TPM if it does so as TLS 1.3 needs it, else software.
    Auto,
    /// The TPM.
    TpmPss,
    /// Software.
    SoftwarePss,
}

impl SignatureModeChoice {
    /// The mode that is forced, if one is.
    pub const fn forced(self) -> Option<SignatureMode> {
        match self {
            Self::Auto => None,
            Self::TpmPss => Some(SignatureMode::TpmPss),
            Self::SoftwarePss => Some(SignatureMode::SoftwarePss),
        }
    }
}

/// What the enroller needs to know about the image; the file holds more.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Release {
    /// When the image was built, in seconds since 1970.
    pub build_time: u64,
}

impl Release {
    /// Reads the facts about the image.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        config::parse(path, |text| toml::from_str(text).map_err(|error| error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
        let options = Options::parse_from(["holdfast-enroll", "--signature-mode", "software-pss"]);
        assert_eq!(options.signature_mode.forced(), Some(SignatureMode::SoftwarePss));
        assert_eq!(options.tcti, "device:/dev/tpmrm0");
    }

    #[test]
    fn the_images_policy_is_valid() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../../rootfs-overlay/usr/lib/holdfast/identity.toml");
        config::parse(&path, |text| {
            holdfast_ipc::IdentityPolicy::parse(text).map_err(|error| error.to_string())
        })
        .unwrap();
    }

    #[test]
    fn release_facts_are_read_and_errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("release.toml");
        assert!(Release::read(&path).unwrap_err().to_string().contains("release.toml"));
        std::fs::write(&path, "version = \"0.1.0\"\nbuild_time = 1763800000\n").unwrap();
        assert_eq!(Release::read(&path).unwrap(), Release { build_time: 1_763_800_000 });
        std::fs::write(&path, "build_time = \"soon\"\n").unwrap();
        let error = Release::read(&path).unwrap_err().to_string();
        assert!(error.contains("release.toml") && error.contains("build_time"), "{error}");
    }
}
