//! What a LUKS2 header says (LUKS2 On-Disk Format Specification 1.1).
//!
//! Nothing is believed because of it: it only tells a volume that cannot be ours from one that is
//! worth trying. What the TPM remembers of a header ([`Header::identity`]) is another matter.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::decide::Volume;

const FIRST: [u8; 6] = *b"LUKS\xba\xbe";
const SECOND: [u8; 6] = *b"SKUL\xba\xbe";
const BINARY: usize = 4096;
const CHECKSUM: std::ops::Range<usize> = 448..512;
/// Where the second header can be; a header is as long as its offset (section 2.2).
const OFFSETS: [u64; 9] =
    [0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];

const UUID: std::ops::Range<usize> = 168..208;
const IDENTITY_CONTEXT: &[u8] = b"holdfast-volume-v1";
const TPM_TOKEN: &str = "systemd-tpm2";

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Metadata {
    #[serde(default)]
    tokens: BTreeMap<String, Token>,
    #[serde(default)]
    keyslots: BTreeMap<String, Value>,
    #[serde(default)]
    digests: BTreeMap<String, Value>,
    #[serde(default)]
    segments: BTreeMap<String, Value>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Token {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    keyslots: Vec<String>,
    /// Of [`TPM_TOKEN`]: the sealed key, private and public part (`TPM2B_PRIVATE`, `TPM2B_PUBLIC`).
    #[serde(default, rename = "tpm2-blob")]
    blob: Option<Value>,
}

/// A valid header.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    /// UUID of the volume.
    pub uuid: String,
    sequence: u64,
    metadata: Metadata,
}

/// What one place on the disk holds.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Absent,
    /// Its checksum or text does not hold.
    Damaged,
    Valid(Box<Header>),
}

/// Tells what is on a device. A damaged first header is no reason to give up: cryptsetup repairs it
/// from the second.
pub fn inspect(device: &Path) -> io::Result<Volume> {
    inspect_from(&mut File::open(device)?)
}

fn inspect_from(disk: &mut (impl Read + Seek)) -> io::Result<Volume> {
    let mut damaged = false;
    for (offset, magic) in places() {
        match header(disk, offset, magic)? {
            Found::Valid(header) => {
                return Ok(Volume::Luks { tpm_token: header.has_token(TPM_TOKEN) });
            }
            Found::Damaged => damaged = true,
            Found::Absent => {}
        }
    }
    // Whether a damaged one can be used is for cryptsetup to find out.
    Ok(if damaged { Volume::Luks { tpm_token: true } } else { Volume::Bare })
}

fn places() -> impl Iterator<Item = (u64, [u8; 6])> {
    std::iter::once((0, FIRST)).chain(OFFSETS.iter().map(|&offset| (offset, SECOND)))
}

impl Header {
    /// Reads the header that cryptsetup would use. Which of the two that is must make no difference
    /// to [`Self::identity`]: nobody shows one to this program and the other to cryptsetup.
    pub fn read(device: &Path) -> Result<Self, String> {
        let at = |error: io::Error| format!("{}: {error}", device.display());
        let mut disk = File::open(device).map_err(at)?;
        Self::read_from(&mut disk).map_err(at)
    }

    fn read_from(disk: &mut (impl Read + Seek)) -> io::Result<Self> {
        let mut valid = Vec::new();
        for (offset, magic) in places() {
            if let Found::Valid(header) = header(disk, offset, magic)? {
                valid.push(*header);
            }
        }
        valid.sort_by_key(|header| header.sequence);
        let newest = valid.pop().ok_or_else(|| io::Error::other("no valid LUKS2 header"))?;
        if valid.iter().any(|header| header.identity() != newest.identity()) {
            return Err(io::Error::other("its LUKS2 headers contradict each other"));
        }
        Ok(newest)
    }

