//! The build's keys. They are made on first use, stay in the build folder and never enter git.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{paths::Paths, process};

/// A private key and its certificate or public key.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// PEM private key, mode 0600.
    pub private: PathBuf,
    /// PEM certificate (Secure Boot) or public key (PCR, site).
    pub public: PathBuf,
}

/// The keys of one image profile. Each profile has its own, so that neither `debug` nor `test` can
/// open what a `release` device sealed.
pub struct ProfileKeys {
    /// Signs boot loader, UKI and root hash; its certificate is in the firmware's `db`.
    pub db: KeyPair,
    /// Signs PCR 11 policies.
    pub pcr: KeyPair,
}

/// Keys that all profiles share. The Secure Boot platform key, which is also the key exchange key,
/// lies beside them for those who enrol it in firmware.
pub struct SharedKeys {
    /// Signs site configurations; its public half is in the image.
    pub site: KeyPair,
}

/// The keys of a profile.
pub fn of_profile(paths: &Paths, profile: &str) -> Result<ProfileKeys> {
    let folder = paths.build.join("keys").join(profile);
    Ok(ProfileKeys {
        db: certificate(&folder, "db", &format!("Holdfast {profile} signing key"))?,
        pcr: public_key(
            &folder,
            "pcr",
            &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        )?,
    })
}

/// The keys that all profiles share.
pub fn shared(paths: &Paths) -> Result<SharedKeys> {
    let folder = paths.build.join("keys/shared");
    certificate(&folder, "platform", "Holdfast platform key")?;
    Ok(SharedKeys {
        site: public_key(
            &folder,
            "site",
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        )?,
    })
}

fn certificate(folder: &Path, name: &str, subject: &str) -> Result<KeyPair> {
    pair(folder, name, "crt", |private, public| {
        let mut command = Command::new("openssl");
        command
            .args([
                "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days",
                "7300", "-subj",
            ])
            .arg(format!("/CN={subject}"))
            .args([
                "-addext",
                "keyUsage=critical,digitalSignature",
                "-addext",
                "extendedKeyUsage=codeSigning",
                "-keyout",
            ])
            .arg(private)
            .arg("-out")
            .arg(public);
        process::output(&mut command).map(drop)
    })
}

fn public_key(folder: &Path, name: &str, algorithm: &[&str]) -> Result<KeyPair> {
    pair(folder, name, "pub", |private, public| {
        process::output(
            Command::new("openssl").arg("genpkey").args(algorithm).arg("-out").arg(private),
        )?;
        process::output(
            Command::new("openssl")
                .args(["pkey", "-pubout", "-in"])
                .arg(private)
                .arg("-out")
                .arg(public),
        )
        .map(drop)
    })
}

/// The public half appears last, so that an interrupted run starts again.
fn pair(
    folder: &Path,
    name: &str,
    extension: &str,
    make: impl FnOnce(&Path, &Path) -> Result<()>,
) -> Result<KeyPair> {
    let pair = KeyPair {
        private: folder.join(format!("{name}.key")),
        public: folder.join(format!("{name}.{extension}")),
    };
    if !pair.public.exists() {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        let unfinished = folder.join(format!("{name}.unfinished"));
        make(&pair.private, &unfinished).with_context(|| format!("make key {name}"))?;
        fs::set_permissions(&pair.private, fs::Permissions::from_mode(0o600))?;
        fs::rename(&unfinished, &pair.public)?;
    }
    Ok(pair)
}
