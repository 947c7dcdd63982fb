//! What a LUKS2 header says (LUKS2 On-Disk Format Specification 1.1).
//!
//! Nothing is believed because of it: it only tells a volume that cannot be ours from one that is
//! worth trying.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::decide::Volume;

const FIRST: [u8; 6] = *b"LUKS\xba\xbe";
const SECOND: [u8; 6] = *b"SKUL\xba\xbe";
const BINARY: usize = 4096;
const CHECKSUM: std::ops::Range<usize> = 448..512;
/// Where the second header can be; a header is as long as its offset (section 2.2).
const OFFSETS: [u64; 9] =
    [0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    tokens: std::collections::BTreeMap<String, Token>,
}

#[derive(Deserialize)]
struct Token {
    #[serde(rename = "type")]
    kind: String,
}

/// What one place on the disk holds.
#[derive(Debug, PartialEq, Eq)]
enum Header {
    Absent,
    /// Its checksum or text does not hold.
    Damaged,
    Valid {
        tpm_token: bool,
    },
}

/// Tells what is on a device. A damaged first header is no reason to give up: cryptsetup repairs it
/// from the second.
pub fn inspect(device: &Path) -> io::Result<Volume> {
    inspect_from(&mut File::open(device)?)
}

fn inspect_from(disk: &mut (impl Read + Seek)) -> io::Result<Volume> {
    let mut damaged = false;
    for (offset, magic) in
        std::iter::once((0, FIRST)).chain(OFFSETS.iter().map(|&offset| (offset, SECOND)))
    {
        match header(disk, offset, magic)? {
            Header::Valid { tpm_token } => return Ok(Volume::Luks { tpm_token }),
            Header::Damaged => damaged = true,
            Header::Absent => {}
        }
    }
    // Whether a damaged one can be used is for cryptsetup to find out.
    Ok(if damaged { Volume::Luks { tpm_token: true } } else { Volume::Bare })
}

fn header(disk: &mut (impl Read + Seek), offset: u64, magic: [u8; 6]) -> io::Result<Header> {
    disk.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    disk.take(BINARY as u64).read_to_end(&mut bytes)?;
    if bytes.len() < BINARY || !bytes.starts_with(&magic) || bytes[6..8] != [0, 2] {
        return Ok(Header::Absent);
    }
    let mut size = [0; 8];
    size.copy_from_slice(&bytes[8..16]);
    let size = u64::from_be_bytes(size);
    if !OFFSETS.contains(&size) || (offset != 0 && offset != size) {
        return Ok(Header::Damaged);
    }
    disk.take(size - BINARY as u64).read_to_end(&mut bytes)?;
    let stored: Vec<u8> = bytes[CHECKSUM].to_vec();
    bytes[CHECKSUM].fill(0);
    if !bytes[72..].starts_with(b"sha256\0") || stored[..32] != Sha256::digest(&bytes)[..] {
        return Ok(Header::Damaged);
    }
    let text = bytes[BINARY..].split(|&byte| byte == 0).next().unwrap_or_default();
    Ok(match serde_json::from_slice::<Metadata>(text) {
        Ok(metadata) => Header::Valid {
            tpm_token: metadata.tokens.values().any(|token| token.kind == "systemd-tpm2"),
        },
        Err(_) => Header::Damaged,
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
}
