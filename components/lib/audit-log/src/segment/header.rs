//! What a segment begins with.

use super::SegmentError;
use crate::reader::Reader;
use crate::tree::Frontier;
use crate::{Hash, Origin};

const MAGIC: &[u8; 8] = b"HFAUDIT\x01";
const CHECKSUM: usize = 4;
const FIXED: usize = MAGIC.len() + 4 + 2 + 8 + Hash::LEN + CHECKSUM;

/// Where a segment stands in its log: all that is needed to go on from there, also when the
/// segments before it are gone because the cloud has them.
///
/// ```text
///  offset  bytes
///       0      8  "HFAUDIT" and the format, 1
///       8      4  length of the header, bytes
///      12      2  length of the origin, bytes
///      14      n  origin
///    14+n      8  sequence number of the first record
///    22+n     32  hash of the record before it
///    54+n   32*k  frontier of the tree over the records before it, largest subtree first
///                 (k: bits that are set in the sequence number)
///       …      4  CRC32C of everything before it
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Which log.
    pub origin: Origin,
    /// Hash of the record before the first; [`Origin::genesis`] where there is none.
    pub previous: Hash,
    /// Frontier of the tree over the records before; its size is the first sequence number.
    pub frontier: Frontier,
}

impl SegmentHeader {
    /// The header of a log's first segment.
    pub fn first(origin: Origin) -> Self {
        Self { previous: origin.genesis(), origin, frontier: Frontier::default() }
    }

    /// Sequence number of the segment's first record.
    pub fn first_sequence(&self) -> u64 {
        self.frontier.size()
    }

    /// Length, bytes: at most 2,361.
    pub fn encoded_len(&self) -> usize {
        FIXED + self.origin.as_str().len() + self.frontier.nodes().len() * Hash::LEN
    }

    /// The bytes of the header.
    pub fn encode(&self) -> Vec<u8> {
        let length = self.encoded_len();
        // Both lengths are far below their fields' range: an origin has 255 bytes at most.
        #[allow(clippy::cast_possible_truncation)]
        let (length_field, origin_field) = (length as u32, self.origin.as_str().len() as u16);
        let mut bytes = Vec::with_capacity(length);
        bytes.extend(MAGIC);
        bytes.extend(length_field.to_be_bytes());
        bytes.extend(origin_field.to_be_bytes());
        bytes.extend(self.origin.as_str().as_bytes());
        bytes.extend(self.first_sequence().to_be_bytes());
        bytes.extend(self.previous.as_bytes());
        bytes.extend(self.frontier.to_bytes());
        bytes.extend(crc32c::crc32c(&bytes).to_be_bytes());
        bytes
    }

    /// Reads the header at the front of `bytes`; what follows it is not looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, SegmentError> {
        let mut reader = Reader(bytes);
        let cut_off = SegmentError::CutOff { found: bytes.len() };
        let magic: [u8; 8] = reader.array().ok_or(cut_off.clone())?;
        if magic != *MAGIC {
            return Err(SegmentError::Magic);
        }
        let field = reader.u32().ok_or(cut_off.clone())?;
        let length = usize::try_from(field).ok().filter(|l| *l >= FIXED);
        let length = length.ok_or(SegmentError::Length(field))?;
        let whole = bytes.get(..length).ok_or(cut_off)?;
        let (body, checksum) = whole.split_at(length - CHECKSUM);
        let (stored, computed) = (Reader(checksum).u32(), crc32c::crc32c(body));
        if stored != Some(computed) {
            return Err(SegmentError::Checksum);
        }
        Self::parse(&body[MAGIC.len() + 4..]).ok_or(SegmentError::Length(field))?
    }

    /// `None` where the fields do not fit into the header's length.
    fn parse(body: &[u8]) -> Option<Result<Self, SegmentError>> {
        let mut reader = Reader(body);
        let length = usize::from(reader.u16()?);
        let origin = String::from_utf8_lossy(reader.bytes(length)?);
        let first = reader.u64()?;
        let previous = Hash::new(reader.array()?);
        let origin = match Origin::new(origin) {
            Ok(origin) => origin,
            Err(error) => return Some(Err(error.into())),
        };
        let frontier = match Frontier::from_bytes(first, reader.0) {
            Ok(frontier) => frontier,
            Err(error) => return Some(Err(error.into())),
        };
        Some(Ok(Self { origin, previous, frontier }))
    }
}
