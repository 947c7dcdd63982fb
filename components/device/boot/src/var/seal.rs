//! To what the state volume is sealed.

use std::{collections::BTreeMap, ffi::OsString};

use holdfast_attestation::pcr::{COMMAND_LINE_PCR, KERNEL_PCR, SECURE_BOOT_PCR};

use crate::places::Places;

/// The options of systemd-repart and systemd-cryptenroll: this TPM, PCR 7 as it is, a signed
/// PCR 11, and PCR 12 as the value it must have, not as the one it has.
pub fn options(places: &Places) -> Vec<OsString> {
    let registers = format!("{SECURE_BOOT_PCR}+{COMMAND_LINE_PCR}:sha256={}", "0".repeat(64));
    let mut key = OsString::from("--tpm2-public-key=");
    key.push(places.at("usr/lib/holdfast/keys/pcr.pub"));
    vec![
        format!("--tpm2-device={}", places.tpm_for_systemd()).into(),
        format!("--tpm2-pcrs={registers}").into(),
        key,
        format!("--tpm2-public-key-pcrs={KERNEL_PCR}").into(),
    ]
}

/// Whether every slot that a TPM opens has the policy that it should have; the policies by token.
pub fn judge(policies: &BTreeMap<String, Vec<u8>>, expected: &[u8; 32]) -> Result<(), String> {
    if policies.is_empty() {
        return Err("no TPM opens it".to_owned());
    }
    match policies.iter().find(|(_, policy)| policy.as_slice() != expected) {
        None => Ok(()),
        Some((token, policy)) => Err(format!(
            "token {token} is sealed to policy {}, expected {}",
            hex::encode(policy),
            hex::encode(expected)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slot_with_another_policy_is_one_too_many() {
        let policies = |all: &[[u8; 32]]| -> BTreeMap<String, Vec<u8>> {
            all.iter().enumerate().map(|(n, p)| (n.to_string(), p.to_vec())).collect()
        };
        assert_eq!(judge(&policies(&[[1; 32]]), &[1; 32]), Ok(()));
        assert_eq!(judge(&policies(&[[1; 32], [1; 32]]), &[1; 32]), Ok(()));
        for (all, part) in [
            (vec![], "no TPM"),
            (vec![[2; 32]], "token 0 is sealed to policy 0202"),
            (vec![[1; 32], [2; 32]], "token 1"),
        ] {
            let error = judge(&policies(&all), &[1; 32]).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        // No policy at all, as a volume that opens to everybody's TPM commands has it.
        assert!(judge(&BTreeMap::from([("0".to_owned(), Vec::new())]), &[1; 32]).is_err());
    }
}
