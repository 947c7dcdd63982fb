//! Wire types and verification of TPM evidence.
