//! Names of logs.

use holdfast_audit_log::Origin;
use ring::rand::{SecureRandom as _, SystemRandom};

const PREFIX: &str = "holdfast/audit/";

/// A name that no other log has: 128 random bits.
pub fn origin() -> Origin {
    let mut id = [0; 16];
    // The kernel's generator is up long before a disk is mounted. A name twice would be found out by
    // the connector: then there is another.
    if SystemRandom::new().fill(&mut id).is_err() {
        id = crate::now::now().realtime_ns.to_be_bytes().repeat(2).try_into().unwrap_or_default();
    }
    named(&id)
}

fn named(id: &[u8; 16]) -> Origin {
    let name = format!("{PREFIX}{}", hex::encode(id));
    // Hexadecimal digits are within what a name may hold.
    Origin::new(name).unwrap_or_else(|_| unreachable!("hexadecimal digits make a name"))
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
        let origins = [origin(), origin()];
        assert_ne!(origins[0], origins[1]);
        assert_eq!(id_of(&origins[0]).len(), 32);
        assert_eq!(named(&[0xab; 16]).as_str(), format!("holdfast/audit/{}", "ab".repeat(16)));
    }
}
