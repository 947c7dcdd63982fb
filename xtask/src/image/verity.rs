//! The verity hash tree of the root file system and the signature of its root hash.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

use crate::{keys::KeyPair, process, tools::Tools};

/// Makes the hash tree of `root` and returns the root hash in hexadecimal digits. Salt and UUID
/// come from the version, so that a build can be repeated.
pub fn format(
    tools: &Tools,
    root: &Path,
    tree: &Path,
    version: &str,
    log: &Path,
) -> Result<String> {
    let salt = Sha256::digest(format!("holdfast verity salt {version}"));
    let id = hex::encode(&Sha256::digest(format!("holdfast verity uuid {version}"))[..16]);
    let uuid = format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]);
    let hash_file = tree.with_extension("roothash");
    let _ = fs::remove_file(tree);
    process::run(
        tools
            .command("veritysetup")
            .arg("format")
            .args(["--hash=sha256", "--data-block-size=4096", "--hash-block-size=4096"])
            .arg(format!("--salt={}", hex::encode(salt)))
            .arg(format!("--uuid={uuid}"))
            .arg(format!("--root-hash-file={}", hash_file.display()))
            .args([root, tree]),
        log,
    )?;
    Ok(fs::read_to_string(&hash_file)
        .with_context(|| format!("read {}", hash_file.display()))?
        .trim()
        .to_owned())
}

/// The content of the signature partition (Discoverable Partitions Specification).
pub fn signature(
    tools: &Tools,
    root_hash: &str,
    key: &KeyPair,
    work: &Path,
    log: &Path,
) -> Result<Vec<u8>> {
    let (text, der) = (work.join("roothash.txt"), work.join("roothash.p7s"));
    fs::write(&text, root_hash)?;
    process::run(
        tools
            .command("openssl")
            .args(["smime", "-sign", "-nocerts", "-noattr", "-binary", "-outform", "der", "-in"])
            .arg(&text)
            .arg("-inkey")
            .arg(&key.private)
            .arg("-signer")
            .arg(&key.public)
            .arg("-out")
            .arg(&der),
        log,
    )?;
    let certificate = process::output(
        tools.command("openssl").args(["x509", "-outform", "der", "-in"]).arg(&key.public),
    )?;
    Ok(serde_json::to_vec(&serde_json::json!({
        "rootHash": root_hash,
        "certificateFingerprint": hex::encode(Sha256::digest(certificate)),
        "signature": BASE64_STANDARD.encode(fs::read(&der)?),
    }))?)
}
