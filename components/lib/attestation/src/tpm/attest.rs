//! `TPMS_ATTEST` (Part 2, 10.12.12): what a TPM signs when it certifies and quotes.

use super::buffer::{Bounded, DecodeError, Reader, Writer};
use super::name::Name;
use super::pcr_selection::PcrSelections;

/// `TPM_GENERATED_VALUE`: a restricted key never signs outside data that starts so.
const MAGIC: u32 = 0xff54_4347;
const TYPE_CERTIFY: u16 = 0x8017;
const TYPE_QUOTE: u16 = 0x8018;

/// A statement of a TPM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attest {
    /// Qualified Name of the signing key.
    pub qualified_signer: Name,
    /// The qualifying data that the caller gave, at most a digest with its algorithm.
    pub extra_data: Bounded<66>,
    /// Clock and counters of the TPM (obfuscated if the signer is outside the endorsement hierarchy).
    pub clock_info: ClockInfo,
    /// Vendor's firmware version (obfuscated likewise).
    pub firmware_version: u64,
    /// What is stated.
    pub attested: Attested,
}

/// `TPMS_CLOCK_INFO` (Part 2, 10.11.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockInfo {
    /// Milliseconds that the TPM was powered.
    pub clock: u64,
    /// Number of TPM resets.
    pub reset_count: u32,
    /// Number of TPM restarts and resumes since the last reset.
    pub restart_count: u32,
    /// Whether the clock never went backwards.
    pub safe: bool,
}

/// What a TPM states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attested {
    /// An object with this Name is loaded (`TPM2_Certify`).
    Certify {
        /// Name of the object.
        name: Name,
        /// Its qualified Name, which holds its ancestry.
        qualified_name: Name,
    },
    /// PCRs have values with this digest (`TPM2_Quote`).
    Quote {
        /// Which PCRs.
        selections: PcrSelections,
        /// Hash over the values in the order of the selection.
        digest: Bounded<64>,
    },
}

impl Attest {
    /// Parses a `TPMS_ATTEST` of type certify or quote.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let magic = reader.u32("magic")?;
        if magic != MAGIC {
            return Err(DecodeError::NotTpmGenerated { magic });
        }
        let kind = reader.u16("attestation type")?;
        if kind != TYPE_CERTIFY && kind != TYPE_QUOTE {
            return Err(DecodeError::Unsupported { field: "attestation type", value: kind.into() });
        }
        let qualified_signer = Name::read(&mut reader, "qualifiedSigner")?;
        let extra_data = reader.sized("extraData")?;
        let clock_info = ClockInfo {
            clock: reader.u64("clock")?,
            reset_count: reader.u32("resetCount")?,
            restart_count: reader.u32("restartCount")?,
            safe: match reader.u8("safe")? {
                0 => false,
                1 => true,
                other => {
                    return Err(DecodeError::Unsupported { field: "safe", value: other.into() });
                }
            },
        };
        let firmware_version = reader.u64("firmwareVersion")?;
        let attested = if kind == TYPE_CERTIFY {
            Attested::Certify {
                name: Name::read(&mut reader, "certified name")?,
                qualified_name: Name::read(&mut reader, "certified qualifiedName")?,
            }
        } else {
            Attested::Quote {
                selections: PcrSelections::read(&mut reader)?,
                digest: reader.sized("pcrDigest")?,
            }
        };
        reader.finish("TPMS_ATTEST")?;
        Ok(Self { qualified_signer, extra_data, clock_info, firmware_version, attested })
    }

    /// Marshals a `TPMS_ATTEST`.
    pub fn marshal(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer
            .u32(MAGIC)
            .u16(match self.attested {
                Attested::Certify { .. } => TYPE_CERTIFY,
                Attested::Quote { .. } => TYPE_QUOTE,
            })
            .name(&self.qualified_signer)
            .sized(&self.extra_data)
            .u64(self.clock_info.clock)
            .u32(self.clock_info.reset_count)
            .u32(self.clock_info.restart_count)
            .bytes(&[u8::from(self.clock_info.safe)])
            .u64(self.firmware_version);
        match &self.attested {
            Attested::Certify { name, qualified_name } => {
                writer.name(name).name(qualified_name);
            }
            Attested::Quote { selections, digest } => {
                selections.write(&mut writer);
                writer.sized(digest);
            }
        }
        writer.finish()
    }
}

impl Writer {
    fn name(&mut self, name: &Name) -> &mut Self {
        #[allow(clippy::cast_possible_truncation)] // at most MAX_NAME
        self.u16(name.as_bytes().len() as u16).bytes(name.as_bytes())
    }
}
