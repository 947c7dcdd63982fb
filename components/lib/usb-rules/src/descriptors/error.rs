//! What can be wrong with descriptors.

/// Why descriptors were not accepted. Such a device is not to be let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// Over [`MAX_DESCRIPTOR_BYTES`](crate::MAX_DESCRIPTOR_BYTES).
    #[error("the descriptors have {0} bytes, over the limit of {limit}", limit = crate::MAX_DESCRIPTOR_BYTES)]
    TooLong(usize),
    /// Nothing, or something else than a device descriptor at the start.
    #[error("the descriptors do not start with a device descriptor")]
    NoDevice,
    /// Fewer bytes than the descriptor's `bLength` or its header.
    #[error("byte {offset}: a descriptor of {length} bytes is cut off, {left} are left")]
    CutOff {
        /// Where the descriptor starts, from 0.
        offset: usize,
        /// Its `bLength`, or the 2 bytes of its header.
        length: usize,
        /// Bytes up to the end.
        left: usize,
    },
    /// A `bLength` below 2, or another than the type has.
    #[error("byte {offset}: a {kind} descriptor of {length} bytes; expected {expected}")]
    Length {
        /// Where the descriptor starts, from 0.
        offset: usize,
        /// Type of the descriptor.
        kind: &'static str,
        /// Its `bLength`.
        length: u8,
        /// The lengths that are right.
        expected: &'static str,
    },
    /// A descriptor that must follow another one does not.
    #[error("byte {offset}: {kind} descriptor without {parent} descriptor before it")]
    Orphan {
        /// Where the descriptor starts, from 0.
        offset: usize,
        /// Type of the descriptor.
        kind: &'static str,
        /// Type of the one that is missing.
        parent: &'static str,
    },
    /// A second device descriptor.
    #[error("byte {offset}: a second device descriptor")]
    SecondDevice {
        /// Where the descriptor starts, from 0.
        offset: usize,
    },
}
