//! What the TPM keeps about the state volume for the day on which it does not open: which volume is
//! this device's own, and how to tell a right recovery key from a wrong one.
//!
//! A volume and a key that this record does not name are not even tried. So whoever puts a volume
//! of his own in the place of the device's gains nothing by knowing its key.

use holdfast_recovery::{MAX_KEYS, RecoveryKey, Verifier};
use holdfast_tpm::{Tpm, TpmError};
use subtle::ConstantTimeEq as _;

const INDEX: u32 = 0x0180_0F0F;
const FORMAT: u8 = 1;
const DIGEST: usize = 32;
/// Format, number of keys, volume, verifiers.
const LENGTH: usize = 2 + DIGEST + MAX_KEYS * DIGEST;

/// The record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The volume's identity, see [`crate::var::luks::Header::identity`].
    pub volume: [u8; 32],
    /// The verifiers of its recovery keys, [`MAX_KEYS`] at most.
    pub verifiers: Vec<Verifier>,
}

impl Record {
    /// Whether a key is one of this volume's.
    pub fn accepts(&self, key: &RecoveryKey) -> bool {
        let typed = key.verifier(&self.volume);
        self.verifiers.iter().any(|verifier| bool::from(verifier.0.ct_eq(&typed.0)))
    }

    /// Reads it; `None` if there is none, or one that is not understood.
    pub fn read(tpm: &Tpm) -> Result<Option<Self>, TpmError> {
        Ok(tpm.nv_read(INDEX)?.as_deref().and_then(Self::parse))
    }

    /// Writes it, in one command of the TPM.
    pub fn write(&self, tpm: &Tpm) -> Result<(), TpmError> {
        // An index may be there without content, or of another length: somebody else's.
        let fits = tpm.nv_read(INDEX).is_ok_and(|held| held.is_some_and(|h| h.len() == LENGTH));
        if !fits {
            let _ = tpm.nv_undefine(INDEX);
            tpm.nv_define(INDEX, LENGTH)?;
        }
        tpm.nv_write(INDEX, &self.to_bytes())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let count = self.verifiers.len().min(MAX_KEYS);
        let mut bytes = vec![FORMAT, u8::try_from(count).unwrap_or_default()];
        bytes.extend(self.volume);
        bytes.extend(self.verifiers.iter().take(count).flat_map(|verifier| verifier.0));
        bytes.resize(LENGTH, 0);
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (&[format, count], rest) = bytes.split_first_chunk::<2>()?;
        let (volume, verifiers) = rest.split_first_chunk::<DIGEST>()?;
        let count = usize::from(count);
        if bytes.len() != LENGTH || format != FORMAT || !(1..=MAX_KEYS).contains(&count) {
            return None;
        }
        let verifiers = verifiers.chunks_exact(DIGEST).take(count);
        let verifiers = verifiers.filter_map(|chunk| chunk.try_into().ok().map(Verifier));
        Some(Self { volume: *volume, verifiers: verifiers.collect() })
    }
}

#[cfg(test)]
mod tests {
    use holdfast_tpm::swtpm::Swtpm;

    use super::*;

    fn key(byte: u8) -> RecoveryKey {
        RecoveryKey::from_bytes(&[byte; 32])
    }

    fn record(keys: &[u8]) -> Record {
        let volume = [9; 32];
        let verifiers = keys.iter().map(|&byte| key(byte).verifier(&volume)).collect();
        Record { volume, verifiers }
    }

    #[test]
    fn the_tpm_keeps_it_over_a_power_cycle() {
        let mut swtpm = Swtpm::blank().unwrap();
        let tpm = swtpm.open().unwrap();
        assert_eq!(Record::read(&tpm).unwrap(), None);
        record(&[1]).write(&tpm).unwrap();
        record(&[1, 2]).write(&tpm).unwrap();
        drop(tpm);
        swtpm.power_cycle().unwrap();
        assert_eq!(Record::read(&swtpm.open().unwrap()).unwrap(), Some(record(&[1, 2])));
    }

    #[test]
    fn an_index_of_another_length_is_no_record_and_makes_way() {
        let swtpm = Swtpm::blank().unwrap();
        let tpm = swtpm.open().unwrap();
        tpm.nv_define(INDEX, 8).unwrap();
        assert_eq!(Record::read(&tpm).unwrap(), None);
        tpm.nv_write(INDEX, &[1; 8]).unwrap();
        assert_eq!(Record::read(&tpm).unwrap(), None);
        record(&[3]).write(&tpm).unwrap();
        assert_eq!(Record::read(&tpm).unwrap(), Some(record(&[3])));
    }

    #[test]
    fn only_its_keys_are_accepted() {
        let two = record(&[1, 2]);
        assert!(two.accepts(&key(1)) && two.accepts(&key(2)) && !two.accepts(&key(3)));
        let other_volume = Record { volume: [8; 32], ..two };
        assert!(!other_volume.accepts(&key(1)));
    }

    #[test]
    fn what_is_not_a_record_is_refused() {
        let good = record(&[1, 2]).to_bytes();
        assert_eq!(Record::parse(&good), Some(record(&[1, 2])));
        for (at, value) in [(0, 2), (1, 0), (1, 3)] {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(Record::parse(&bad), None);
        }
        for length in [0, 1, 2, LENGTH - 1] {
            assert_eq!(Record::parse(&good[..length]), None);
        }
    }
}
