//! What the fuzzer does with its bytes.

use holdfast_site::{Site, Transfer};

/// An accepted site configuration is written and read again without a change; a signature that
/// was not made for a text does not open it.
pub fn site(bytes: &[u8]) {
    if let Ok(site) = Site::parse(bytes) {
        let Ok(text) = site.to_toml() else { panic!("cannot be written back") };
        assert_eq!(Site::parse(text.as_bytes()), Ok(site));
    }
    assert!(Site::verify_and_parse(bytes, bytes, KEY).is_err());
    let _ = Site::verify_and_parse(b"", bytes, KEY);
    transfer(bytes);
}

/// An accepted transfer is written and read again without a change.
fn transfer(bytes: &[u8]) {
    if let Ok(transfer) = Transfer::parse(bytes) {
        let Ok(text) = transfer.to_toml() else { panic!("cannot be written back") };
        assert_eq!(Transfer::parse(text.as_bytes()), Ok(transfer));
    }
}

/// A key with which none of the inputs is signed.
const KEY: &str = include_str!("../../tests/data/other-key.pem");
