//! Measuring of the boot phases into PCR 11, as systemd-pcrphase(8) does: the signed PCR 11 values
//! of the UKI name these phases.

use std::{fs, io, io::Write};

use sha2::{Digest, Sha256};

use crate::error::{InitError, at};

const PCR: u32 = 11;

/// The TPM, if the machine has one.
pub struct Tpm {
    path: Option<&'static str>,
}

impl Tpm {
    /// Looks for the kernel's TPM device. Its drivers are built in, so it is there before us. A
    /// device without a TPM boots as far as `/var`, which stays shut and says why.
    pub fn find() -> Self {
        Self { path: Some("/dev/tpm0").filter(|p| fs::exists(p).unwrap_or(false)) }
    }

    /// Extends PCR 11 with the digest of the phase's name.
    pub fn measure_phase(&self, phase: &str) -> Result<(), InitError> {
        let Some(path) = self.path else { return Ok(()) };
        at(
            format!("measure phase {phase} with {path}"),
            extend(path, &Sha256::digest(phase).into()),
        )
    }
}

fn extend(path: &str, digest: &[u8; 32]) -> io::Result<()> {
    let mut device = fs::OpenOptions::new().read(true).write(true).open(path)?;
    device.write_all(&extend_command(digest))?;
    let mut answer = [0; 64];
    let size = io::Read::read(&mut device, &mut answer)?;
    match answer[..size].get(6..10) {
        Some([0, 0, 0, 0]) => Ok(()),
        Some(code) => Err(io::Error::other(format!("TPM2_PCR_Extend answered {code:02x?}"))),
        None => Err(io::Error::other("TPM2_PCR_Extend: answer cut short")),
    }
}

/// `TPM2_PCR_Extend` with an empty password session and one SHA-256 digest (TPM 2.0 part 3,
/// section 22.2).
fn extend_command(digest: &[u8; 32]) -> Vec<u8> {
    let mut body = Vec::with_capacity(65);
    body.extend(PCR.to_be_bytes());
    body.extend(9_u32.to_be_bytes()); // size of the authorization area
    body.extend(0x4000_0009_u32.to_be_bytes()); // TPM_RS_PW
    body.extend([0, 0, 0, 0, 0]); // no nonce, no attributes, no password
    body.extend(1_u32.to_be_bytes()); // one digest
    body.extend(0x000B_u16.to_be_bytes()); // TPM_ALG_SHA256
    body.extend(digest);
    let mut command = Vec::with_capacity(75);
    command.extend(0x8002_u16.to_be_bytes()); // TPM_ST_SESSIONS
    command.extend((10 + u32::try_from(body.len()).unwrap_or(0)).to_be_bytes());
    command.extend(0x0000_0182_u32.to_be_bytes()); // TPM_CC_PCR_Extend
    command.extend(body);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_has_the_size_it_says() {
        let command = extend_command(&[7; 32]);
        assert_eq!(command.len(), 65);
        assert_eq!(command[2..6], 65_u32.to_be_bytes());
        assert_eq!(command[command.len() - 32..], [7; 32]);
    }
}
