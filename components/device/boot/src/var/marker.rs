//! The marker file: proof that a volume was made by this device under this boot chain.
//!
//! Whoever knows the public part of the TPM's storage key can make a LUKS volume that the TPM
//! opens. The marker holds a code that only this TPM, in a signed boot, computes.

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// Name of the file at the top of the volume.
pub const NAME: &str = "holdfast-marker.toml";
/// Name while the volume is being sealed again: the marker of the seal to come.
pub const NEXT: &str = "holdfast-marker-next.toml";
/// Longest file that is read.
pub const LIMIT: u64 = 4096;

const FORMAT: u32 = 1;
const CONTEXT: &[u8] = b"holdfast-var-v1";

/// What a marker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// UUID of the LUKS volume.
    pub luks_uuid: String,
    /// Makes the code of each volume another.
    pub random: [u8; 32],
    /// The code.
    pub hmac: [u8; 32],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    luks_uuid: String,
    random: String,
    hmac: String,
}

impl Marker {
    /// Parses the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "the marker is not UTF-8")?;
        let file: File = toml::from_str(text)
            .map_err(|error| format!("the marker is not understood: {}", error.message()))?;
        if file.format != FORMAT {
            return Err(format!("the marker has format {}, expected {FORMAT}", file.format));
        }
        let digest = |name: &str, text: &str| {
            let mut digest = [0; 32];
            hex::decode_to_slice(text, &mut digest)
                .map_err(|_| format!("the marker's {name} is not 64 hexadecimal digits"))?;
            Ok::<_, String>(digest)
        };
        Ok(Self {
            random: digest("random", &file.random)?,
            hmac: digest("hmac", &file.hmac)?,
            luks_uuid: file.luks_uuid,
        })
    }

    /// The file.
    pub fn to_toml(&self) -> String {
        format!(
            "format = {FORMAT}\nluks_uuid = \"{}\"\nrandom = \"{}\"\nhmac = \"{}\"\n",
            self.luks_uuid,
            hex::encode(self.random),
            hex::encode(self.hmac)
        )
    }

    /// Whether it belongs to the volume that is open, and bears the code that the TPM computes.
    pub fn check(&self, open_luks_uuid: &str, hmac: &[u8; 32]) -> Result<(), String> {
        if self.luks_uuid != open_luks_uuid {
            return Err("its marker was made for another volume".to_owned());
        }
        if bool::from(self.hmac.ct_eq(hmac)) {
            Ok(())
        } else {
            Err("its marker was not made by this TPM in a signed boot".to_owned())
        }
    }
}

/// What the code is computed over.
pub fn message(luks_uuid: &str, random: &[u8; 32]) -> Vec<u8> {
    [CONTEXT, luks_uuid.as_bytes(), random].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "6b1e2a34-1f7c-4f2a-9a55-0d7c3a2b1c0d";

    fn marker() -> Marker {
        Marker { luks_uuid: UUID.into(), random: [1; 32], hmac: [2; 32] }
    }

    #[test]
    fn faults_are_named() {
        let good = marker().to_toml();
        let cut = good.lines().take(3).collect::<Vec<_>>().join("\n");
        for (bad, part) in [
            (String::new(), "missing field"),
            (cut, "hmac"),
            (good.replace("format = 1", "format = 2"), "format 2"),
            (good.replace("0202", "02"), "hmac is not 64"),
            (good.replace("0101", "01x1"), "random is not 64"),
            (format!("{good}more = 1\n"), "unknown field"),
        ] {
            let error = Marker::parse(bad.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{bad}: {error}");
        }
        assert!(Marker::parse(&[0xff]).unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn volume_and_code_must_both_agree() {
        assert_eq!(marker().check(UUID, &[2; 32]), Ok(()));
        assert!(marker().check("other", &[2; 32]).unwrap_err().contains("another volume"));
        assert!(marker().check(UUID, &[3; 32]).unwrap_err().contains("this TPM"));
    }

    #[test]
    fn the_message_binds_context_volume_and_random() {
        let text = message("u", &[7; 32]);
        assert_eq!(text[..16], *b"holdfast-var-v1u");
        assert_eq!(text[16..], [7; 32]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            random: [u8; 32],
            hmac: [u8; 32],
            id in "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        ) {
            let marker = Marker { luks_uuid: id, random, hmac };
            prop_assert_eq!(Marker::parse(marker.to_toml().as_bytes()).unwrap(), marker);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = Marker::parse(&bytes);
        }
    }
}
