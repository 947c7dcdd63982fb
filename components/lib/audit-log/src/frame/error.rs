//! What can be wrong with a frame.

/// Why bytes are not a frame, or a record cannot become one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes end inside the frame.
    #[error("cut off: {found} of {needed} bytes are there")]
    CutOff {
        /// Length of the whole frame, or of its length field, bytes.
        needed: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// The length field holds no possible length.
    #[error("byte 0: {0} bytes are not the length of a frame")]
    Length(u32),
    /// The checksum is not that of the bytes.
    #[error("checksum {stored:08x} is stored, the bytes have {computed:08x}")]
    Checksum {
        /// CRC32C in the frame.
        stored: u32,
        /// CRC32C of its bytes.
        computed: u32,
    },
    /// The format is not known here.
    #[error("byte 4: format {0} is not known")]
    Format(u8),
    /// The class is not known here.
    #[error("byte 5: class {0:#04x} is not known")]
    Class(u8),
    /// The kind of payload is not known here.
    #[error("byte 6: kind of payload {0} is not known")]
    Kind(u8),
    /// Flags that have no meaning are set.
    #[error("byte 7: flags {0:#04x} are not known")]
    Flags(u8),
    /// The payload is longer than a frame can hold.
    #[error("payload of {0} bytes is longer than a frame can hold")]
    Payload(usize),
}
