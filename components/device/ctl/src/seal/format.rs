//! The form of a sealed file.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `HOLDFAST` |
//! | 1 | version: 1 |
//! | 1 | content: 1 = AES-256-GCM in segments of 65536 bytes |
//! | 2 | length of the sealed data key, big-endian |
//! | n | data key, sealed by the device's TPM |
//! | … | segments, each with its tag of 16 bytes behind it; the last one may be shorter or empty |
//!
//! Segments follow STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: "Online Authenticated-Encryption
//! and its Nonce-Reuse Misuse-Resistance", 2015): nonce = 7 zero bytes, segment number (u32,
//! big-endian), 1 for the last segment or 0. The data key is new for every file, so no nonce is
//! used twice. Every segment is bound to the header as additional data. A segment that was moved,
//! dropped or added, and a file that was cut, do not open.

use std::io::{self, ErrorKind, Read, Write};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::{Zeroize, Zeroizing};

const MAGIC: &[u8; 8] = b"HOLDFAST";
const VERSION: u8 = 1;
const AES_256_GCM_SEGMENTS: u8 = 1;
const SEGMENT: usize = 65536;
const TAG: usize = 16;

/// Length of a data key, bytes.
pub const KEY_BYTES: usize = 32;

/// Why a file cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // The texts say it.
pub enum FormatError {
    #[error("it is not a sealed file")]
    NotSealed,
    #[error("it is sealed in version {0}, and this program knows version {VERSION} only")]
    Version(u8),
    #[error("its content is encrypted in a way ({0}) that this program does not know")]
    Content(u8),
    #[error("it ends in the middle of its header")]
    Cut,
    #[error("it is damaged: segment {0} does not open; it was changed, cut or put together")]
    Damaged(u32),
    #[error("it is too large")]
    TooLarge,
    #[error("the sealed key has {0} bytes and cannot be written")]
    KeyLength(usize),
    #[error("the key has a wrong length")]
    Key,
    #[error("reading: {0}")]
    Read(#[source] io::Error),
    #[error("writing: {0}")]
    Write(#[source] io::Error),
}

/// The part of the file before the segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    bytes: Vec<u8>,
    sealed_key_at: usize,
}

impl Header {
    /// A header that carries this sealed data key.
    pub fn new(sealed_key: &[u8]) -> Result<Self, FormatError> {
        let length = u16::try_from(sealed_key.len())
            .map_err(|_| FormatError::KeyLength(sealed_key.len()))?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend([VERSION, AES_256_GCM_SEGMENTS]);
        bytes.extend(length.to_be_bytes());
        let sealed_key_at = bytes.len();
        bytes.extend(sealed_key);
        Ok(Self { bytes, sealed_key_at })
    }

    /// Reads a header and leaves the reader at the first segment.
    pub fn read(input: &mut impl Read) -> Result<Self, FormatError> {
        let mut fixed = [0; 12];
        let got = read_up_to(input, &mut fixed)?;
        if got < MAGIC.len() || fixed[..8] != *MAGIC {
            return Err(FormatError::NotSealed);
        }
        if got < fixed.len() {
            return Err(FormatError::Cut);
        }
        let [.., version, content, high, low] = fixed;
        if version != VERSION {
            return Err(FormatError::Version(version));
        }
        if content != AES_256_GCM_SEGMENTS {
            return Err(FormatError::Content(content));
        }
        let mut sealed_key = vec![0; usize::from(u16::from_be_bytes([high, low]))];
        if read_up_to(input, &mut sealed_key)? < sealed_key.len() {
            return Err(FormatError::Cut);
        }
        Self::new(&sealed_key)
    }

    /// The data key as the TPM sealed it.
    pub fn sealed_key(&self) -> &[u8] {
        &self.bytes[self.sealed_key_at..]
    }
}

/// Writes header and segments; returns the number of plaintext bytes.
pub fn encrypt(
    key: &[u8],
    header: &Header,
    input: &mut impl Read,
    output: &mut impl Write,
) -> Result<u64, FormatError> {
    let key = aead_key(key)?;
    output.write_all(&header.bytes).map_err(FormatError::Write)?;
    segments(input, SEGMENT, output, |number, last, segment| {
        key.seal_in_place_append_tag(nonce(number, last), Aad::from(&header.bytes), segment)
            .map_err(|_| FormatError::TooLarge)?;
        Ok(segment.len())
    })
    .map(|(plaintext, _)| plaintext)
}

/// Writes the plaintext of the segments; returns its number of bytes. Each segment is written
/// only when it has been verified, but what was written counts only if this returns `Ok`.
pub fn decrypt(
    key: &[u8],
    header: &Header,
    input: &mut impl Read,
    output: &mut impl Write,
) -> Result<u64, FormatError> {
    let key = aead_key(key)?;
    segments(input, SEGMENT + TAG, output, |number, last, segment| {
        key.open_in_place(nonce(number, last), Aad::from(&header.bytes), segment)
            .map(|plaintext| plaintext.len())
            .map_err(|_| FormatError::Damaged(number))
    })
    .map(|(_, plaintext)| plaintext)
}

/// Runs a function over the segments of the input, which tells how many bytes of the buffer are
/// to be written; the last segment is the one behind which nothing follows. Returns the numbers of
/// bytes read and written.
fn segments(
    input: &mut impl Read,
    size: usize,
    output: &mut impl Write,
    transform: impl Fn(u32, bool, &mut Vec<u8>) -> Result<usize, FormatError>,
) -> Result<(u64, u64), FormatError> {
    let mut segment = Zeroizing::new(Vec::with_capacity(SEGMENT + TAG));
    let mut following = Zeroizing::new(vec![0; size]);
    let (mut read, mut written) = (0, 0);
    let mut length = read_up_to(input, &mut following)?;
    for number in 0..=u32::MAX {
        segment.zeroize();
        segment.extend_from_slice(&following[..length]);
        read += length as u64;
        // A segment that is not full is the last one anyway.
        length = if length == size { read_up_to(input, &mut following)? } else { 0 };
        let last = length == 0;
        let result = transform(number, last, &mut segment)?;
        output.write_all(&segment[..result]).map_err(FormatError::Write)?;
        written += result as u64;
        if last {
            return Ok((read, written));
        }
    }
    Err(FormatError::TooLarge)
}

fn read_up_to(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize, FormatError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(FormatError::Read(error)),
        }
    }
    Ok(filled)
}

