//! What the TPM keeps for this device across everything that happens to the disk.

use holdfast_tpm::{Tpm, TpmError};

/// The least `security_version` that may boot.
const FLOOR: u32 = 0x0180_0F0D;
/// Defined once this device has a state volume of its own; holds [`LAYOUT`].
const PROVISIONED: u32 = 0x0180_0F0E;
const LAYOUT: u64 = 1;

/// Reads the floor.
pub fn floor(tpm: &Tpm) -> Result<Option<u64>, TpmError> {
    tpm.nv_read_u64(FLOOR)
}

/// Whether the device has a state volume of its own.
pub fn is_provisioned(tpm: &Tpm) -> Result<bool, TpmError> {
    Ok(tpm.nv_read_u64(PROVISIONED)?.is_some())
}

/// Makes the floor.
pub fn write_floor(tpm: &Tpm, floor: u64) -> Result<(), TpmError> {
    define_and_write(tpm, FLOOR, floor)
}

/// Records that the device has a state volume of its own.
pub fn provision(tpm: &Tpm) -> Result<(), TpmError> {
    define_and_write(tpm, PROVISIONED, LAYOUT)
}

/// Forgets that the device had a state volume. The floor stays.
pub fn forget(tpm: &Tpm) -> Result<(), TpmError> {
    tpm.nv_undefine(PROVISIONED)
}

/// An index may be there without content: the power may have been cut between the two commands.
fn define_and_write(tpm: &Tpm, index: u32, value: u64) -> Result<(), TpmError> {
    let defined = tpm.nv_define_u64(index);
    tpm.nv_write_u64(index, value).map_err(|error| defined.err().unwrap_or(error))
}

#[cfg(test)]
mod tests {
    use holdfast_tpm::swtpm::Swtpm;

    use super::*;

    #[test]
    fn numbers_are_kept_and_a_half_made_index_is_completed() {
        let swtpm = Swtpm::blank().unwrap();
        let tpm = swtpm.open().unwrap();
        assert_eq!((floor(&tpm).unwrap(), is_provisioned(&tpm).unwrap()), (None, false));
        tpm.nv_define_u64(FLOOR).unwrap();
        tpm.nv_define_u64(PROVISIONED).unwrap();
        assert_eq!((floor(&tpm).unwrap(), is_provisioned(&tpm).unwrap()), (None, false));
        write_floor(&tpm, 7).unwrap();
        provision(&tpm).unwrap();
        assert_eq!((floor(&tpm).unwrap(), is_provisioned(&tpm).unwrap()), (Some(7), true));
        forget(&tpm).unwrap();
        assert_eq!((floor(&tpm).unwrap(), is_provisioned(&tpm).unwrap()), (Some(7), false));
        provision(&tpm).unwrap();
        assert!(is_provisioned(&tpm).unwrap());
    }
}
