//! The challenge of the enrolment, made by keylime's code instead of ours.

use holdfast_tpm::Credential;
use holdfast_tpm::swtpm::Swtpm;

use crate::support::{python, run};

const SECRET: &[u8] = b"a secret of at most 32 bytes";
/// Prints what `tpm2_makecredential` would write, in hexadecimal.
const MAKE_CREDENTIAL: &str = "
import sys
from keylime.tpm.tpm_util import makecredential
ek, secret, name = (bytes.fromhex(argument) for argument in sys.argv[1:])
print(makecredential(ek, secret, name).hex())
";

/// Contents of `TPM2B_ID_OBJECT` and `TPM2B_ENCRYPTED_SECRET`.
fn credential_for(
    mut python: std::process::Command,
    ek_public: &[u8],
    ak_name: &[u8],
) -> (Vec<u8>, Vec<u8>) {
    let length = u16::try_from(ek_public.len()).unwrap().to_be_bytes();
    let ek = hex::encode([&length[..], ek_public].concat());
    python.args(["-c", MAKE_CREDENTIAL, &ek, &hex::encode(SECRET), &hex::encode(ak_name)]);
    let printed = String::from_utf8(run(&mut python)).unwrap();
    let bytes = hex::decode(printed.trim()).unwrap();
    // The header of tpm2-tools: magic and version.
    assert_eq!(bytes[..8], [0xBA, 0xDC, 0xC0, 0xDE, 0, 0, 0, 1]);
    let (id_object, rest) = sized(&bytes[8..]);
    let (encrypted_secret, rest) = sized(rest);
    assert!(rest.is_empty());
    (id_object, encrypted_secret)
}

fn sized(bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    (bytes[2..2 + length].to_vec(), &bytes[2 + length..])
}

#[test]
fn a_credential_made_by_keylime_opens_where_endorsement_and_attestation_key_are_together() {
    let Some(python) = python() else { return };
    let swtpm = Swtpm::blank().unwrap();
    let tpm = swtpm.open().unwrap();
    let ek = tpm.ek().unwrap();
    let ak = tpm.create_ak().unwrap();
    let (id_object, encrypted_secret) = credential_for(python, &ek.public, ak.name().as_bytes());
    let credential = Credential { id_object: &id_object, encrypted_secret: &encrypted_secret };
    {
        let ak = tpm.load(&ak).unwrap();
        assert_eq!(*tpm.activate_credential(&ak, credential).unwrap(), SECRET);
    }
    // It was made for that attestation key alone, and for that TPM alone.
    let other = tpm.create_ak().unwrap();
    assert!(tpm.activate_credential(&tpm.load(&other).unwrap(), credential).is_err());
    let abroad = Swtpm::blank().unwrap();
    let abroad = abroad.open().unwrap();
    let ak = abroad.create_ak().unwrap();
    assert!(abroad.activate_credential(&abroad.load(&ak).unwrap(), credential).is_err());
}
