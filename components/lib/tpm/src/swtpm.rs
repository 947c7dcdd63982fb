//! A software TPM for tests.
