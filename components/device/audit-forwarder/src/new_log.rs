//! Names of logs.

use std::io;

use holdfast_audit_log::Origin;
use ring::rand::{SecureRandom as _, SystemRandom};

const PREFIX: &str = "holdfast/audit/";

/// A name that no other log has: 128 random bits.
pub fn origin() -> io::Result<Origin> {
    let mut id = [0; 16];
    SystemRandom::new().fill(&mut id).map_err(|_| io::Error::other("no random numbers"))?;
    named(&id)
}

fn named(id: &[u8; 16]) -> io::Result<Origin> {
    Origin::new(format!("{PREFIX}{}", hex::encode(id))).map_err(io::Error::other)
}

/// The log's id at the connector: what its name ends with.
pub fn id_of(origin: &Origin) -> &str {
    origin.as_str().strip_prefix(PREFIX).unwrap_or(origin.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_hold_an_id() {
        let origins = [origin().unwrap(), origin().unwrap()];
        assert_ne!(origins[0], origins[1]);
        assert_eq!(id_of(&origins[0]).len(), 32);
        let name = format!("holdfast/audit/{}", "ab".repeat(16));
        assert_eq!(named(&[0xab; 16]).unwrap().as_str(), name);
    }
}
