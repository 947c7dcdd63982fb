//! One record as it lies in a segment and as it is sent.
//!
//! ```text
//!  offset  bytes
//!       0      4  length of the whole frame, bytes
//!       4      1  format, 1
//!       5      1  class; the highest bit is set in critical ones
//!       6      1  kind of the payload
//!       7      1  flags; 1: the clock was synchronised
//!       8      8  sequence number of the record, from 0
//!      16      8  CLOCK_REALTIME, nanoseconds since 1970
//!      24      8  CLOCK_BOOTTIME, nanoseconds since the start of the kernel
//!      32     32  hash of the record before this one
//!      64      n  payload
//!    64+n      4  CRC32C (RFC 3720, appendix B.4) of everything before it
//! ```
//!
//! Integers are big-endian. Everything but the checksum is the *leaf data*. The hash of a record is
//! the hash of its leaf in the tree, `SHA-256(0x00 || leaf data)` (RFC 6962, section 2.1). As the
//! leaf data holds the hash of the record before, the same hash links the chain, and a frame that
//! cannot be read any more leaves its hash behind in the next one.

mod class;
mod error;
mod kind;

pub use class::Class;
pub use error::FrameError;
pub use kind::Kind;

use serde::Serialize;

use crate::Hash;
use crate::reader::Reader;

const FORMAT: u8 = 1;
const IS_SYNCHRONISED: u8 = 1;
const LENGTH_FIELD: usize = 4;
const CHECKSUM: usize = 4;
const HEADER: usize = 64;

/// When a record was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Timestamp {
    /// `CLOCK_REALTIME`, nanoseconds since 1970.
    pub realtime_ns: u64,
    /// `CLOCK_BOOTTIME`, nanoseconds since the start of the kernel.
    pub boottime_ns: u64,
    /// Whether the real-time clock was set from a source of time.
    pub is_synchronised: bool,
}

/// One record. What the payload holds is said by `kind` and judged by who reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Number of the record in its log, from 0.
    pub sequence: u64,
    /// What it is about.
    pub class: Class,
    /// What the payload is.
    pub kind: Kind,
    /// When it was made.
    pub time: Timestamp,
    /// Hash of the record before; [`crate::Origin::genesis`] in the first.
    pub previous: Hash,
    /// 0 to [`Frame::MAX_PAYLOAD`] bytes.
    pub payload: &'a [u8],
}

/// A frame and the bytes that it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// The record.
    pub frame: Frame<'a>,
    /// Its bytes without the checksum.
    pub leaf_data: &'a [u8],
}

impl Decoded<'_> {
    /// Length of the whole frame, bytes.
    pub fn encoded_len(&self) -> usize {
        self.leaf_data.len() + CHECKSUM
    }

    /// Hash of the record.
    pub fn hash(&self) -> Hash {
        Hash::leaf(self.leaf_data)
    }
}

impl<'a> Frame<'a> {
    /// What a frame adds to its payload, bytes.
    pub const OVERHEAD: usize = HEADER + CHECKSUM;
    /// Longest payload, bytes.
    pub const MAX_PAYLOAD: usize = 64 * 1024;

