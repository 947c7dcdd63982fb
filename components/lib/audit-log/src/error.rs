//! What can be wrong with a record.

/// Why a value is not an audit record, or not a part of one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A text is longer than its field allows.
    #[error("text of {len} bytes is longer than the {max} bytes of its field")]
    TooLong {
        /// Length found, bytes.
        len: usize,
        /// Length allowed, bytes.
        max: usize,
    },
    /// A text holds a character that could hide or rearrange what a reader sees.
    #[error("character U+{0:04X} is not allowed: control and direction marks are refused")]
    Unprintable(u32),
    /// An action is not of the form `subject.verb`.
    #[error("\"{0}\" is not an action: expected subject.verb of a-z, 0-9 and '-', 64 at most")]
    Action(String),
    /// A source is neither `cloud` nor `device:<daemon>`.
    #[error("\"{0}\" is not a source: expected cloud or device:<daemon>")]
    Source(String),
    /// An arguments digest is not 64 lower-case hexadecimal digits.
    #[error("arguments_sha256 is not 64 lower-case hexadecimal digits")]
    ArgumentsDigest,
    /// Fields contradict each other.
    #[error("the record contradicts itself: {0}")]
    Contradiction(&'static str),
    /// The JSON is longer than any record.
    #[error("{0} bytes are longer than any audit record")]
    TooLarge(usize),
    /// The JSON is not a record.
    #[error("not an audit record: {0}")]
    Json(#[from] serde_json::Error),
}