    /// What does not change about a volume while keys come and go: its UUID, the digest of the
    /// volume key, and how and where the data is encrypted. Another volume key, or none, is another
    /// identity.
    pub fn identity(&self) -> [u8; 32] {
        let mut digests = self.metadata.digests.clone();
        for digest in digests.values_mut() {
            if let Some(digest) = digest.as_object_mut() {
                digest.remove("keyslots");
            }
        }
        let mut text = String::new();
        for part in [&digests, &self.metadata.segments] {
            text.push('{');
            for (name, value) in part {
                canonical(name, value, &mut text);
            }
            text.push('}');
        }
        let digest = Sha256::new()
            .chain_update(IDENTITY_CONTEXT)
            .chain_update(self.uuid.as_bytes())
            .chain_update([0])
            .chain_update(text.as_bytes());
        digest.finalize().into()
    }

    /// The slots that no TPM opens: recovery keys, and whatever else is there.
    pub fn slots_of_people(&self) -> BTreeSet<u32> {
        let of_tpm = |slot: &&String| {
            self.metadata
                .tokens
                .values()
                .any(|token| token.kind == TPM_TOKEN && token.keyslots.contains(slot))
        };
        let slots = self.metadata.keyslots.keys().filter(|slot| !of_tpm(slot));
        slots.filter_map(|slot| slot.parse().ok()).collect()
    }

    /// The policies under which TPMs open the volume: of each token, read from the object that the
    /// TPM loads, not from what is written beside it.
    pub fn sealing_policies(&self) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let of_tpm = self.metadata.tokens.iter().filter(|(_, token)| token.kind == TPM_TOKEN);
        of_tpm
            .map(|(name, token)| {
                let blob = token.blob.as_ref().and_then(Value::as_str).unwrap_or_default();
                let blob = BASE64_STANDARD.decode(blob).map_err(|e| e.to_string());
                let policy = blob
                    .and_then(|blob| policy_of(&blob).ok_or_else(|| "it is cut short".to_owned()));
                match policy {
                    Ok(policy) => Ok((name.clone(), policy)),
                    Err(why) => Err(format!("the sealed key of token {name}: {why}")),
                }
            })
            .collect()
    }

    fn has_token(&self, kind: &str) -> bool {
        self.metadata.tokens.values().any(|token| token.kind == kind)
    }
}

/// `authPolicy` of a sealed object (TPM 2.0 part 2, `TPM2B_PRIVATE` and `TPMT_PUBLIC`).
fn policy_of(blob: &[u8]) -> Option<Vec<u8>> {
    let (_private, rest) = sized(blob)?;
    let (public, _) = sized(rest)?;
    // Type, hash of the Name, attributes.
    let (policy, _) = sized(public.get(8..)?)?;
    Some(policy.to_vec())
}

/// Bytes behind their length (16 bits), and what follows them.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}