fn aead_key(key: &[u8]) -> Result<LessSafeKey, FormatError> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| FormatError::Key)
}

fn nonce(number: u32, last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[7..11].copy_from_slice(&number.to_be_bytes());
    nonce[11] = u8::from(last);
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; KEY_BYTES] = [7; KEY_BYTES];

    fn sealed(plaintext: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let header = Header::new(b"sealed key").unwrap();
        let count = encrypt(&KEY, &header, &mut &*plaintext, &mut file).unwrap();
        assert_eq!(count, plaintext.len() as u64);
        file
    }

    fn opened(file: &[u8]) -> Result<Vec<u8>, FormatError> {
        let mut input = file;
        let header = Header::read(&mut input)?;
        assert_eq!(header.sealed_key(), b"sealed key");
        let mut plaintext = Vec::new();
        let count = decrypt(&KEY, &header, &mut input, &mut plaintext)?;
        assert_eq!(count, plaintext.len() as u64);
        Ok(plaintext)
    }

    #[test]
    fn what_was_sealed_opens() {
        for length in [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 2 * SEGMENT + 9] {
            let plaintext: Vec<u8> = (0..=250).cycle().take(length).collect();
            let file = sealed(&plaintext);
            let segments = length.div_ceil(SEGMENT).max(1);
            assert_eq!(file.len(), 12 + 10 + length + segments * TAG, "{length}");
            assert!(opened(&file).unwrap() == plaintext, "{length}");
        }
    }

    #[test]
    fn header_on_disk() {
        let file = sealed(b"");
        assert_eq!(&file[..22], b"HOLDFAST\x01\x01\x00\x0asealed key");
    }

    #[test]
    fn segments_cannot_be_moved_dropped_or_added() {
        let file = sealed(&vec![1; 3 * SEGMENT]);
        let (header, body) = file.split_at(22);
        let segment = SEGMENT + TAG;
        let parts: Vec<&[u8]> = body.chunks(segment).collect();
        let (a, b, c) = (parts[0], parts[1], parts[2]);
        let damaged: &[(&str, Vec<&[u8]>)] = &[
            ("swapped", vec![b, a, c]),
            ("first dropped", vec![b, c]),
            ("last dropped", vec![a, b]),
            ("all dropped", vec![]),
            ("one twice", vec![a, b, b, c]),
            ("something behind", vec![a, b, c, b"x"]),
            ("a segment behind", vec![a, b, c, c]),
            ("cut", vec![a, b, &c[..segment - 1]]),
        ];
        for (what, parts) in damaged {
            let file = [header, &parts.concat()].concat();
            assert!(matches!(opened(&file), Err(FormatError::Damaged(_))), "{what}");
        }
    }

    #[test]
    fn what_is_no_sealed_file_is_named() {
        let mut version = sealed(b"x");
        version[8] = 2;
        let mut content = sealed(b"x");
        content[9] = 9;
        let cut = sealed(b"x")[..15].to_vec();
        let table: &[(&[u8], &str)] = &[
            (b"", "not a sealed file"),
            (b"%PDF-1.7 and so on", "not a sealed file"),
            (b"HOLDFAST\x01", "ends in the middle"),
            (&cut, "ends in the middle"),
            (&version, "version 2"),
            (&content, "(9)"),
        ];
        for (file, part) in table {
            let error = opened(file).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn another_key_opens_nothing() {
        let file = sealed(b"secret");
        let mut input = &file[..];
        let header = Header::read(&mut input).unwrap();
        let mut out = Vec::new();
        let result = decrypt(&[8; 32], &header, &mut input, &mut out);
        assert!(matches!(result, Err(FormatError::Damaged(0))) && out.is_empty());
        assert!(matches!(decrypt(&[8; 31], &header, &mut input, &mut out), Err(FormatError::Key)));
    }

    proptest! {
        #[test]
        fn no_bit_can_change(length in 0_usize..64, at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let plaintext = vec![3; length];
            let mut file = sealed(&plaintext);
            // The sealed key itself is the TPM's to judge; here it is only additional data.
            let index = at.index(file.len());
            file[index] ^= 1 << bit;
            let mut input = &file[..];
            let mut out = Vec::new();
            let result = Header::read(&mut input)
                .and_then(|header| decrypt(&KEY, &header, &mut input, &mut out));
            prop_assert!(result.is_err());
        }
    }
}
