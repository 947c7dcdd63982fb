//! Serial numbers of certificates.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{CaError, key};

/// A certificate's serial number, shown as lower-case hexadecimal without leading zero bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Serial(String);

impl Serial {
    /// 159 random bits: positive as an INTEGER of 20 octets, the most that RFC 5280 (4.1.2.2)
    /// allows.
    pub(super) fn random() -> Result<Self, CaError> {
        let mut bytes: [u8; 20] = key::random()?;
        bytes[0] &= 0x7F;
        Ok(Self::from_bytes(&bytes))
    }

    /// From the content of the INTEGER.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        Self(hex::encode(&bytes[first..]))
    }

    /// Of a certificate in DER, if it is one.
    pub fn of_certificate(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        Some(Self::from_bytes(parsed.raw_serial()))
    }

    /// The number, big-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        hex::decode(&self.0).unwrap_or_default()
    }

    /// Hexadecimal.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text is not a serial number.
#[derive(Debug, thiserror::Error)]
#[error("\"{0}\" is not a serial number: expected hexadecimal")]
pub struct SerialError(String);

impl FromStr for Serial {
    type Err = SerialError;
    fn from_str(text: &str) -> Result<Self, SerialError> {
        match hex::decode(text) {
            Ok(bytes) if bytes.len() <= 20 => Ok(Self::from_bytes(&bytes)),
            _ => Err(SerialError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Serial {
    type Error = SerialError;
    fn try_from(text: String) -> Result<Self, SerialError> {
        text.parse()
    }
}

impl From<Serial> for String {
    fn from(serial: Serial) -> Self {
        serial.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_has_one_text() {
        assert_eq!(Serial::from_bytes(&[0, 0x8A, 1]), "8a01".parse().unwrap());
        assert_eq!("008A01".parse::<Serial>().unwrap().as_str(), "8a01");
        assert!("8a0".parse::<Serial>().is_err());
        assert!("00".repeat(21).parse::<Serial>().is_err());
    }

    #[test]
    fn random_serials_are_positive_and_differ() {
        let serials: std::collections::BTreeSet<_> =
            (0..64).map(|_| Serial::random().unwrap()).collect();
        assert_eq!(serials.len(), 64);
        assert!(serials.iter().all(|s| s.to_bytes().len() <= 20 && s.to_bytes()[0] != 0));
        assert!(serials.iter().all(|s| s.to_bytes().len() < 20 || s.to_bytes()[0] < 0x80));
    }
}
