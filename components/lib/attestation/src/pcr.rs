//! PCR values and what they are expected to be.

use serde::{Deserialize, Serialize};

use crate::hash::sha256;

/// PCR of the Secure Boot state (TCG PC Client Platform Firmware Profile).
pub const SECURE_BOOT_PCR: u8 = 7;
/// PCR of the unified kernel image and boot phases (systemd-stub, systemd-pcrphase).
pub const KERNEL_PCR: u8 = 11;
/// PCR of what was added to the kernel's command line, credentials and drop-ins (systemd-stub).
pub const COMMAND_LINE_PCR: u8 = 12;
/// PCR into which Holdfast measures the site configuration.
pub const SITE_PCR: u8 = 14;
/// The PCRs of a quote, in their order.
pub const QUOTED_PCRS: [u8; 4] = [SECURE_BOOT_PCR, KERNEL_PCR, COMMAND_LINE_PCR, SITE_PCR];

/// A value of a PCR in the SHA-256 bank.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PcrValue {
    /// Which PCR, 0 to 23.
    pub index: u8,
    /// Its value.
    #[serde(with = "crate::pcr::hex_digest", rename = "sha256")]
    pub digest: [u8; 32],
}

impl core::fmt::Debug for PcrValue {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PCR {} = {}", self.index, hex::encode(self.digest))
    }
}

/// The digest that a boot extends into [`SITE_PCR`].
pub fn site_measurement(site_toml: &[u8]) -> [u8; 32] {
    sha256(&[site_toml])
}

/// The value of [`SITE_PCR`] after a boot with this site configuration.
pub fn expected_site_pcr(site_toml: &[u8]) -> [u8; 32] {
    sha256(&[&[0; 32], &site_measurement(site_toml)])
}

/// What the server does with PCR values that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuotePolicy {
    /// Refuses them.
    Enforce,
    /// Takes them down and goes on.
    Record,
}

/// What a release measures into [`KERNEL_PCR`]; made by the build, published to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseMeasurement {
    /// Version of this format: 1.
    pub format: u32,
    /// Product, `holdfast`.
    pub name: String,
    /// Version of the release.
    pub version: String,
    /// `release`, `debug` or `test`.
    pub profile: String,
    /// Number that only rises, against downgrades.
    pub security_version: u64,
    /// The value of PCR 11 in each boot phase.
    pub pcr11: Vec<PhaseMeasurement>,
    /// SHA-256 of the unified kernel image.
    #[serde(with = "crate::pcr::hex_digest")]
    pub uki_sha256: [u8; 32],
    /// Root hash of the dm-verity tree of the root partition.
    #[serde(with = "crate::pcr::hex_digest")]
    pub root_hash: [u8; 32],
}

/// PCR 11 in one boot phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseMeasurement {
    /// The phases so far, joined by `:`, as `systemd-measure` writes them.
    pub phase: String,
    /// The value.
    #[serde(with = "crate::pcr::hex_digest")]
    pub sha256: [u8; 32],
}

/// Why a text is no release measurement.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseMeasurementError {
    /// Not the JSON that is expected.
    #[error("the release measurement is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// A format of another time.
    #[error("the release measurement has format {0}, this program reads format 1")]
    Format(u32),
    /// No PCR value at all.
    #[error("the release measurement lists no value of PCR 11")]
    NoPhases,
}

impl ReleaseMeasurement {
    /// The format that this library reads and writes.
    pub const FORMAT: u32 = 1;

    /// Parses the JSON that the build makes.
    pub fn from_json(json: &[u8]) -> Result<Self, ReleaseMeasurementError> {
        let measurement: Self = serde_json::from_slice(json)?;
        if measurement.format != Self::FORMAT {
            return Err(ReleaseMeasurementError::Format(measurement.format));
        }
        if measurement.pcr11.is_empty() {
            return Err(ReleaseMeasurementError::NoPhases);
        }
        Ok(measurement)
    }

    /// The boot phase in which PCR 11 has this value, if there is one.
    pub fn phase_of(&self, kernel_pcr: &[u8; 32]) -> Option<&str> {
        self.pcr11
            .iter()
            .find(|phase| phase.sha256 == *kernel_pcr)
            .map(|phase| phase.phase.as_str())
    }
}

/// 32 bytes as hexadecimal text.
pub(crate) mod hex_digest {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(digest))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut digest = [0; 32];
        hex::decode_to_slice(&text, &mut digest)
            .map_err(|_| D::Error::custom("expected 64 hexadecimal digits"))?;
        Ok(digest)
    }
}
