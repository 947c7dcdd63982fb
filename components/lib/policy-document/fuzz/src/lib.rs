//! What the fuzzer does with its bytes.

use holdfast_policy_document::{Expectation, Kind, Unsigned, read_unverified, verify};

/// Nobody's signature is believed; and what can be read is the same when it is written again.
pub fn policy(bytes: &[u8]) {
    let expected = Expectation {
        kind: Kind::Usb,
        device_id: "device",
        edge_id: "SN-1",
        roots: &[],
        now: 1_800_000_000,
        floor: None,
    };
    assert!(verify(bytes, &expected).is_err());
    let Ok(read) = read_unverified(bytes) else { return };
    let chain: [&[u8]; 0] = [];
    let Ok(unsigned) = Unsigned::new(&read.policy, &chain) else { return };
    let again = read_unverified(unsigned.sign(&[0; 64]).as_bytes());
    assert_eq!(again.map(|again| again.policy), Ok(read.policy));
}