/// One text for one value, whatever the order of its members.
fn canonical(name: &str, value: &Value, text: &mut String) {
    text.push_str(&Value::from(name).to_string());
    text.push(':');
    match value {
        Value::Object(members) => {
            let members: BTreeMap<_, _> = members.iter().collect();
            text.push('{');
            for (name, value) in members {
                canonical(name, value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                canonical("", item, text);
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
    text.push(',');
}

fn header(disk: &mut (impl Read + Seek), offset: u64, magic: [u8; 6]) -> io::Result<Found> {
    disk.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    disk.take(BINARY as u64).read_to_end(&mut bytes)?;
    if bytes.len() < BINARY || !bytes.starts_with(&magic) || bytes[6..8] != [0, 2] {
        return Ok(Found::Absent);
    }
    let mut size = [0; 8];
    size.copy_from_slice(&bytes[8..16]);
    let size = u64::from_be_bytes(size);
    if !OFFSETS.contains(&size) || (offset != 0 && offset != size) {
        return Ok(Found::Damaged);
    }
    disk.take(size - BINARY as u64).read_to_end(&mut bytes)?;
    let stored: Vec<u8> = bytes[CHECKSUM].to_vec();
    bytes[CHECKSUM].fill(0);
    if !bytes[72..].starts_with(b"sha256\0") || stored[..32] != Sha256::digest(&bytes)[..] {
        return Ok(Found::Damaged);
    }
    let text = bytes[BINARY..].split(|&byte| byte == 0).next().unwrap_or_default();
    Ok(match serde_json::from_slice::<Metadata>(text) {
        Ok(metadata) => {
            let uuid = bytes[UUID].split(|&byte| byte == 0).next().unwrap_or_default();
            let mut sequence = [0; 8];
            sequence.copy_from_slice(&bytes[16..24]);
            Found::Valid(Box::new(Header {
                uuid: String::from_utf8_lossy(uuid).into_owned(),
                sequence: u64::from_be_bytes(sequence),
                metadata,
            }))
        }
        Err(_) => Found::Damaged,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const WITH: &str = r#"{"tokens":{"0":{"type":"systemd-tpm2","keyslots":["0"]}}}"#;
    const WITHOUT: &str = r#"{"keyslots":{},"tokens":{}}"#;

    fn header_bytes(magic: [u8; 6], json: &str) -> Vec<u8> {
        let mut bytes = vec![0; 0x4000];
        bytes[..6].copy_from_slice(&magic);
        bytes[6..8].copy_from_slice(&[0, 2]);
        bytes[8..16].copy_from_slice(&0x4000_u64.to_be_bytes());
        bytes[72..78].copy_from_slice(b"sha256");
        bytes[BINARY..BINARY + json.len()].copy_from_slice(json.as_bytes());
        let digest = Sha256::digest(&bytes);
        bytes[448..480].copy_from_slice(&digest);
        bytes
    }

    fn disk(json: &str) -> Vec<u8> {
        let mut disk = header_bytes(FIRST, json);
        disk.extend(header_bytes(SECOND, json));
        disk.resize(0x40_0000 + BINARY, 0);
        disk
    }

    fn volume_of(disk: Vec<u8>) -> Volume {
        inspect_from(&mut Cursor::new(disk)).unwrap()
    }

    #[test]
    fn headers_are_told_apart() {
        let luks = |tpm_token| Volume::Luks { tpm_token };
        assert_eq!(volume_of(disk(WITH)), luks(true));
        assert_eq!(volume_of(disk(WITHOUT)), luks(false));
        assert_eq!(volume_of(vec![]), Volume::Bare);
        assert_eq!(volume_of(vec![0; 0x50_0000]), Volume::Bare);
        let mut first_version = disk(WITH);
        first_version[7] = 1;
        first_version[0x4000..].fill(0);
        assert_eq!(volume_of(first_version), Volume::Bare);
    }

    #[test]
    fn a_damaged_header_is_made_up_for_by_the_other() {
        let mut torn = disk(WITHOUT);
        torn[BINARY] ^= 1;
        assert_eq!(volume_of(torn.clone()), Volume::Luks { tpm_token: false });
        torn[0x4000 + BINARY] ^= 1;
        assert_eq!(volume_of(torn), Volume::Luks { tpm_token: true });
        let mut erased = disk(WITHOUT);
        erased[..0x4000].fill(0);
        assert_eq!(volume_of(erased), Volume::Luks { tpm_token: false });
    }

    #[test]
    fn an_impossible_size_is_damage() {
        let mut bad = disk(WITH);
        bad[8..16].copy_from_slice(&u64::MAX.to_be_bytes());
        bad[0x4000..].fill(0);
        assert_eq!(volume_of(bad), Volume::Luks { tpm_token: true });
    }

    const OURS: &str = r#"{"keyslots":{"0":{},"1":{},"2":{}},
        "tokens":{"0":{"type":"systemd-tpm2","keyslots":["0"]},
                  "1":{"type":"systemd-recovery","keyslots":["1"]}},
        "segments":{"0":{"type":"crypt","offset":"16777216","encryption":"aes-xts-plain64"}},
        "digests":{"0":{"type":"pbkdf2","keyslots":["0","1"],"salt":"c2FsdA==","digest":"AAAA"}}}"#;

    fn read(disk: Vec<u8>) -> Result<Header, String> {
        Header::read_from(&mut Cursor::new(disk)).map_err(|error| error.to_string())
    }

    #[test]
    fn slots_of_people_are_those_that_no_tpm_token_names() {
        assert_eq!(read(disk(OURS)).unwrap().slots_of_people(), BTreeSet::from([1, 2]));
        assert_eq!(read(disk(WITHOUT)).unwrap().slots_of_people(), BTreeSet::new());
    }

    #[test]
    fn keys_that_come_and_go_leave_the_identity_as_it_is() {
        let ours = read(disk(OURS)).unwrap().identity();
        let more_keys = OURS.replace(r#""keyslots":["0","1"]"#, r#""keyslots":["5"]"#);
        assert_eq!(read(disk(&more_keys)).unwrap().identity(), ours);
        let other_order = OURS.replace(
            r#""type":"crypt","offset":"16777216""#,
            r#""offset":"16777216","type":"crypt""#,
        );
        assert_eq!(read(disk(&other_order)).unwrap().identity(), ours);
        assert_eq!(read(disk(&OURS.replace("\"1\":{}", "\"7\":{}"))).unwrap().identity(), ours);
    }

    #[test]
    fn the_policy_is_read_from_what_the_tpm_loads() {
        let public = [&[0, 8, 0, 11, 0, 0, 4, 0x12, 0, 3][..], b"pol", &[0, 16, 0, 0]].concat();
        let blob = [&[0, 2, 9, 9, 0, 17][..], &public].concat();
        assert_eq!(public.len(), 17);
        let with = |blob: &[u8]| {
            let blob = BASE64_STANDARD.encode(blob);
            let token =
                format!(r#""type":"systemd-tpm2","tpm2-policy-hash":"00","tpm2-blob":"{blob}""#);
            read(disk(&OURS.replace(r#""type":"systemd-tpm2""#, &token)))
                .unwrap()
                .sealing_policies()
        };
        assert_eq!(with(&blob), Ok(BTreeMap::from([("0".to_owned(), b"pol".to_vec())])));
        for length in 0..blob.len() - 4 {
            assert!(with(&blob[..length]).unwrap_err().contains("token 0"), "{length}");
        }
        assert!(read(disk(OURS)).unwrap().sealing_policies().is_err());
        assert_eq!(read(disk(WITHOUT)).unwrap().sealing_policies(), Ok(BTreeMap::new()));
    }

    /// A header that a person's key opens although he did not make it: no cipher for the key, or
    /// none for the data (Trail of Bits, "LUKS2 and confidential VMs", 2025).
    #[test]
    fn another_volume_key_or_cipher_is_another_identity() {
        let ours = read(disk(OURS)).unwrap().identity();
        for (what, instead) in [
            ("AAAA", "AAAB"),
            ("c2FsdA==", "c2FsdB=="),
            ("aes-xts-plain64", "cipher_null-ecb"),
            ("16777216", "33554432"),
            (r#""segments":{"#, r#""segments":{"1":{},"#),
        ] {
            let changed = read(disk(&OURS.replace(what, instead))).unwrap();
            assert_ne!(changed.identity(), ours, "{what}");
        }
        let mut other_uuid = disk(OURS);
        other_uuid[168] = b'9';
        other_uuid[CHECKSUM].fill(0);
        let digest = Sha256::digest(&other_uuid[..0x4000]);
        other_uuid[448..480].copy_from_slice(&digest);
        other_uuid[0x4000..].fill(0);
        assert_ne!(read(other_uuid).unwrap().identity(), ours);
    }

    #[test]
    fn two_headers_that_contradict_each_other_are_refused() {
        let null = OURS.replace("aes-xts-plain64", "cipher_null-ecb");
        let mut two = disk(OURS);
        two[0x4000..0x8000].copy_from_slice(&header_bytes(SECOND, &null));
        assert!(read(two).unwrap_err().contains("contradict"));
        assert!(read(vec![0; 0x40_0000 + BINARY]).unwrap_err().contains("no valid"));
    }
}
