//! Numbers and hashes of a line; each has one spelling only.

use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::error::Problem;
use crate::Hash;

pub(super) fn decimal<T: FromStr + ToString>(text: &str, what: &'static str) -> Result<T, Problem> {
    // Printed again it is the same: no sign, no zeros before it.
    let number = text.parse::<T>().ok().filter(|number| number.to_string() == text);
    number.ok_or(Problem::Number(what))
}

pub(super) fn hash(text: &str, what: &'static str) -> Result<Hash, Problem> {
    let bytes = BASE64_STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(Hash::new).ok_or(Problem::Hash(what))
}

pub(super) fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}
