//! Typed TPM operations over libtss2.
