//! The site configuration that goes onto the boot partition, and what may lie beside it.

use std::fs;
use std::path::{Path, PathBuf};

use holdfast_attestation::pairing::PairingCode;
use holdfast_site::{MAX_LENGTH, Site, Transfer};

use crate::InstallError;

/// A DER ECDSA signature has at most 72 bytes.
const SIGNATURE_LIMIT: usize = 256;

const PAIRING_CODE: &str = "pairing-code";
const TRANSFER: &str = "site.transfer";

/// `site.toml`, `site.toml.sig`, and what was added to them. No `Debug`: one may be a secret.
pub struct SiteFiles {
    /// Names in the folder of the boot partition, and contents.
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
    /// The tenant that it names.
    pub tenant: String,
    /// Whether its signature was verified.
    pub is_verified: bool,
}

impl SiteFiles {
    /// Reads `path` and `path`.sig. With a key (PEM of a `SubjectPublicKeyInfo`) the signature must
    /// verify; without one that is left to the device, which has the key in its image.
    pub fn read(path: &Path, key: Option<&Path>) -> Result<Self, InstallError> {
        let bad = |reason: String| InstallError::Site { file: path.display().to_string(), reason };
        let read = |path: &Path| {
            fs::read(path).map_err(InstallError::io(format!("cannot read {}", path.display())))
        };
        let text = read(path)?;
        let signature = read(&signature_path(path))?;
        if text.len() > MAX_LENGTH || signature.is_empty() || signature.len() > SIGNATURE_LIMIT {
            return Err(bad("it or its signature has an impossible length".to_owned()));
        }
        let site = match key {
            Some(key) => {
                let pem = String::from_utf8(read(key)?)
                    .map_err(|_| bad(format!("{} is no PEM", key.display())))?;
                Site::verify_and_parse(&text, &signature, &pem)
            }
            None => Site::parse(&text),
        }
        .map_err(|error| bad(error.to_string()))?;
        let tenant = site.tenant.as_str().to_owned();
        let files = vec![("site.toml", text), ("site.toml.sig", signature)];
        Ok(Self { files, tenant, is_verified: key.is_some() })
    }

    /// Adds the one-time code by which the device is registered, from a file.
    pub fn with_pairing_code(mut self, path: &Path) -> Result<Self, InstallError> {
        let text = fs::read_to_string(path)
            .map_err(InstallError::io(format!("cannot read {}", path.display())))?;
        let code: PairingCode = text.parse().map_err(|error| InstallError::PairingCode {
            file: path.display().to_string(),
            error,
        })?;
        self.files.push((PAIRING_CODE, format!("{code}\n").into_bytes()));
        Ok(self)
    }

    /// Adds the signature with which another cloud lets the device go to this site.
    pub fn with_transfer(mut self, path: &Path) -> Result<Self, InstallError> {
        let text =
            fs::read(path).map_err(InstallError::io(format!("cannot read {}", path.display())))?;
        Transfer::parse(&text)
            .map_err(|error| InstallError::Transfer { file: path.display().to_string(), error })?;
        self.files.push((TRANSFER, text));
        Ok(self)
    }
}

/// Where the signature of a site configuration is.
fn signature_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}
