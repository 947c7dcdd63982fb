//! RSASSA-PSS encoding in software (RFC 8017, section 9.1.1), SHA-256, salt of 32 bytes.

use sha2::{Digest, Sha256};

const HASH: usize = 32;
const SALT: usize = HASH;
const TRAILER: u8 = 0xbc;

/// Encodes a digest for a modulus of `modulus_bits`; `None` if the modulus is too short.
pub(crate) fn encode(
    digest: &[u8; HASH],
    salt: &[u8; SALT],
    modulus_bits: usize,
) -> Option<Vec<u8>> {
    let bits = modulus_bits.checked_sub(1)?;
    let length = bits.div_ceil(8);
    let padding = length.checked_sub(HASH + SALT + 2)?;

    let hash =
        Sha256::new().chain_update([0; 8]).chain_update(digest).chain_update(salt).finalize();
    let mut encoded = vec![0; padding];
    encoded.push(1);
    encoded.extend_from_slice(salt);
    for (byte, mask) in encoded.iter_mut().zip(mgf1(&hash)) {
        *byte ^= mask;
    }
    let unused_bits = 8 * length - bits;
    if let Some(first) = encoded.first_mut() {
        *first &= 0xff >> unused_bits;
    }
    encoded.extend_from_slice(&hash);
    encoded.push(TRAILER);
    Some(encoded)
}

/// MGF1 with SHA-256 (RFC 8017, appendix B.2.1), as an endless stream.
fn mgf1(seed: &[u8]) -> impl Iterator<Item = u8> {
    (0_u32..).flat_map(move |counter| {
        Sha256::new().chain_update(seed).chain_update(counter.to_be_bytes()).finalize()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_length_of_the_modulus() {
        for (bits, length) in [(2048, 256), (3072, 384), (2047, 256), (1025, 128)] {
            let encoded = encode(&[1; 32], &[2; 32], bits).unwrap();
            assert_eq!(encoded.len(), length, "{bits} bits");
            assert_eq!(encoded.last(), Some(&TRAILER), "{bits} bits");
            let spare = 8 * length - (bits - 1);
            assert_eq!(u16::from(encoded[0]) >> (8 - spare), 0, "{bits} bits");
        }
    }

    #[test]
    fn refuses_a_modulus_too_short() {
        assert_eq!(
            encode(&[1; 32], &[2; 32], 8 * 66),
            Some(encode(&[1; 32], &[2; 32], 528).unwrap())
        );
        assert_eq!(encode(&[1; 32], &[2; 32], 520), None);
        assert_eq!(encode(&[1; 32], &[2; 32], 0), None);
    }
}
