/// What is wrong with a recovery key, with what wraps it, or with a key of the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// A text that is not a recovery key.
    #[error(
        "not a recovery key: {0}; a recovery key has 64 letters out of cbdefghijklnrtuv, in groups of 8 with \
         hyphens"
    )]
    Form(&'static str),
    /// A public key to which nothing can be wrapped.
    #[error(
        "the recovery public key cannot be used: {0}; it must be RSA of 2048 bits or more, or on the curve P-256"
    )]
    Recipient(String),
    /// A private key that opens nothing.
    #[error("the operator's private key cannot be used: {0}")]
    Operator(String),
    /// A wrapped key that is not understood.
    #[error("the wrapped recovery key is not understood: {0}")]
    Malformed(String),
    /// A wrapped key that was made for another operator's key.
    #[error(
        "the recovery key was wrapped to another public key (key identifier {wrapped_to}, this key \
         has {this}); use the private key that belongs to recovery.public_key of the device's site"
    )]
    OtherOperator {
        /// Key identifier in the wrapped key.
        wrapped_to: String,
        /// That of the private key at hand.
        this: String,
    },
    /// It was changed on its way, or was not made for this key.
    #[error("the wrapped recovery key does not open: it was changed, or the private key is wrong")]
    DoesNotOpen,
    /// Cryptography that failed for no reason of the input.
    #[error("wrapping the recovery key failed: {0}")]
    Wrap(String),
}

impl RecoveryError {
    /// For `map_err`.
    #[allow(clippy::needless_pass_by_value)] // takes literals and errors
    pub(crate) fn malformed(error: impl ToString) -> Self {
        Self::Malformed(error.to_string())
    }
}