    /// Appends the frame to `out` and returns the hash of the record.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<Hash, FrameError> {
        let length = Self::OVERHEAD + self.payload.len();
        let field = u32::try_from(length).ok().filter(|_| self.payload.len() <= Self::MAX_PAYLOAD);
        let field = field.ok_or(FrameError::Payload(self.payload.len()))?;
        let start = out.len();
        out.reserve(length);
        out.extend(field.to_be_bytes());
        let flags = if self.time.is_synchronised { IS_SYNCHRONISED } else { 0 };
        out.extend([FORMAT, self.class.as_byte(), self.kind.as_byte(), flags]);
        out.extend(self.sequence.to_be_bytes());
        out.extend(self.time.realtime_ns.to_be_bytes());
        out.extend(self.time.boottime_ns.to_be_bytes());
        out.extend(self.previous.as_bytes());
        out.extend(self.payload);
        let leaf_data = &out[start..];
        let (hash, checksum) = (Hash::leaf(leaf_data), crc32c::crc32c(leaf_data));
        out.extend(checksum.to_be_bytes());
        Ok(hash)
    }

    /// Reads the frame at the front of `bytes`; what follows it is not looked at.
    pub fn decode(bytes: &'a [u8]) -> Result<Decoded<'a>, FrameError> {
        let cut_off = |needed| FrameError::CutOff { needed, found: bytes.len() };
        let field = Reader(bytes).u32().ok_or_else(|| cut_off(LENGTH_FIELD))?;
        let length = usize::try_from(field)
            .ok()
            .filter(|l| (Self::OVERHEAD..=Self::OVERHEAD + Self::MAX_PAYLOAD).contains(l))
            .ok_or(FrameError::Length(field))?;
        let whole = bytes.get(..length).ok_or_else(|| cut_off(length))?;
        let (leaf_data, checksum) = whole.split_at(length - CHECKSUM);
        let computed = crc32c::crc32c(leaf_data);
        let stored = Reader(checksum).u32().unwrap_or_default();
        if stored != computed {
            return Err(FrameError::Checksum { stored, computed });
        }
        let frame = Self::parse(leaf_data).unwrap_or(Err(FrameError::Length(field)))?;
        Ok(Decoded { frame, leaf_data })
    }

    /// Length and sequence number of what may be a frame; its checksum is not looked at.
    #[cfg(feature = "verifier")]
    pub(crate) fn peek(bytes: &[u8]) -> Option<(usize, u64)> {
        let mut reader = Reader(bytes);
        let length = usize::try_from(reader.u32()?).ok()?;
        let [format, class, kind, _] = reader.array()?;
        let sequence = reader.u64()?;
        Class::from_byte(class)?;
        Kind::from_byte(kind)?;
        (format == FORMAT && length <= bytes.len()).then_some((length, sequence))
    }

    /// `None` only where the leaf data is shorter than a header, which the length rules out.
    fn parse(leaf_data: &'a [u8]) -> Option<Result<Self, FrameError>> {
        let mut reader = Reader(leaf_data.get(LENGTH_FIELD..)?);
        let [format, class, kind, flags] = reader.array()?;
        let sequence = reader.u64()?;
        let time = Timestamp {
            realtime_ns: reader.u64()?,
            boottime_ns: reader.u64()?,
            is_synchronised: flags & IS_SYNCHRONISED != 0,
        };
        let previous = Hash::new(reader.array()?);
        let checked = || {
            if format != FORMAT {
                return Err(FrameError::Format(format));
            }
            let class = Class::from_byte(class).ok_or(FrameError::Class(class))?;
            let kind = Kind::from_byte(kind).ok_or(FrameError::Kind(kind))?;
            if flags & !IS_SYNCHRONISED != 0 {
                return Err(FrameError::Flags(flags));
            }
            Ok(Self { sequence, class, kind, time, previous, payload: reader.0 })
        };
        Some(checked())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(payload: &[u8]) -> Frame<'_> {
        Frame {
            sequence: 7,
            class: Class::Usb,
            kind: Kind::Operation,
            time: Timestamp { realtime_ns: 1, boottime_ns: 2, is_synchronised: true },
            previous: Hash::new([0xAB; 32]),
            payload,
        }
    }

    fn encoded(payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame(payload).encode(&mut bytes).unwrap();
        bytes
    }

    /// The frame with one byte set and the checksum made right again.
    fn with_byte(offset: usize, value: u8) -> Vec<u8> {
        let mut bytes = encoded(b"{}");
        bytes[offset] = value;
        let end = bytes.len() - CHECKSUM;
        let checksum = crc32c::crc32c(&bytes[..end]).to_be_bytes();
        bytes[end..].copy_from_slice(&checksum);
        bytes
    }

    #[test]
    fn layout() {
        let expected = format!(
            "{}{}{}{}{}",
            "00000046018202010000000000000007",
            "00000000000000010000000000000002",
            "ab".repeat(32),
            "7b7d",
            "f726d5b8"
        );
        assert_eq!(hex::encode(encoded(b"{}")), expected);
        let decoded = encoded(b"{}");
        let decoded = Frame::decode(&decoded).unwrap();
        assert_eq!(decoded.hash(), Hash::of(&[&[0], decoded.leaf_data]));
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let table: &[(&str, Vec<u8>, FrameError)] = &[
            ("nothing", vec![], FrameError::CutOff { needed: 4, found: 0 }),
            ("3 bytes", vec![0; 3], FrameError::CutOff { needed: 4, found: 3 }),
            ("zeros", vec![0; 100], FrameError::Length(0)),
            ("too short", vec![0, 0, 0, 67], FrameError::Length(67)),
            ("too long", vec![0xFF; 100], FrameError::Length(u32::MAX)),
            (
                "cut off",
                encoded(b"{}")[..69].to_vec(),
                FrameError::CutOff { needed: 70, found: 69 },
            ),
            ("format", with_byte(4, 2), FrameError::Format(2)),
            ("class", with_byte(5, 0x80), FrameError::Class(0x80)),
            ("kind", with_byte(6, 0), FrameError::Kind(0)),
            ("flags", with_byte(7, 3), FrameError::Flags(3)),
        ];
        for (name, bytes, error) in table {
            assert_eq!(Frame::decode(bytes).unwrap_err(), *error, "{name}");
        }
        let too_much = vec![0; Frame::MAX_PAYLOAD + 1];
        let error = frame(&too_much).encode(&mut Vec::new()).unwrap_err();
        assert_eq!(error, FrameError::Payload(65537));
    }

    #[test]
    fn classes_and_kinds_have_bytes_of_their_own() {
        for byte in 0..=u8::MAX {
            assert!(Class::from_byte(byte).is_none_or(|class| class.as_byte() == byte));
            assert!(Kind::from_byte(byte).is_none_or(|kind| kind.as_byte() == byte));
        }
        assert!(Class::Permission.is_critical() && !Class::Execution.is_critical());
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let good = encoded(b"payload");
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::decode(&bad).is_err(), "bit {bit}");
        }
    }

    prop_compose! {
        fn any_frame()(
            sequence in any::<u64>(),
            class in prop::sample::select(Class::ALL.to_vec()),
            kind in prop::sample::select(Kind::ALL.to_vec()),
            realtime_ns in any::<u64>(),
            boottime_ns in any::<u64>(),
            is_synchronised in any::<bool>(),
            previous in any::<[u8; 32]>(),
        ) -> Frame<'static> {
            let time = Timestamp { realtime_ns, boottime_ns, is_synchronised };
            Frame { sequence, class, kind, time, previous: Hash::new(previous), payload: &[] }
        }
    }

    proptest! {
        #[test]
        fn comes_back_as_it_was(
            frame in any_frame(),
            payload in prop::collection::vec(any::<u8>(), 0..200),
            rest in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let frame = Frame { payload: &payload, ..frame };
            let mut bytes = Vec::new();
            let hash = frame.encode(&mut bytes).unwrap();
            let len = bytes.len();
            bytes.extend(rest);
            let decoded = Frame::decode(&bytes).unwrap();
            prop_assert_eq!(decoded.frame, frame);
            prop_assert_eq!(decoded.hash(), hash);
            prop_assert_eq!(decoded.encoded_len(), len);
        }

        #[test]
        fn accepted_bytes_are_written_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = bytes;
            // Most random bytes have no right length and checksum: give them these.
            if let Ok(len) = u32::try_from(bytes.len()) && bytes.len() >= Frame::OVERHEAD {
                bytes[..4].copy_from_slice(&len.to_be_bytes());
                bytes[4] %= 2;
                bytes[6] %= 8;
                bytes[7] %= 4;
                let end = bytes.len() - CHECKSUM;
                let checksum = crc32c::crc32c(&bytes[..end]).to_be_bytes();
                bytes[end..].copy_from_slice(&checksum);
            }
            if let Ok(decoded) = Frame::decode(&bytes) {
                let mut again = Vec::new();
                decoded.frame.encode(&mut again).unwrap();
                prop_assert_eq!(again, &bytes[..decoded.encoded_len()]);
            }
        }
    }
}
