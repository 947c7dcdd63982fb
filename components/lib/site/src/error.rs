//! What can be wrong with a site configuration.

/// Why a site configuration was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    /// Over [`MAX_LENGTH`](crate::MAX_LENGTH).
    #[error("site.toml has {0} bytes, over the limit of {limit}", limit = crate::MAX_LENGTH)]
    TooLong(usize),
    /// Not UTF-8.
    #[error("site.toml: line {line}: the text is not UTF-8")]
    NotUtf8 {
        /// Line, from 1.
        line: usize,
    },
    /// Not TOML, a key that does not belong here, a key that is missing, or a value of another type.
    #[error("site.toml: line {line}: {message}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// What is wrong; names the key.
        message: String,
    },
    /// A value that is not allowed.
    #[error("site.toml: line {line}: {key}: {problem}")]
    Value {
        /// Line, from 1.
        line: usize,
        /// The key with its table, as `connector.enrol_url`.
        key: &'static str,
        /// What is wrong and what is expected.
        problem: String,
    },
    /// The verifying key is not a PEM public key on P-256.
    #[error("the key that verifies site.toml is not a PEM public key on P-256: {0}")]
    VerifyingKey(String),
    /// The signature is not DER of an ECDSA signature.
    #[error("site.toml.sig is not an ECDSA P-256 signature in DER")]
    SignatureEncoding,
    /// The signature is of other bytes or by another key.
    #[error(
        "site.toml.sig is not a signature of site.toml by this image's site key; sign site.toml again with that key"
    )]
    SignatureMismatch,
}
